"""Limits of a whole command by control groups, version 1 or 2: memory, processes, and no processor that others want.

All calls block for microseconds.
"""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from buildthrough.builders.faults import InfrastructureFault, SlotFault

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"buildthrough-(?P<supervisor>\d+)-\d+")
_REMOVAL_SECONDS = 10.0
_NO_SLOT = 999999
_CONTROLLERS = "+memory +pids"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """Where this process may make control groups."""

    version: Literal[1, 2]
    memory: Path
    """The group under which we make ours, in the hierarchy of the memory controller."""
    pids: Path
    """The same for the pids controller; with version 2 the same folder."""
    cpu: Path | None = None
    """The same for the cpu controller, where there is one to be had."""
    cpuacct: Path | None = None
    """The same for the controller that counts processor time; with version 2 every group does."""

    @property
    def parents(self) -> tuple[Path, ...]:
        """The different ones of them."""
        folders = (self.memory, self.pids, self.cpu, self.cpuacct)
        return tuple(dict.fromkeys(path for path in folders if path is not None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a group has counted since it was made."""

    peak_bytes: int | None
    oom_kills: int
    refused_forks: int = 0
    """How often another process or thread was refused."""
    cpu_seconds: float | None = None


class Cgroup:
    """The group of one slot, made for each command anew so that its counters begin at zero."""

    def __init__(self, hierarchy: Hierarchy, slot: int) -> None:
        name = f"buildthrough-{os.getpid()}-{slot}"
        self._version = hierarchy.version
        self._memory = hierarchy.memory / name
        self._pids = hierarchy.pids / name
        self._cpu = None if hierarchy.cpu is None else hierarchy.cpu / name
        self._cpuacct = None if hierarchy.cpuacct is None else hierarchy.cpuacct / name
        self._folders = tuple(parent / name for parent in hierarchy.parents)

    @property
    def procs(self) -> tuple[Path, ...]:
        """The files to write "0" to in order to join."""
        return tuple(folder / "cgroup.procs" for folder in self._folders)

    def create(self, *, memory_bytes: int, processes: int) -> None:
        """Make it with its limits. Raise `InfrastructureFault` where the kernel refuses."""
        try:
            for folder in self._folders:
                _remove(folder)
                folder.mkdir()
            if self._version == 1:
                _write(self._memory, "memory.limit_in_bytes", memory_bytes)
                _write_if_there(self._memory, "memory.memsw.limit_in_bytes", memory_bytes)
            else:
                _write(self._memory, "memory.max", memory_bytes)
                _write_if_there(self._memory, "memory.swap.max", 0)
                _write_if_there(self._memory, "memory.oom.group", 1)
            _write(self._pids, "pids.max", processes)
            if self._cpu is not None:
                _write_if_there(self._cpu, "cpu.idle", 0)  # as it is; refused here if ever: `give_way` comes too late
        except OSError as error:
            raise InfrastructureFault("infra.sandbox", f"the control group cannot be made: {error}") from error

    def give_way(self) -> None:
        """Let what is in it have only the processor time that others leave.

        A weight alone would not do: the kernel lets who runs finish its slice of some milliseconds before somebody who
        wakes up, unless whoever runs is idle.
        """
        if self._cpu is not None:
            _write_if_there(self._cpu, "cpu.idle", 1)

    def hurry(self) -> None:
        """Take that back: what is killed has to run to die, and to give back its memory."""
        if self._cpu is not None:
            _write_if_there(self._cpu, "cpu.idle", 0)

    def usage(self) -> Usage:
        """Read the counters."""
        peak = "memory.max_usage_in_bytes" if self._version == 1 else "memory.peak"
        return Usage(
            peak_bytes=_read_number(self._memory / peak),
            oom_kills=self.oom_kills(),
            refused_forks=_read_key(self._pids / "pids.events", "max"),
            cpu_seconds=self.cpu_seconds(),
        )

    def oom_kills(self) -> int:
        """Return how many of its processes were killed for memory so far."""
        return _read_key(self._memory / ("memory.oom_control" if self._version == 1 else "memory.events"), "oom_kill")

    def cpu_seconds(self) -> float | None:
        """Return the processor time that was used so far, None where no controller counts it."""
        if self._version == 1:
            nanoseconds = None if self._cpuacct is None else _read_number(self._cpuacct / "cpuacct.usage")
            return None if nanoseconds is None else nanoseconds / 1e9
        return _read_key(self._memory / "cpu.stat", "usage_usec") / 1e6

    def members(self) -> frozenset[int]:
        """Return the processes that are in it, in whichever of its folders."""
        files = (_read_if_there(procs) for procs in self.procs)
        return frozenset(int(pid) for file in files for pid in file.split())

    def remove(self) -> None:
        """Kill what is still in it and remove it. Raise `SlotFault` where it stays."""
        try:
            for folder in self._folders:
                _remove(folder)
        except OSError as error:
            raise SlotFault("infra.remains", f"the control group cannot be removed: {error}") from error


def find_hierarchy() -> Hierarchy | None:
    """Return where control groups with memory and process limits can be made; None where nowhere. Blocking."""
    mounts = _mounts(Path("/proc/self/mountinfo").read_text())
    own = _own_groups(Path("/proc/self/cgroup").read_text())
    if "memory" in mounts and "pids" in mounts:
        memory, pids = (_under(*mounts[name], own.get(name, "/")) for name in ("memory", "pids"))
        if _can_make(memory) and _can_make(pids):
            cpu, cpuacct = (_usable(name, mounts, own) for name in ("cpu", "cpuacct"))
            return Hierarchy(version=1, memory=memory, pids=pids, cpu=cpu, cpuacct=cpuacct)
    if "" in mounts:
        folder, root = mounts[""]
        for parent in (_in_root(folder), _in_own(_under(folder, root, own.get("", "/")))):
            if parent is not None:
                return Hierarchy(version=2, memory=parent, pids=parent, cpu=parent if _has_cpu(parent) else None)
    return None


def remove_stale(hierarchy: Hierarchy) -> None:
    """Remove the groups of servers that have died, and our own leftovers. Blocking."""
    for parent in hierarchy.parents:
        for folder in parent.glob("buildthrough-*"):
            match = _NAME.fullmatch(folder.name)
            if match and (match["supervisor"] == str(os.getpid()) or not Path("/proc", match["supervisor"]).exists()):
                with suppress(OSError):  # another server may be at the same
                    _remove(folder)


def _mounts(mountinfo: str) -> dict[str, tuple[Path, str]]:
    """By controller, "" for version 2: where its hierarchy is mounted, and which part of it (proc(5))."""
    mounts: dict[str, tuple[Path, str]] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        root, folder = before.split(" ")[3:5]
        if kind == "cgroup2":
            mounts.setdefault("", (Path(folder), root))
        elif kind == "cgroup":
            for option in options.split(" ")[-1].split(","):
                mounts.setdefault(option, (Path(folder), root))
    return mounts


def _own_groups(text: str) -> dict[str, str]:
    """By controller, "" for version 2: the group of this process (cgroups(7))."""
    rows = [line.split(":", 2) for line in text.splitlines()]
    return {name: path for _, names, path in rows for name in names.split(",")}


def _under(folder: Path, root: str, group: str) -> Path:
    """Find the folder of a group. A group outside of the mounted part is not ours to use; the mounted part is."""
    base = root.rstrip("/")
    inside = group.removeprefix(base) if group == base or group.startswith(f"{base}/") else "/"
    return folder / inside.lstrip("/")


def _usable(controller: str, mounts: Mapping[str, tuple[Path, str]], own: Mapping[str, str]) -> Path | None:
    """Return the folder under which we can make groups for a controller of version 1 that is good to have."""
    if controller not in mounts:
        return None
    parent = _under(*mounts[controller], own.get(controller, "/"))
    return parent if _can_make(parent) else None


def _can_make(parent: Path) -> bool:
    probe = parent / f"buildthrough-{os.getpid()}-{_NO_SLOT}"
    try:
        _remove(probe)
        probe.mkdir()
        _remove(probe)
    except OSError:
        return False
    return True


def _has_cpu(parent: Path) -> bool:
    """Hand the cpu controller on to the groups below, where it is handed to this one; else builds are just nice."""
    with suppress(OSError):
        _write(parent.parent, "cgroup.subtree_control", "+cpu")
    try:
        _write(parent, "cgroup.subtree_control", "+cpu")
    except OSError:
        return False
    return True


def _in_root(root: Path) -> Path | None:
    """Make our group in the root of version 2, where the real root may: it may hold processes and groups at once."""
    parent = root / "buildthrough"
    try:
        _write(root, "cgroup.subtree_control", _CONTROLLERS)
        parent.mkdir(exist_ok=True)
        _write(parent, "cgroup.subtree_control", _CONTROLLERS)
    except OSError:
        return None
    return parent if _can_make(parent) else None


def _in_own(own: Path) -> Path | None:
    """Use a group that was handed over to us, which needs its processes moved into a leaf first."""
    leaf = own / "buildthrough-server"
    try:
        leaf.mkdir(exist_ok=True)
        for pid in (own / "cgroup.procs").read_text().split():
            _write(leaf, "cgroup.procs", pid)
        _write(own, "cgroup.subtree_control", _CONTROLLERS)
    except OSError:
        return None
    return own if _can_make(own) else None


def _remove(folder: Path) -> None:
    """Kill what is in a group and remove it; it stays busy for moments after the last process ended."""
    deadline = time.monotonic() + _REMOVAL_SECONDS
    while True:
        try:
            for pid in (folder / "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return


def _write(folder: Path, name: str, value: object) -> None:
    with (folder / name).open("r+") as file:  # never made: a file that is not there is a controller that is not on
        file.write(str(value))


def _write_if_there(folder: Path, name: str, value: object) -> None:
    with suppress(FileNotFoundError):  # depends on the kernel's configuration and age
        _write(folder, name, value)


def _read_number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except FileNotFoundError:  # memory.peak came with Linux 5.19
        return None


def _read_key(file: Path, key: str) -> int:
    rows = dict(line.split(" ", 1) for line in _read_if_there(file).splitlines())
    return int(rows.get(key, 0))


def _read_if_there(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:  # depends on the kernel's configuration and age
        return ""
