"""What the machine has, and what of it builds may use."""

from __future__ import annotations

import os

import pytest

from buildthrough.builders.demand import Demand
from buildthrough.builders.machine import budget, memory_total, read_capacity

GIB = 1 << 30
ALL = len(os.sched_getaffinity(0))


def machine(folder, files):
    meminfo = {"proc/meminfo": "MemTotal:       16777216 kB\nMemFree:  1 kB\n"}
    for name, text in (meminfo | files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


V1_CPU = "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_"


@pytest.mark.parametrize(
    ("groups", "files", "memory", "cpus"),
    [
        ("0::/", {}, 16, ALL),
        ("0::/", {"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/cpu.max": "max 100000"}, 16, ALL),
        ("0::/", {"sys/fs/cgroup/memory.max": f"{4 * GIB}\n"}, 4, ALL),
        (
            "0::/a/b",
            {"sys/fs/cgroup/a/memory.max": f"{3 * GIB}\n", "sys/fs/cgroup/a/b/memory.max": f"{5 * GIB}\n"},
            3,
            ALL,
        ),
        ("0::/a", {"sys/fs/cgroup/a/cpu.max": "150000 100000\n"}, 16, 1),
        ("0::/a", {"sys/fs/cgroup/a/cpu.max": "50000 100000\n"}, 16, 1),
        ("4:memory:/docker/x", {"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}\n"}, 2, ALL),
        ("4:memory:/", {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 16, ALL),
        ("3:cpu,cpuacct:/a", {f"{V1_CPU}quota_us": "100000", f"{V1_CPU}period_us": "100000"}, 16, 1),
        ("3:cpu,cpuacct:/a", {f"{V1_CPU}quota_us": "-1", f"{V1_CPU}period_us": "100000"}, 16, ALL),
    ],
)
def test_capacity_is_what_groups_leave(tmp_path, groups, files, memory, cpus):
    root = machine(tmp_path, {"proc/self/cgroup": f"{groups}\n"} | files)
    assert read_capacity(root) == Demand(memory_bytes=memory * GIB, cpus=cpus)


def test_the_capacity_of_this_machine_is_sound():
    capacity = read_capacity()
    assert capacity.memory_bytes > 1 << 28
    assert 1 <= capacity.cpus <= ALL


def test_a_machine_without_memory_is_none():
    with pytest.raises(ValueError, match="MemTotal"):
        memory_total("MemFree: 1 kB\n")


@pytest.mark.parametrize(
    ("memory", "cpus", "asked", "found"),
    [
        (16, 4, (0, 0), (13, 4)),
        (2, 1, (0, 0), (2, 1)),
        (1, 1, (0, 0), (2, 1)),
        (16, 4, (6, 2), (6, 2)),
        (4, 2, (60, 64), (60, 64)),
    ],
)
def test_the_budget(memory, cpus, asked, found):
    assert budget(
        Demand(memory_bytes=memory * GIB, cpus=cpus),
        memory_bytes=asked[0] * GIB,
        cpus=asked[1],
        reserve_bytes=GIB,
        least=Demand(memory_bytes=2 * GIB, cpus=1),
    ) == Demand(memory_bytes=found[0] * GIB, cpus=found[1])


@pytest.mark.parametrize(("memory", "cpus", "name"), [(1, 0, "pool_memory_bytes"), (0, 1, "pool_cpus")])
def test_a_budget_for_no_build_is_refused(memory, cpus, name):
    with pytest.raises(ValueError, match=name):
        budget(
            Demand(memory_bytes=16 * GIB, cpus=4),
            memory_bytes=memory * GIB,
            cpus=cpus,
            reserve_bytes=0,
            least=Demand(memory_bytes=2 * GIB, cpus=2),
        )
