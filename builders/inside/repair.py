"""Pid 1 of the sandbox in which a wheel is made portable: auditwheel gives it the oldest libc's tags that are true.

Arguments: a JSON object (see `Plan`), the file descriptor of the answers, the one of the messages.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import traceback
import zipfile
import zlib
from pathlib import Path
from typing import TypedDict

from auditwheel.architecture import Architecture
from auditwheel.libc import Libc
from auditwheel.policy import WheelPolicies
from auditwheel.wheeltools import InWheelCtx, add_platforms, get_wheel_platforms

from buildthrough.builders.inside.abi3 import check_claim
from buildthrough.builders.inside.dialogue import Fault, HostLine, blamed_on
from buildthrough.builders.inside.places import place
from buildthrough.builders.inside.processes import hide

_NAMED = Path(place("/build/named"))
_OUT = Path(place("/build/out"))
_NEVER = "2_9999"
"""Version of a libc that no wheel earns."""
_OLDEST_MUSL = "musllinux_1_1"
"""What every installer that knows PEP 656 takes; 1.0 was never in use."""
_MACHINE_CODE = (b"\x7fELF", b"!<arch>\n", b"!<thin>\n")
"""How programs, shared libraries and archives of objects begin."""
_PREFIX = re.compile(r"^([A-Z]+:[\w.]+:|.*? error: )")
_AUDITWHEEL = "import sys; sys.path.insert(0, sys.argv.pop(1)); from auditwheel.main import main; sys.exit(main())"


class Plan(TypedDict):
    """What the host tells in the first argument."""

    wheel: str
    system: str
    """Kind of the tags to earn: ``manylinux`` or ``musllinux``."""
    arch: str
    library: str
    interpreter: str
    """Interpreter tag of the target that it was built for."""
    abi: str
    """Its ABI tag."""


def main() -> None:
    """Hold the whole dialogue; the exit code is 0 where a wheel was handed out."""
    plan: Plan = json.loads(sys.argv[1])
    host = HostLine(int(sys.argv[2]), int(sys.argv[3]))
    host.enter("repair", Path(plan["wheel"]).name)
    with host.told_of_faults(), blamed_on("output.bad-archive", "the wheel cannot be read"):
        hide()
        native = f"linux_{plan['arch']}"
        wheel = _keep_to_abi(Path(plan["wheel"]), plan, host)
        wheel = _unclaim(wheel, native)
        if _has_binary(wheel):
            wheel = _repair(wheel, f"{plan['system']}_{_NEVER}_{plan['arch']}", plan["library"])
        else:
            print("No binary is in it: it runs on the oldest libc.", flush=True)
            wheel = _claim(wheel, _lowest(plan["system"], plan["arch"]), native)
        with wheel.open("rb") as file:
            host.hand_out(wheel.name, file)


def _keep_to_abi(wheel: Path, plan: Plan, host: HostLine) -> Path:
    """Return the wheel with another tag where it says ``abi3`` and does not keep to that, and tell the host."""
    claim = check_claim(str(wheel), wheel.name, plan["interpreter"], plan["abi"])
    if claim is None:
        return wheel
    host.say("abi3", claimed=claim.claimed, true=claim.true, because=list(claim.because))
    if claim.true == claim.claimed:
        return wheel
    print(f"The backend says {claim.claimed}; it uses {', '.join(claim.because)}: {claim.true} is true.", flush=True)
    stem, _, _, platforms = wheel.name.removesuffix(".whl").rsplit("-", 3)
    folder = Path(tempfile.mkdtemp(dir=place("/build")))
    renamed = folder / f"{stem}-{claim.true}-{platforms}.whl"
    with InWheelCtx(wheel) as context:
        context.out_wheel = renamed
        found = list(Path(context.path).glob("*.dist-info/WHEEL"))
        if len(found) != 1:
            raise Fault("output.bad-archive", "the wheel has no single WHEEL file")
        lines = [line for line in found[0].read_text().splitlines() if line and not line.startswith("Tag:")]
        lines += [f"Tag: {claim.true}-{platform}" for platform in platforms.split(".")]
        found[0].write_text("\n".join(lines) + "\n")
    return renamed


def _unclaim(wheel: Path, native: str) -> Path:
    """Return the wheel without the platform tags that its backend claims: auditwheel would keep them."""
    claimed = get_wheel_platforms(wheel.name)
    if claimed == [native]:
        return wheel
    print(f"The backend says {', '.join(claimed)}; what is true is found out.", flush=True)
    return _claim(wheel, [native], *claimed)


def _claim(wheel: Path, platforms: list[str], *instead_of: str) -> Path:
    """Return the wheel with other platform tags."""
    folder = Path(tempfile.mkdtemp(dir=place("/build")))
    try:
        with InWheelCtx(wheel) as context:
            context.out_wheel = folder / wheel.name
            claiming: Path = add_platforms(context, platforms, [tag for tag in instead_of if tag not in platforms])
    except OSError:
        raise
    except Exception as problem:  # what a malformed wheel raises there is not written down
        traceback.print_exc()
        raise Fault("output.bad-archive", f"the wheel cannot be read: {problem}") from problem
    return claiming


def _has_binary(wheel: Path) -> bool:
    """Whether anything in it is machine code.

    Optional extensions are left out where they do not compile, and the wheel is tagged with the platform all the same.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            return any(_begins(archive, member, _MACHINE_CODE) for member in archive.infolist())
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as problem:
        raise Fault("output.bad-archive", f"the wheel cannot be read: {problem}") from problem


def _begins(archive: zipfile.ZipFile, member: zipfile.ZipInfo, marks: tuple[bytes, ...]) -> bool:
    with archive.open(member) as file:
        return file.read(8).startswith(marks)


def _lowest(system: str, arch: str) -> list[str]:
    """Return the tags of the oldest libc that there is for an architecture: the policy that is hardest to meet."""
    if system == "musllinux":
        return [f"{_OLDEST_MUSL}_{arch}"]
    policy = WheelPolicies(libc=Libc.GLIBC, arch=Architecture(arch)).highest
    return [policy.name, *policy.aliases]


def _repair(wheel: Path, never: str, library: str) -> Path:
    """Return the repaired wheel; ``never`` is a tag that tells auditwheel the kind of libc and is removed again.

    Without one it looks for the libc in the binaries, and some of PyPy's name none.
    """
    _OUT.mkdir()
    named = _NAMED / f"{wheel.name.rpartition('-')[0]}-{never}.whl"
    _NAMED.mkdir()
    named.symlink_to(wheel)
    argv = (sys.executable, "-I", "-S", "-B", "-c", _AUDITWHEEL, library, "repair", "--plat", "auto", "-w", str(_OUT))
    done = subprocess.run(
        (*argv, str(named)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    said = done.stdout.decode("utf-8", "replace")
    print(said, flush=True)
    made = list(_OUT.iterdir())
    if done.returncode != 0 or len(made) != 1:
        raise Fault("output.no-manylinux", _telling(said))
    earned = [tag for tag in get_wheel_platforms(made[0].name) if tag != never]
    if not earned or any(tag.startswith("linux_") for tag in earned):
        raise Fault("output.no-manylinux", "no manylinux or musllinux tag is true of this wheel")
    return made[0].rename(_OUT / f"{wheel.name.rpartition('-')[0]}-{'.'.join(earned)}.whl")


def _telling(said: str) -> str:
    """Return what auditwheel said last, without its own name in front."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1] if lines else "auditwheel made no wheel and said nothing"
    return _PREFIX.sub("", last)
