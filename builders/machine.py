"""How much memory and how many processors this process may use: the machine's, less what control groups take away."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from buildthrough.builders.demand import Demand

if TYPE_CHECKING:
    from collections.abc import Iterator

_CGROUPS = Path("/sys/fs/cgroup")


def read_capacity(root: Path = Path("/")) -> Demand:
    """Look at this machine. Blocking. ``root`` is where /proc and /sys are found."""
    groups = (root / "proc/self/cgroup").read_text()
    base = root / _CGROUPS.relative_to("/")
    memory = [memory_total((root / "proc/meminfo").read_text())]
    cpus = [len(os.sched_getaffinity(0))]
    for folder in _folders(groups, base):
        memory += [limit for name in ("memory.max", "memory.limit_in_bytes") if (limit := _number(folder / name))]
        if quota := _quota(folder):
            cpus.append(quota)
    return Demand(memory_bytes=min(memory), cpus=min(cpus))


def memory_total(meminfo: str) -> int:
    """Return the bytes of memory that the machine has, by /proc/meminfo (proc(5))."""
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) << 10
    raise ValueError("no MemTotal in /proc/meminfo")


def budget(capacity: Demand, *, memory_bytes: int, cpus: int, reserve_bytes: int, least: Demand) -> Demand:
    """Return what all builds together may use; 0 for an amount takes what the machine has.

    The server keeps an eighth of the machine's memory and ``reserve_bytes``. An amount that was not asked for is never
    below ``least``, what one ordinary build may use: a small machine still builds, one after the other. Raise
    ValueError, with a sentence, where one that was asked for is.
    """
    if memory_bytes and memory_bytes < least.memory_bytes:
        raise ValueError("build.pool_memory_bytes is below build.memory_bytes, so no build would ever fit; raise it")
    if cpus and cpus < least.cpus:
        raise ValueError("build.pool_cpus is below build.cpus, so no build would ever fit; raise it")
    rest = capacity.memory_bytes * 7 // 8 - reserve_bytes
    return Demand(
        memory_bytes=memory_bytes or max(rest, least.memory_bytes), cpus=cpus or max(capacity.cpus, least.cpus)
    )


def _folders(groups: str, base: Path) -> Iterator[Path]:
    """Give the folders of this process' groups and of those above them (cgroups(7)).

    A group outside of what is mounted is not seen; then the mount is the group that bounds us.
    """
    for line in groups.splitlines():
        _, names, path = line.split(":", 2)
        for hierarchy in (base / names, *(base / name for name in names.split(",")), base):
            folder = hierarchy / path.lstrip("/")
            while folder != hierarchy:
                yield folder
                folder = folder.parent
            yield hierarchy


def _number(file: Path) -> int | None:
    with suppress(OSError, ValueError):  # not there, or "max"
        return int(file.read_text())
    return None


def _quota(folder: Path) -> int | None:
    """Return the whole processors that a group may use, at least one; None where there is no such bound."""
    quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    with suppress(OSError, ValueError):
        quota, period = map(int, (folder / "cpu.max").read_text().split())
    if not quota or not period or quota < 0:
        return None
    return max(quota // period, 1)
