"""The same sdist gives the same wheel: another day, zone, user, slot and folder of the server make no difference."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import io
import tarfile
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.fakes.sdists import MTIME
from tests.sandbox.workbench import Workbench, package, workbench

from buildthrough.builders.landlock import LandlockSandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from buildthrough.builders.artifact import CheckedWheel


@pytest.fixture(scope="module")
def benches() -> Iterator[tuple[Workbench, Workbench]]:
    """Two of them differ in the user that builds, the control group, and where everything lies on the host."""
    with workbench() as one, workbench(slot=1) as two:
        assert one.folder != two.folder
        yield one, two


def contents(wheel: CheckedWheel) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel.path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


async def test_what_differs_by_nature_is_the_same_each_time(
    benches: tuple[Workbench, Workbench], monkeypatch: pytest.MonkeyPatch
) -> None:
    sdist = package("differs-by-nature")
    first = await benches[0].build(sdist)
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("PYTHONHASHSEED", "random")
    second = await benches[1].build(sdist)

    one, two = contents(first), contents(second)
    assert {name: data for name, data in one.items() if two.get(name) != data} == {}
    assert first.sha256 == second.sha256
    date = datetime.fromtimestamp(MTIME, UTC)
    assert f"source date: {date:%Y-%m-%d %H:%M:%S} UTC" in one["sample/facts.txt"].decode()
    assert f"sample.c {date:%b %e %Y} {date:%H:%M:%S}".encode() in one["sample/1/sample.so"]
    with zipfile.ZipFile(first.path) as archive:
        names = archive.namelist()
        assert names[-1].endswith(".dist-info/RECORD")
        assert [name for name in names if ".dist-info/" not in name] == sorted(set(names) - set(names[-3:]))


def test_without_namespaces_debug_information_is_the_same() -> None:
    """There paths differ by nature: what is compiled does not tell them."""
    found = []
    for slot in (0, 1):
        with workbench(slot=slot, make=LandlockSandbox) as bench:
            found.append(contents(asyncio.run(bench.build(package("differs-by-nature")))))
    one, two = found
    assert one["sample/facts.txt"] != two["sample/facts.txt"]
    for name in ("sample/0/libsample.a", "sample/1/libsample.a"):
        assert one[name] == two[name]


@pytest.mark.parametrize(
    ("mtimes", "epoch"),
    [((MTIME, 2 * MTIME // 3), MTIME), ((0, 1), 315532800), ((MTIME, 9_000_000_000), MTIME)],
    ids=["newest", "before-zip", "to-come"],
)
async def test_builds_are_told_the_time_of_the_newest_file(
    benches: tuple[Workbench, Workbench], mtimes: tuple[int, int], epoch: int
) -> None:
    plain = package("differs-by-nature")
    packed = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(plain.data)) as old, tarfile.open(fileobj=packed, mode="w") as new:
        for number, member in enumerate(old.getmembers()):
            member.mtime, member.pax_headers = mtimes[number % 2], {}
            new.addfile(member, old.extractfile(member))
    sdist = dataclasses.replace(plain, data=gzip.compress(packed.getvalue()))

    wheel = await benches[0].build(sdist)

    date = datetime.fromtimestamp(epoch, UTC)
    assert f"source date: {date:%Y-%m-%d %H:%M:%S} UTC" in contents(wheel)["sample/facts.txt"].decode()


async def test_tools_are_told_how_many_processors_they_may_use(benches: tuple[Workbench, Workbench]) -> None:
    facts = contents(await benches[0].build(package("differs-by-nature"), cpus=2))["sample/facts.txt"].decode()
    assert "'MAKEFLAGS', '-j2'" in facts
    assert "'CMAKE_BUILD_PARALLEL_LEVEL', '2'" in facts
