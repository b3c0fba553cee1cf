"""Cases 1 to 18 of docs/hostile-sdists.md and some beyond: one real sdist tries all, its wheel tells what came."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes.uids import WORKBENCH
from tests.sandbox.outside import PLANTED, neighbour, traps
from tests.sandbox.workbench import package, workbench

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a build a user of its own"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86_64"),
]
MISSING = {"ENOENT", "ENOTDIR"}
HARMLESS = {"LANG", "LC_ALL", "LC_CTYPE", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONUNBUFFERED", "TERM", "TZ"}
"""May be the same by chance."""
LENT = {"EROFS", "EACCES"}


@pytest.fixture(scope="module")
def report() -> Iterator[Mapping[str, Any]]:
    """Build the sdist once, among traps; what the fixture asserts itself is that none of them was touched."""
    with (
        workbench() as bench,
        traps(bench.folder / "traps") as outside,
        neighbour(WORKBENCH + 9, outside.canary) as pid,
    ):
        lent = sorted({mount.target for mount in bench.kit.mounts(bench.target)})
        told = outside.told(pid) | {"lent": lent}
        sdist = package("reaches-out", more={"told.json": json.dumps(told).encode()})
        attack = asyncio.run(outside.attack(bench, sdist))
        assert attack.wheel is not None, (attack.fault, attack.log)
        assert Path(f"/proc/{pid}").exists()
        with zipfile.ZipFile(attack.wheel.path) as archive:
            yield json.loads(archive.read("sample.json"))


def test_files_of_the_host_do_not_exist(report):
    assert set(report["see_files"].values()) == {False}


def test_other_processes_cannot_be_seen_read_or_ended(report):
    assert report["see_processes"] == {
        "environ of pid 1": "EACCES",
        "descriptors of pid 1": "EACCES",
        "memory of pid 1": "EACCES",
        "environ of a process outside": "ENOENT",
        "a signal to a process outside": "ESRCH",
        "others": [],
    }


def test_nothing_of_the_servers_environment_is_in_that_of_a_build(report):
    inside = report["see_environment"]
    assert set(PLANTED) & set(inside) == set()
    assert inside["HOME"] == "/home/build"
    assert {name for name in set(inside) & set(os.environ) if inside[name] == os.environ[name]} <= HARMLESS


def test_nothing_can_be_connected_to(report):
    said = dict(report["connect"])
    assert said.pop("quick") is True
    assert said.pop("abstract socket") == "ECONNREFUSED"
    assert {said.pop("socket with a path"), said.pop("docker")} <= MISSING
    assert said.pop("name").startswith(("gaierror", "EAI", "EAGAIN", "ENOENT")), report["connect"]
    assert said == dict.fromkeys(said, "EAFNOSUPPORT")
    assert len(said) == 6


def test_other_families_of_sockets_do_not_exist(report):
    assert report["open_sockets"] == dict.fromkeys(report["open_sockets"], "EAFNOSUPPORT")


UNKNOWN = {"clone3", "x32 getpid", "call 999"}


def test_calls_that_reach_beyond_a_build_are_refused(report):
    said = report["call_the_kernel"]
    assert {name for name, error in said.items() if error == "ENOSYS"} == UNKNOWN
    assert {name: error for name, error in said.items() if name not in UNKNOWN and error != "EPERM"} == {}


def test_there_is_no_terminal(report):
    said = report["find_terminals"]
    assert said["/dev/tty"] == "ENOENT"
    assert said["openpty"] != "done"


def test_nobody_rises(report):
    said = dict(report["rise"])
    assert said.pop("su") is True
    assert set(said.values()) <= {"EPERM", "EINVAL", "EACCES", "ValueError"}


def test_pid_1_survives_its_own_build(report):
    assert report["kill_pid_1"] == ["done"] * 3  # as it is sent; the report is there, so nothing came of it


def test_nothing_lent_can_be_written_to(report):
    said = dict(report["write"])
    assert said.pop("/dev/shm and /tmp") == "done"
    assert {place: error for place, error in said.items() if error not in LENT | MISSING} == {}


def test_nothing_lent_can_be_linked_into_the_build(report):
    assert set(report["link"].values()) <= {"EXDEV", "EPERM"}
    assert len(report["link"]) >= 2


def test_32_bit_calls_end_the_program(report):
    assert report["run_32_bits"]["gate"] == -31  # SIGSYS


def test_flushing_disks_in_a_loop_flushes_nothing_of_the_host(report):
    assert report["flush_the_disks"]["waits"] < 200  # of 400 calls, each of which waits for a disk if it is a real one
    assert report["flush_the_disks"]["of a disk that there is not"] == 0  # nobody looked at it
