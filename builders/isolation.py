"""Finds out what this machine isolates, by trying it inside, and says it in plain words."""

from __future__ import annotations

import asyncio
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from buildthrough.builders.faults import InfrastructureFault
from buildthrough.builders.sandbox import Channel, Command, Isolation, Limits, Mount

if TYPE_CHECKING:
    from buildthrough.builders.sandbox import Sandbox
    from buildthrough.builders.slot import Slot

_LIMITS = Limits(memory_bytes=256 << 20, wall_seconds=20, silence_seconds=20, cpu_seconds=20, processes=32)
_KEYCTL = {"x86_64": 250, "aarch64": 219}

_ATTEMPT = """
import ctypes, json, os, socket, sys
port, canary, keyctl, _, messages = sys.argv[1:6]
def connects():
    try:
        with socket.socket() as client:
            client.settimeout(2)
            client.connect(("127.0.0.1", int(port)))
        return True
    except OSError:
        return False
def reads(path):
    try:
        with open(path, "rb") as file:
            file.read()
        return True
    except OSError:
        return False
def writes(path):
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
        return True
    except OSError:
        return False
call = ctypes.CDLL(None, use_errno=True).syscall
report = {
    "uid": os.getuid(),
    "network": connects(),
    "canary": reads(canary),
    "view": os.path.exists(canary),
    "keys": call(int(keyctl), 0, -3, 0) != -1 or ctypes.get_errno() != 1,
    "usr": writes("/usr/written"),
    "kernel": writes("/proc/sys/kernel/core_pattern"),
}
with open(int(messages), "w") as out:
    out.write(json.dumps(report) + "\\n")
"""
"""Run inside: each entry but the uid is true where the isolation does *not* hold."""

Walls = Literal["namespaces", "container", "landlock"]
"""What keeps a build in; together with what the slot has, that makes the level."""

_HOLDS = {
    "network": "no network: a connection to this machine's own loopback is refused inside",
    "canary": "no files of this machine but /usr and what a build is given",
    "keys": "no kernel keys and no other dangerous system calls",
    "usr": "nothing that is lent can be written to",
    "kernel": "no kernel settings",
}
_BROKEN = {
    "network": "a build reached this machine's loopback network",
    "canary": "a build read a file of this machine",
    "view": "a build saw a file of this machine",
    "keys": "a build could use kernel keys: the system call filter does not work",
    "usr": "a build could write to /usr",
    "kernel": "a build could write to /proc/sys",
}
_LACKS: dict[Walls, tuple[str, ...]] = {
    "namespaces": (),
    "container": ("there is no /proc inside, without which rustc does not start: this container masks its own",),
    "landlock": (
        "a build sees which files exist on this machine, and which processes run, but reads and signals none of them",
        "nothing bounds the disk space of a build but the size of one file",
        "there is no /proc, no /tmp and no /dev/shm inside, without which rustc and some backends do not start",
    ),
}
_SHARED_USER = "builds can change the mode and the times of the server's own files, since Landlock does not see to that"


async def probe(sandbox: Sandbox, slot: Slot, work: Path, walls: Walls) -> Isolation:
    """Run an attempt to get out inside of the sandbox, and report how far it came."""
    try:
        report = await _attempt(sandbox, work)
    except InfrastructureFault as fault:
        return Isolation(level="none", sentences=(fault.line,))
    looked_for = _BROKEN.keys() - ({"view"} if walls == "landlock" else set())
    broken = [sentence for name, sentence in _BROKEN.items() if name in looked_for and report.get(name) is not False]
    if report.get("uid") == 0:
        broken.append("a build is root inside")
    if broken:
        return Isolation(level="none", sentences=("the sandbox does not hold", *broken))
    return _graded(slot, walls)


def _graded(slot: Slot, walls: Walls) -> Isolation:
    sentences = [*_HOLDS.values(), *_LACKS[walls]]
    if slot.uid is None:
        sentences.append(
            "builds run as the server's own user and share its limit of processes; "
            "a server started as root gives each slot a user of its own"
        )
        sentences += [_SHARED_USER] if walls == "landlock" else []
    else:
        sentences.append(f"this slot builds as a user of its own (uid {slot.uid})")
    if slot.hierarchy is None:
        sentences.append(
            "memory is bounded by looking ten times a second, since no control group may be made here: "
            "start the server as root, or in a container with a limit of its own, to have the kernel do it"
        )
    else:
        sentences.append(f"memory and processes are bounded by control groups (version {slot.hierarchy.version})")
    if walls != "namespaces":
        return Isolation(level=walls, sentences=tuple(sentences))
    full = slot.uid is not None and slot.hierarchy is not None
    return Isolation(level="full" if full else "unprivileged", sentences=tuple(sentences))


async def _attempt(sandbox: Sandbox, work: Path) -> dict[str, Any]:
    listener = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    folder = await asyncio.to_thread(_lay_canary, work)
    try:
        port = listener.sockets[0].getsockname()[1]
        python, mounts = await asyncio.to_thread(_python)
        keyctl = _KEYCTL.get(platform.machine(), -1)
        words = (str(port), str(folder / "canary"), str(keyctl))
        argv = (python, "-I", "-S", "-c", _ATTEMPT, *words)
        report, ending = await sandbox.run(
            Command(argv=argv, mounts=mounts, limits=_LIMITS, gives_way=False), _first_message
        )
    finally:
        listener.close()
        await listener.wait_closed()
        await asyncio.to_thread(shutil.rmtree, folder)
    if report is None:
        last = ending.log.decode("utf-8", "replace").strip().rpartition("\n")[2][:400]
        raise InfrastructureFault("infra.sandbox", f"the trial inside ended with exit code {ending.exit_code}: {last}")
    return report


async def _first_message(channel: Channel) -> dict[str, Any] | None:
    return await channel.receive()


def _lay_canary(work: Path) -> Path:
    """Make a file that everybody outside may read."""
    folder = Path(tempfile.mkdtemp(prefix="canary-", dir=work if work.is_dir() else None))
    folder.chmod(0o755)
    (folder / "canary").write_text("a file of the host\n")
    return folder


def _python() -> tuple[str, tuple[Mount, ...]]:
    """Return a Python to try with: the system's, or else our own at its own place."""
    system = Path("/usr/bin/python3")
    if system.exists():
        return str(system), ()
    prefix = Path(sys.base_prefix)
    return str(Path(sys.executable).resolve()), (Mount(source=prefix, target=str(prefix)),)


def what_to_do(root: Path = Path("/")) -> tuple[str, ...]:
    """Look for what refuses namespaces on this machine, and say what would allow them. Blocking."""

    def reads(path: str) -> str | None:
        file = root / path
        return file.read_text().strip() if file.is_file() else None

    hints = []
    if reads("proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        hints.append(
            "AppArmor refuses user namespaces to ordinary users (Ubuntu 24.04 and later): give /usr/bin/bwrap a "
            "profile with `userns,`, or run: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        )
    if reads("proc/sys/kernel/unprivileged_userns_clone") == "0":
        hints.append("user namespaces are off for ordinary users; run: sysctl -w kernel.unprivileged_userns_clone=1")
    if reads("proc/sys/user/max_user_namespaces") == "0":
        hints.append("user namespaces are off; run: sysctl -w user.max_user_namespaces=10000")
    is_filtered = "\nSeccomp:\t2\n" in f"{reads('proc/self/status')}\n"
    if is_filtered or (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        hints.append(
            "in a container, namespaces need a wider system call profile: start it as an ordinary user with "
            "docker run --security-opt seccomp=seccomp-docker.json --security-opt systempaths=unconfined "
            "(`buildthrough seccomp` prints the profile); where AppArmor is on also --security-opt apparmor=unconfined"
        )
    return tuple(hints)
