"""Finds out what this machine isolates, by trying it inside, and says it in plain words."""

from __future__ import annotations

import asyncio
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    "canary": os.path.exists(canary),
    "keys": call(int(keyctl), 0, -3, 0) != -1 or ctypes.get_errno() != 1,
    "usr": writes("/usr/written"),
    "kernel": writes("/proc/sys/kernel/core_pattern"),
}
with open(int(messages), "w") as out:
    out.write(json.dumps(report) + "\\n")
"""
"""Run inside: each entry but the uid is true where the isolation does *not* hold."""

_HOLDS = {
    "network": "no network: a connection to this machine's own loopback is refused inside",
    "canary": "no files of this machine but /usr and what a build is given",
    "keys": "no kernel keys and no other dangerous system calls",
    "usr": "nothing that is lent can be written to",
    "kernel": "no kernel settings",
}
_BROKEN = {
    "network": "a build reached this machine's loopback network",
    "canary": "a build saw a file of this machine",
    "keys": "a build could use kernel keys: the system call filter does not work",
    "usr": "a build could write to /usr",
    "kernel": "a build could write to /proc/sys",
}


async def probe(sandbox: Sandbox, slot: Slot, work: Path) -> Isolation:
    """Run an attempt to get out inside of the sandbox, and report how far it came."""
    try:
        report = await _attempt(sandbox, work)
    except InfrastructureFault as fault:
        hints = await asyncio.to_thread(_what_to_do, Path("/"))
        return Isolation(level="0", sentences=(f"nothing is built here: {fault.line}", *hints))
    broken = [sentence for name, sentence in _BROKEN.items() if report.get(name) is not False]
    if report.get("uid") == 0:
        broken.append("a build is root inside")
    if broken:
        return Isolation(level="0", sentences=("nothing is built here: the sandbox does not hold", *broken))
    return _graded(slot)


def _graded(slot: Slot) -> Isolation:
    sentences = list(_HOLDS.values())
    if slot.uid is None:
        sentences.append(
            "builds run as the server's own user and share its limit of processes; "
            "a server started as root gives each slot a user of its own"
        )
    else:
        sentences.append(f"this slot builds as a user of its own (uid {slot.uid})")
    if slot.hierarchy is None:
        sentences.append(
            "memory is bounded by looking ten times a second, since no control group may be made here: "
            "start the server as root, or in a container with a limit of its own, to have the kernel do it"
        )
    else:
        sentences.append(f"memory and processes are bounded by control groups (version {slot.hierarchy.version})")
    full = slot.uid is not None and slot.hierarchy is not None
    return Isolation(level="2" if full else "2u", sentences=tuple(sentences))


async def _attempt(sandbox: Sandbox, work: Path) -> dict[str, Any]:
    listener = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    folder = await asyncio.to_thread(_lay_canary, work)
    try:
        port = listener.sockets[0].getsockname()[1]
        python, mounts = await asyncio.to_thread(_python)
        keyctl = _KEYCTL.get(platform.machine(), -1)
        words = (str(port), str(folder / "canary"), str(keyctl))
        argv = (python, "-I", "-S", "-c", _ATTEMPT, *words)
        report, ending = await sandbox.run(Command(argv=argv, mounts=mounts, limits=_LIMITS), _first_message)
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


def _what_to_do(root: Path) -> list[str]:
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
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        hints.append(
            "in a container, namespaces need a wider system call profile and an unmasked /proc; start it as an "
            "ordinary user with: docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined; "
            "better than unconfined is Docker's own profile plus clone, unshare, mount, umount2, pivot_root and "
            "sethostname; where AppArmor is on also --security-opt apparmor=unconfined"
        )
    return hints
