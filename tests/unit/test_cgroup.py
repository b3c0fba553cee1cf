"""Control groups of both versions, on folders that stand in for the kernel's."""

from __future__ import annotations

import os

import pytest

from buildthrough.builders import cgroup
from buildthrough.builders.cgroup import Cgroup, Hierarchy, Usage
from buildthrough.builders.faults import InfrastructureFault

V1 = """\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
39 31 0:36 /docker/abc /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""


def test_mounts_and_own_groups_are_read():
    mounts = cgroup._mounts(V1)
    assert {name: (str(folder), root) for name, (folder, root) in mounts.items() if name in {"memory", "pids", ""}} == {
        "memory": ("/sys/fs/cgroup/memory", "/"),
        "pids": ("/sys/fs/cgroup/pids", "/docker/abc"),
        "": ("/sys/fs/cgroup/unified", "/"),
    }
    own = cgroup._own_groups("5:cpu,cpuacct:/a\n4:memory:/jobs/x:y\n0::/user.slice\n")
    assert own == {"cpu": "/a", "cpuacct": "/a", "memory": "/jobs/x:y", "": "/user.slice"}


@pytest.mark.parametrize(
    ("root", "group", "folder"),
    [
        ("/", "/", "/mnt"),
        ("/", "/jobs/1", "/mnt/jobs/1"),
        ("/docker/abc", "/docker/abc", "/mnt"),
        ("/docker/abc", "/docker/abc/inner", "/mnt/inner"),
        ("/docker/abc", "/docker/abcd", "/mnt"),
        ("/docker/abc", "/elsewhere", "/mnt"),
    ],
)
def test_a_group_is_found_below_its_mount(tmp_path, root, group, folder):
    assert str(cgroup._under(tmp_path / "mnt", root, group)) == str(tmp_path) + folder


def test_version_2_gets_its_limits_and_gives_its_counters(tmp_path, monkeypatch):
    group = Cgroup(Hierarchy(version=2, memory=tmp_path, pids=tmp_path), 3)
    folder = tmp_path / f"buildthrough-{os.getpid()}-3"
    monkeypatch.setattr(cgroup, "_remove", lambda _: None)  # a folder of files is not removed as the kernel's are
    monkeypatch.setattr(type(folder), "mkdir", _like_the_kernel)
    group.create(memory_bytes=1000, processes=20)
    written = {"memory.max": "1000", "memory.swap.max": "0", "memory.oom.group": "1", "pids.max": "20"}
    assert {name: (folder / name).read_text() for name in written} == written
    assert group.procs == (folder / "cgroup.procs",)
    (folder / "memory.events").write_text("low 0\noom 3\noom_kill 2\noom_group_kill 1\n")
    assert group.usage() == Usage(peak_bytes=None, oom_kills=2, refused_forks=0, cpu_seconds=0.0)
    (folder / "memory.peak").write_text("900\n")
    (folder / "pids.events").write_text("max 7\n")
    (folder / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n")
    assert group.usage() == Usage(peak_bytes=900, oom_kills=2, refused_forks=7, cpu_seconds=1.5)
    (folder / "cgroup.procs").write_text("12\n345\n")
    assert group.members() == {12, 345}


def test_version_1_counts_time_in_a_hierarchy_of_its_own(tmp_path, monkeypatch):
    parents = {name: tmp_path / name for name in ("memory", "pids", "cpuacct")}
    for parent in parents.values():
        parent.mkdir()
    group = Cgroup(Hierarchy(version=1, **parents), 0)
    name = f"buildthrough-{os.getpid()}-0"
    monkeypatch.setattr(cgroup, "_remove", lambda _: None)
    monkeypatch.setattr(type(tmp_path), "mkdir", _like_the_kernel)
    group.create(memory_bytes=1000, processes=20)
    assert group.cpu_seconds() is None
    (parents["cpuacct"] / name / "cpuacct.usage").write_text("2500000000\n")
    (parents["pids"] / name / "pids.events").write_text("max 3\n")
    assert (group.usage().cpu_seconds, group.usage().refused_forks) == (2.5, 3)


def test_builds_take_only_the_processors_that_nobody_wants(tmp_path, monkeypatch):
    parents = {name: tmp_path / name for name in ("memory", "pids", "cpu")}
    for parent in parents.values():
        parent.mkdir()
    group = Cgroup(Hierarchy(version=1, **parents), 0)
    name = f"buildthrough-{os.getpid()}-0"
    monkeypatch.setattr(cgroup, "_remove", lambda _: None)
    monkeypatch.setattr(type(tmp_path), "mkdir", _like_the_kernel)
    group.create(memory_bytes=1000, processes=20)
    assert (parents["cpu"] / name / "cpu.idle").read_text() == "0", "the sandbox is set up like anybody else"
    group.give_way()
    assert (parents["cpu"] / name / "cpu.idle").read_text() == "1"
    group.hurry()
    assert (parents["cpu"] / name / "cpu.idle").read_text() == "0", "what is killed has to run to die"
    assert (parents["pids"] / name / "pids.max").read_text() == "20"
    assert group.procs == tuple(parent / name / "cgroup.procs" for parent in parents.values())


def _like_the_kernel(folder):
    os.mkdir(folder)  # noqa: PTH102 # Path.mkdir is what is replaced
    for name in (
        "memory.max",
        "memory.swap.max",
        "memory.oom.group",
        "pids.max",
        "cgroup.procs",
        "cpu.idle",
        "memory.limit_in_bytes",
    ):
        (folder / name).write_text("")


def test_a_controller_that_is_not_on_is_our_fault(tmp_path):
    group = Cgroup(Hierarchy(version=2, memory=tmp_path, pids=tmp_path), 0)
    with pytest.raises(InfrastructureFault, match="control group"):
        group.create(memory_bytes=1, processes=1)


def test_only_groups_of_dead_servers_are_stale(tmp_path, monkeypatch):
    dead = 2**22 + 1  # above any pid
    for name in (f"buildthrough-{dead}-0", f"buildthrough-{os.getppid()}-0", "buildthrough-x", "other"):
        (tmp_path / name).mkdir()
    hierarchy = Hierarchy(version=2, memory=tmp_path, pids=tmp_path)
    tried = []
    monkeypatch.setattr(cgroup, "_remove", lambda folder: tried.append(folder.name))
    cgroup.remove_stale(hierarchy)
    assert tried == [f"buildthrough-{dead}-0"]
