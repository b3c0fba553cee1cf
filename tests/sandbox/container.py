"""Containers as Docker makes them, by Debian's runc: no capability, no new privileges, masked /proc, read-only root.

There is no Docker engine here. What differs from one: the root file system is put together of this machine's /usr,
the network name space holds nothing, and AppArmor is not on.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fakes import uids

from buildthrough.builders import container_profile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
MASKED = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
NEW_NAMESPACES = 0x7E020000
"""CLONE_NEW* of clone(2)."""


def without_namespaces() -> dict[str, Any]:
    """Return a profile that makes no namespaces, as Docker's default makes none for who has no capability."""
    profile = container_profile.profile()
    first = profile["syscalls"][0]
    first["names"] = [name for name in first["names"] if name not in container_profile.NAMESPACE_CALLS]
    mask = {"index": 0, "value": NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    profile["syscalls"] += [
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [mask]},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    ]
    return profile | {"defaultErrnoRet": 1}


@contextmanager
def container(*, seccomp: Mapping[str, Any] | None, masked: bool = True, uid: int = uids.CONTAINER) -> Iterator[Bundle]:
    """Make one ready; nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="container-"))
    folder.chmod(0o755)
    bundle = Bundle(folder, seccomp, masked=masked, uid=uid)
    try:
        yield bundle
    finally:
        shutil.rmtree(folder)


class Bundle:
    """An OCI bundle, and what runs it."""

    def __init__(self, folder: Path, seccomp: Mapping[str, Any] | None, *, masked: bool, uid: int) -> None:
        self.folder = folder
        self.seccomp = seccomp
        self.masked = masked
        self.uid = uid
        self.environment: dict[str, str] = {}
        self.mounts = [*_system(), *_lent(Path(sys.base_prefix), ROOT, Path(sys.prefix))]

    async def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a container of its own until it ends."""
        return await asyncio.to_thread(
            subprocess.run,
            self.command(*argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def command(self, *argv: str) -> tuple[str, ...]:
        """Lay everything out, and return what runs a command in a container of its own. Signals are handed on."""
        self._lay_out(argv)
        name = f"buildthrough-test-{uuid.uuid4().hex[:12]}"
        return ("runc", "--root", str(self.folder / "state"), "run", "--bundle", str(self.folder), name)

    def share(self, folder: Path) -> None:
        """Show a folder of the host at its own place; it can be written to."""
        self.mounts.append(
            {"destination": str(folder), "type": "bind", "source": str(folder), "options": ["rbind", "rw", "nosuid"]}
        )

    def _lay_out(self, argv: tuple[str, ...]) -> None:
        root = self.folder / "rootfs"
        for mount in self.mounts:
            (root / mount["destination"].lstrip("/")).mkdir(parents=True, exist_ok=True)
        for name in ("tmp", "dev/shm"):
            (root / name).mkdir(parents=True, exist_ok=True)
            (root / name).chmod(0o1777)  # runc gives a temporary file system the mode of what it covers
        (root / "etc").mkdir(exist_ok=True)
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        for name in ("bin", "sbin", "lib", "lib64"):
            if not (root / name).is_symlink():
                (root / name).symlink_to(f"usr/{name}")
        if Path("/etc/ld.so.cache").exists():
            shutil.copy("/etc/ld.so.cache", root / "etc")
        (self.folder / "config.json").write_text(json.dumps(self._configuration(argv)))

    def _configuration(self, argv: tuple[str, ...]) -> dict[str, Any]:
        linux: dict[str, Any] = {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "maskedPaths": list(MASKED) if self.masked else [],
            "readonlyPaths": list(READ_ONLY) if self.masked else [],
        }
        if self.seccomp is not None:
            linux["seccomp"] = self.seccomp
        return {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": self.uid, "gid": self.uid},
                "args": list(argv),
                "env": ["PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "PYTHONDONTWRITEBYTECODE=1"]
                + [f"{name}={value}" for name, value in self.environment.items()],
                "cwd": str(ROOT),
                "capabilities": {"bounding": []},
                "noNewPrivileges": True,
            },
            "root": {"path": "rootfs", "readonly": True},
            "hostname": "container",
            "mounts": self.mounts,
            "linux": linux,
        }


def _system() -> list[dict[str, Any]]:
    return [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        },
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "nodev", "mode=1777"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},
    ]


def _lent(*folders: Path) -> list[dict[str, Any]]:
    """Show folders of this machine at their own places, read-only, each once."""
    wanted = [Path("/usr"), *(folder for folder in folders if not folder.is_relative_to("/usr"))]
    return [
        {"destination": str(folder), "type": "bind", "source": str(folder), "options": ["rbind", "ro", "nosuid"]}
        for folder in dict.fromkeys(wanted)
        if not any(other in folder.parents for other in wanted)
    ]
