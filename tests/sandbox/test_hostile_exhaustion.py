"""Cases 19 to 40 of docs/hostile-sdists.md: what a build can use up, what of it lives on, and who notices."""

from __future__ import annotations

import asyncio
import json
import os
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes.sdists import pure_sdist
from tests.sandbox.outside import UIDS, Attack, Outside, is_shown, traps
from tests.sandbox.workbench import Workbench, package, workbench

from buildthrough.builders.faults import PackageFault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MEBIBYTE = 1 << 20
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a build a user of its own")


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    with workbench() as bench:
        yield bench


@pytest.fixture(scope="module")
def other() -> Iterator[Workbench]:
    """Set up another slot."""
    with workbench(slot=1) as other:
        yield other


@pytest.fixture(scope="module")
def outside(bench: Workbench) -> Iterator[Outside]:
    """Lay the traps once for all of the module; they are looked at after each build."""
    with traps(bench.folder / "traps") as outside:
        yield outside


def report(attack: Attack) -> Mapping[str, Any]:
    """Return what a package tells in its wheel."""
    assert attack.wheel is not None, (attack.fault, attack.log)
    with zipfile.ZipFile(attack.wheel.path) as archive:
        return json.loads(archive.read("sample.json"))


LIMITED: Mapping[str, tuple[str, dict[str, float]]] = {
    "eats-memory": ("limit.memory", {"memory_bytes": 96 * MEBIBYTE}),
    "eats-memory-in-children": ("limit.memory", {"memory_bytes": 128 * MEBIBYTE}),
    "fills-the-disk": ("limit.disk", {"disk_bytes": 64 * MEBIBYTE}),
    "floods-the-log": ("limit.log", {"log_bytes": 64 << 10}),
    "forks-without-end": ("limit.time", {"processes": 40, "wall_seconds": 4.0}),
    "hangs-silently": ("limit.silence", {"silence_seconds": 3.0}),
    "makes-a-sparse-terabyte": ("limit.file-size", {}),
    "makes-files-without-end": ("limit.inodes", {"inodes": 12000}),
    "spins-and-ignores-signals": ("limit.time", {"wall_seconds": 4.0}),
    "spins-in-short-lived-children": ("limit.cpu", {"cpu_seconds": 2}),
    "starts-threads-without-end": ("limit.processes", {"processes": 40}),
    "stops-everybody": ("limit.silence", {"silence_seconds": 3.0}),
    "writes-one-large-file": ("limit.file-size", {"file_bytes": 32 * MEBIBYTE}),
}


@pytest.mark.parametrize(("name", "expected"), LIMITED.items(), ids=LIMITED)
async def test_what_wants_too_much_ends_in_its_own_class(
    bench: Workbench, outside: Outside, name: str, expected: tuple[str, dict[str, float]]
) -> None:
    kind, limits = expected

    attack = await outside.attack(bench, name, **limits)

    assert (attack.kind, isinstance(attack.fault, PackageFault)) == (kind, True), attack.log


async def test_one_process_alone_meets_the_limit_of_processor_time(bench: Workbench, outside: Outside) -> None:
    attack = await outside.attack(bench, "spins-and-ignores-signals", cpu_seconds=1)

    assert attack.kind == "limit.cpu"
    assert attack.fault.line == "used more than 1 seconds of processor time"


async def test_an_anonymous_file_is_bounded_by_the_size_of_files_and_by_memory(
    bench: Workbench, outside: Outside
) -> None:
    by_size = await outside.attack(bench, "eats-memory-in-a-file", file_bytes=32 * MEBIBYTE)
    by_memory = await outside.attack(bench, "eats-memory-in-a-file", memory_bytes=96 * MEBIBYTE)

    assert by_size.kind == "limit.file-size"
    assert by_memory.kind == "limit.memory"


async def test_a_build_that_is_refused_processes_and_fails_is_told_so(bench: Workbench, outside: Outside) -> None:
    sdist = package("forks-until-refused", more={"fails": b""})

    attack = await outside.attack(bench, sdist, processes=40)

    assert attack.kind == "limit.processes"
    assert attack.fault.line == "wanted more than 40 processes and threads at once"


async def test_a_build_that_is_refused_processes_and_goes_on_is_a_success(bench: Workbench, outside: Outside) -> None:
    said = report(await outside.attack(bench, "forks-until-refused", processes=40))

    assert said["refused"] is True
    assert 30 < said["children"] < 40


@AS_ROOT
async def test_every_folder_that_can_be_filled_is_bounded(bench: Workbench, outside: Outside) -> None:
    said = dict(report(await outside.attack(bench, "fills-every-folder", disk_bytes=48 * MEBIBYTE)))

    assert said.pop("/tmp") in (["ENOSPC", 255], ["ENOSPC", 256])  # the hook's answer is there as well
    assert [said.pop("/dev/shm"), said.pop("/home/build")] == [["ENOSPC", 64]] * 2  # its own
    error, mebibytes = said.pop("/build")
    assert error == "ENOSPC"
    assert mebibytes < 48
    assert {tuple(value) for value in said.values()} <= {("EROFS", 0), ("EACCES", 0), ("ENOENT", 0)}


async def test_daemons_that_keep_the_log_open_end_with_their_build(bench: Workbench, outside: Outside) -> None:
    attack = await outside.attack(bench, "leaves-daemons-with-the-log")

    assert attack.wheel is not None, attack.fault  # who waited for them, who never end, would overrun its time


async def test_of_a_long_log_head_and_tail_are_kept(bench: Workbench, outside: Outside) -> None:
    attack = await outside.attack(bench, "prints-much-and-fails", log_bytes=8 << 10)

    assert attack.kind == "build.failed"
    assert "the beginning of it" in attack.log
    assert "the end of it" in attack.log
    assert "bytes left out" in attack.log
    assert len(attack.log) < 20 << 10


async def test_nasty_text_is_inert_and_a_long_line_is_cut(bench: Workbench, outside: Outside) -> None:
    attack = await outside.attack(bench, "prints-nasty-text")

    assert attack.wheel is not None
    assert len(attack.log) < 3 * MEBIBYTE
    assert "the end of it" in attack.log
    assert all(character.isprintable() or character in "\n\t" for character in attack.log.replace("\ufffd", ""))


async def test_pipes_are_bounded(bench: Workbench, outside: Outside) -> None:
    said = report(await outside.attack(bench, "opens-pipes-until-refused"))

    assert said["errno"] == 24  # EMFILE
    assert said["pipes"] < 2048


@pytest.mark.parametrize("more", [{}, {"crashes": b""}], ids=["in a child", "itself"])
async def test_a_crash_leaves_no_core(bench: Workbench, outside: Outside, more: Mapping[str, bytes]) -> None:
    attack = await outside.attack(bench, package("crashes", more=more))

    if more:
        assert (attack.fault.stage, isinstance(attack.fault, PackageFault)) == ("build", True)
    else:
        assert report(attack) == {"signal": 11, "core": False, "files": [], "limit": [0, 0]}


async def test_folders_nested_deeply_cost_nothing_to_clean(bench: Workbench, outside: Outside) -> None:
    attack = await outside.attack(bench, "nests-folders-deeply", inodes=30_000)

    assert attack.wheel is not None, attack.fault


@pytest.mark.parametrize("name", ["kills-everybody", "starves-the-driver"])
async def test_who_harms_its_own_build_fails_by_itself(bench: Workbench, outside: Outside, name: str) -> None:
    attack = await outside.attack(bench, name)

    assert isinstance(attack.fault, PackageFault), attack.fault


@AS_ROOT
@pytest.mark.parametrize("name", ["forks-without-end", "eats-memory"])
async def test_an_honest_build_beside_a_hostile_one_gives_the_same_wheel(
    bench: Workbench, other: Workbench, outside: Outside, name: str
) -> None:
    alone = await bench.build(pure_sdist())
    kind, limits = LIMITED[name]

    beside, attack = await asyncio.gather(other.build(pure_sdist()), outside.build(bench, name, **limits))
    outside.look_for_remains()

    assert beside.sha256 == alone.sha256
    assert attack.kind == kind


@AS_ROOT
async def test_two_builds_at_once_see_nothing_of_each_other(
    bench: Workbench, other: Workbench, outside: Outside
) -> None:
    def attack(where: Workbench, me: str) -> asyncio.Task[Attack]:
        sdist = package("looks-for-a-neighbour", more={"told.json": json.dumps({"me": me}).encode()})
        return asyncio.create_task(outside.build(where, sdist))

    attacks = [attack(bench, "first"), attack(other, "second")]
    for shown, said in ((("first", "second"), "both-are-there"), (("seen", "seen"), "both-have-looked")):
        while not all(is_shown(uid, f"/tmp/{name}") for uid, name in zip(UIDS, shown, strict=False)):
            assert not any(each.done() for each in attacks), [await each for each in attacks]
            await asyncio.sleep(0.02)
        for wheels in (*bench.folder.glob("build-*/wheels"), *other.folder.glob("build-*/wheels")):
            (wheels / said).touch()
    first, second = map(report, await asyncio.gather(*attacks))
    outside.look_for_remains()

    assert [name for name in first["tmp"] if not name.startswith("tmp")] == ["first"]
    assert [name for name in second["tmp"] if not name.startswith("tmp")] == ["second"]
    assert (first["shm"], second["shm"]) == ([], [])
    assert second["socket"] == "ECONNREFUSED"
    assert first["visitor"] == "EAGAIN"
    assert all(len(said["processes"]) <= 3 and said["processes"][0] == 1 for said in (first, second))
