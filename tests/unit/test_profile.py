"""The command line that isolates, compared whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from buildthrough.builders.profile import ETC_FILES, Descriptors, Host, Root, command_line
from buildthrough.builders.sandbox import Command, Limits, Mount

GOLDEN = Path(__file__).parents[1] / "golden"

DEBIAN = Host(
    sh="/usr/bin/sh",
    setpriv="/usr/bin/setpriv",
    prlimit="/usr/bin/prlimit",
    nice="/usr/bin/nice",
    bwrap="/usr/bin/bwrap",
    proc_folders=("sys", "irq", "bus", "fs", "acpi", "tty", "pressure"),
    proc_files=("keys", "key-users", "timer_list", "kallsyms", "cmdline", "kmsg", "config.gz"),
)
UNMERGED = replace(
    DEBIAN, proc_folders=("sys",), proc_files=("keys",),
    ceilings={"nofile": 1024, "nproc": 100_000},
)  # fmt: skip
MERGED = Root(
    links=(("usr/bin", "/bin"), ("usr/sbin", "/sbin"), ("usr/lib", "/lib"), ("usr/lib64", "/lib64")), folders=()
)
SEPARATE = Root(links=(), folders=("/bin", "/sbin", "/lib", "/lib64"))
ANOTHER = replace(MERGED, folder="/srv/targets/debian-trixie")
DESCRIPTORS = Descriptors(
    etc={path: number for number, path in enumerate(ETC_FILES, 10)}, seccomp=14, status=15, answers=16, messages=17
)
COMMAND = Command(
    argv=("/opt/python/bin/python3", "-I", "-S", "/sbx/driver.py", "/sdist/x-1.tar.gz"),
    mounts=(
        Mount(source=Path("/srv/python"), target="/opt/python"),
        Mount(source=Path("/srv/x-1.tar.gz"), target="/sdist/x-1.tar.gz"),
    ),
    limits=Limits(),
    environment={"MAKEFLAGS": "-j1", "SETUPTOOLS_SCM_PRETEND_VERSION": "1"},
)
GROUPS = (Path("/sys/fs/cgroup/memory/b-1-0/cgroup.procs"), Path("/sys/fs/cgroup/pids/b-1-0/cgroup.procs"))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("profile-own-user-and-cgroup-v1", {"host": DEBIAN, "user": (59700, 59700), "cgroups": GROUPS}),
        ("profile-ordinary-user", {"host": UNMERGED, "root": SEPARATE}),
        ("profile-container", {"host": DEBIAN, "own_proc": False}),
        ("profile-root-file-system", {"host": DEBIAN, "root": ANOTHER}),
    ],
)
def test_the_command_line_is_the_one_that_was_reviewed(name, given):
    argv = command_line(
        COMMAND, **{"root": MERGED, "user": None, "cgroups": (), **given}, descriptors=DESCRIPTORS, processes=256
    )
    assert list(argv) == json.loads((GOLDEN / f"{name}.json").read_text())


@pytest.mark.parametrize("user", [(0, 0), (0, 59700), (59700, 0)])
def test_nobody_becomes_root(user):
    with pytest.raises(ValueError, match="never started as root"):
        command_line(COMMAND, host=DEBIAN, root=MERGED, descriptors=DESCRIPTORS, user=user, cgroups=(), processes=1)


def test_limits_reach_the_command_line():
    limits = Limits(address_space_bytes=1, file_bytes=2, cpu_seconds=3, disk_bytes=4)
    argv = command_line(
        replace(COMMAND, limits=limits),
        host=DEBIAN,
        root=MERGED,
        descriptors=DESCRIPTORS,
        user=None,
        cgroups=(),
        processes=5,
    )
    assert {"--as=1", "--fsize=2", "--cpu=3", "--nproc=5"} < set(argv)
    assert ("--size", "4", "--tmpfs", "/build") in zip(argv, argv[1:], argv[2:], argv[3:], strict=False)


def test_the_root_is_closed_after_the_last_mount():
    argv = command_line(COMMAND, host=DEBIAN, root=MERGED, descriptors=DESCRIPTORS, user=None, cgroups=(), processes=5)
    closing = max(index for index, word in enumerate(argv) if word == "/" and argv[index - 1] == "--remount-ro")
    assert not {"--ro-bind", "--tmpfs", "--symlink", "--dev-bind"} & set(argv[closing:])
