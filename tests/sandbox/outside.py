"""What is looked at from outside while a hostile sdist is built: secrets, listeners, processes, settings."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fakes.uids import WORKBENCH
from tests.sandbox.workbench import package

from buildthrough.builders.build_log import BuildLog
from buildthrough.builders.faults import BuildEnded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.sdists import Sdist
    from tests.sandbox.workbench import Workbench

    from buildthrough.builders.artifact import CheckedWheel

UIDS = range(WORKBENCH, WORKBENCH + 4)
"""Of the builds that are looked after here."""
PLANTED = ("BUILDTHROUGH_TEST_CANARY", "SECRET_TOKEN", "PIP_INDEX_URL", "UV_INDEX_URL", "SSH_AUTH_SOCK", "NETRC")
"""Variables that hold the canary."""
_ADD_KEY = {"x86_64": 248, "aarch64": 217}
_SESSION = -3


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """How the build of a hostile sdist ended: with a wheel or with a fault."""

    wheel: CheckedWheel | None
    fault: BuildEnded | None
    log: str

    @property
    def kind(self) -> str | None:
        """The class of the fault, None of a wheel."""
        return None if self.fault is None else self.fault.kind


@dataclass
class Outside:
    """The machine round a build, with traps laid."""

    folder: Path
    canary: str = field(default_factory=lambda: f"canary{uuid.uuid4().hex}")
    heard: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.token = self.folder / "token"
        self.token.write_text(self.canary)
        self.token.chmod(0o644)
        self.tcp, self.udp = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.abstract, self.path = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self.tcp.bind(("127.0.0.1", 0))
        self.udp.bind(("127.0.0.1", 0))
        self.abstract.bind(f"\0{self.canary[:20]}")
        self.path.bind(str(self.folder / "socket"))
        (self.folder / "socket").chmod(0o777)
        for listener in (self.tcp, self.abstract, self.path):
            listener.listen()
        for each in (self.tcp, self.udp, self.abstract, self.path):
            each.setblocking(False)  # the only argument it has
        self.core_pattern = Path("/proc/sys/kernel/core_pattern").read_bytes()

    def told(self, pid: int = 1) -> dict[str, object]:
        """Return all that a build would need to know to find the traps; it is told, so that it need not guess."""
        return {
            "paths": [
                str(self.token), "/etc/shadow", "/etc/machine-id", "/root", "/root/.npmrc", "/root/.ssh", "/run",
                "/var", "/sys", "/mnt", "/opt", "/srv", str(self.folder), str(Path.cwd()),
            ],
            "pid": pid,
            "tcp": self.tcp.getsockname()[1],
            "udp": self.udp.getsockname()[1],
            "abstract": self.canary[:20],
            "socket": str(self.folder / "socket"),
            "key": plant_key(self.canary),
        }  # fmt: skip

    async def attack(self, bench: Workbench, sdist: Sdist | str, **options: object) -> Attack:
        """Build it and look whether anything came through, and whether anything was left."""
        attack = await self.build(bench, sdist, **options)
        self.look_for_remains()
        return attack

    async def build(self, bench: Workbench, sdist: Sdist | str, **options: object) -> Attack:
        """Build it and look whether anything came through; other builds may be under way."""
        log = BuildLog()
        wheel, fault = None, None
        try:
            wheel = await bench.build(package(sdist) if isinstance(sdist, str) else sdist, log=log, **options)
        except BuildEnded as ended:
            fault = ended
        attack = Attack(wheel=wheel, fault=fault, log=log.text())
        self._look(attack)
        return attack

    def _look(self, attack: Attack) -> None:
        assert self.canary not in attack.log
        assert self.canary not in str(attack.fault)
        if attack.wheel is not None:
            assert self.canary.encode() not in attack.wheel.path.read_bytes()
        assert self._hits() == []
        assert Path("/proc/sys/kernel/core_pattern").read_bytes() == self.core_pattern

    def look_for_remains(self) -> None:
        """Assert that nothing is alive or on a disk of what was built."""
        assert processes_of(UIDS) == []
        assert list(files_of(UIDS)) == []

    def _hits(self) -> list[str]:
        hits = []
        for name in ("tcp", "abstract", "path"):
            try:
                getattr(self, name).accept()
            except BlockingIOError:
                continue
            hits.append(name)
        try:
            self.udp.recv(1)
        except BlockingIOError:
            return hits
        return [*hits, "udp"]

    def close(self) -> None:
        """Take the traps away."""
        for each in (self.tcp, self.udp, self.abstract, self.path):
            each.close()


@contextmanager
def traps(folder: Path) -> Iterator[Outside]:
    """Lay the traps in a folder that everybody can read, with a canary in the environment as well."""
    folder.mkdir()
    folder.chmod(0o755)
    outside = Outside(folder=folder)
    for name in PLANTED:
        os.environ[name] = outside.canary
    try:
        yield outside
    finally:
        for name in PLANTED:
            del os.environ[name]
        outside.close()
        shutil.rmtree(folder)


@contextmanager
def neighbour(uid: int, canary: str) -> Iterator[int]:
    """Start a process of the host that has the user of a build and a secret in its environment; yield its number."""
    argv = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "sleep", "300"]
    with subprocess.Popen(argv, env={"SECRET": canary, "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def plant_key(content: str) -> int:
    """Put a key into the session's keyring of the kernel and return its number, 0 where the kernel has none."""
    number = _ADD_KEY.get(os.uname().machine)
    if number is None:
        return 0
    data = content.encode()
    serial = ctypes.CDLL(None, use_errno=True).syscall(number, b"user", b"canary", data, len(data), _SESSION)
    return max(serial, 0)


def processes_of(uids: range) -> list[str]:
    """Return the command lines of living processes of these users."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
            if int(status["Uid"].split()[0]) in uids and status["State"].split()[0] not in {"Z", "X"}:
                found.append((process / "cmdline").read_text().replace("\0", " ") or status["Name"].strip())
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return found


def is_shown(uid: int, path: str) -> bool:
    """Whether a process of this user has that path in file systems of its own."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if process.stat().st_uid == uid and Path(f"{process}/root{path}").exists():
                return True
    return False


def files_of(uids: range) -> Iterator[str]:
    """Return what these users own where anybody may write."""
    for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run/lock", "/dev/mqueue"):  # looked at
        for entry in os.scandir(folder) if Path(folder).is_dir() else ():
            try:
                if entry.stat(follow_symlinks=False).st_uid in uids:
                    yield entry.path
            except FileNotFoundError:
                continue  # another process's
