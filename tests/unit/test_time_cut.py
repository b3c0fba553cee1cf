"""The index as it was: which versions come first, and what keeps the interpreter supported."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version
from tests.fakes.index import FakeIndex
from tests.unit.test_requirements import TARGET

from buildthrough.builders.faults import NeedsBuild
from buildthrough.builders.requirements import resolve
from buildthrough.builders.time_cut import FLOORS, as_of, floor

if TYPE_CHECKING:
    from pathlib import Path

LINUX = "manylinux_2_17_x86_64"
SETUPTOOLS = {
    "18.0": "2015-06-01",
    "40.8.0": "2019-02-05",
    "41.6.0": "2019-10-29",
    "57.5.0": "2021-08-13",
    "58.0.0": "2021-09-04",
    "66.0.0": "2023-01-12",
    "66.1.0": "2023-01-20",
    "84.0.0": "2026-09-01",
}


@pytest.fixture
def index() -> FakeIndex:
    made = FakeIndex()
    for version, uploaded in SETUPTOOLS.items():
        made.add_wheel("setuptools", version, uploaded=uploaded)
    for python, version, uploaded in (
        ("38", "1.17.3", "2019-10-17"),
        ("39", "1.19.3", "2020-10-28"),
        ("311", "1.23.2", "2022-08-14"),
        ("311", "1.26.4", "2024-02-05"),
        ("311", "2.0.0", "2024-06-16"),
        ("312", "1.26.4", "2024-02-05"),
        ("312", "2.0.0", "2024-06-16"),
    ):
        made.add_wheel("numpy", version, tag=f"cp{python}-cp{python}-{LINUX}", uploaded=uploaded)
    return made


def moment(date: str) -> datetime:
    return datetime.fromisoformat(date).replace(tzinfo=UTC)


async def chosen(index: FakeIndex, folder: Path, date: str, *requirements: str, python: int = 11) -> dict[str, str]:
    environment = replace(TARGET.environment, python=(3, python), abi=f"cp3{python}")
    markers = {
        **TARGET.interpreter.markers,
        "python_version": f"3.{python}",
        "python_full_version": f"3.{python}.0",
    }
    interpreter = replace(TARGET.interpreter, environment=environment, markers=markers)
    target = replace(TARGET, environment=environment, interpreter=interpreter)
    used = await resolve(requirements, target=target, index=index, folder=folder, moment=moment(date))
    return {one.project: one.version for one in used}


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        (("2021-09-01", "setuptools>=40.8.0", 11), "57.5.0"),  # the newest of its time
        (("2021-08-13", "setuptools", 11), "57.5.0"),  # of the very day
        (("2015-12-22", "setuptools>=40.8.0", 11), "41.6.0"),  # none of its time: the first that works on this Python
        (("2015-12-22", "setuptools>=58", 11), "58.0.0"),  # the first that is asked for
        (("2021-09-01", "setuptools", 12), "66.1.0"),  # those of its time do not work there
        (("2021-09-01", "setuptools<50", 12), "41.6.0"),  # there is nothing else: it is tried
        (("2021-09-01", "setuptools==40.8.0", 11), "40.8.0"),  # asked for by its number
        (("2030-01-01", "setuptools", 12), "84.0.0"),
        (("2019-12-01", "numpy", 11), "1.23.2"),  # the first with a wheel for this Python
        (("2019-12-01", "numpy", 12), "1.26.4"),
        (("2024-03-01", "numpy", 11), "1.26.4"),
    ],
)
async def test_version(index: FakeIndex, tmp_path: Path, asked: tuple[str, str, int], version: str) -> None:
    date, requirement, python = asked
    (found,) = (await chosen(index, tmp_path, date, requirement, python=python)).values()
    assert found == version


async def test_what_a_later_one_requires_is_of_the_time_as_well(index: FakeIndex, tmp_path: Path) -> None:
    for version, uploaded in (("1.0", "2018-01-01"), ("2.0", "2020-01-01"), ("3.0", "2025-01-01")):
        index.add_wheel("plugin", version, requires=["setuptools", "numpy"], uploaded=uploaded)
    assert await chosen(index, tmp_path, "2021-09-01", "plugin") == {
        "plugin": "2.0",
        "setuptools": "57.5.0",
        "numpy": "1.23.2",
    }


async def test_goes_forward_where_those_of_the_time_do_not_go_together(index: FakeIndex, tmp_path: Path) -> None:
    index.add_wheel("plugin", "1.0", requires=["setuptools>=66"], uploaded="2020-01-01")
    assert await chosen(index, tmp_path, "2021-09-01", "plugin", "setuptools") == {
        "plugin": "1.0",
        "setuptools": "66.0.0",
    }


async def test_wheels_for_older_pythons_do_not_count(index: FakeIndex, tmp_path: Path) -> None:
    index.add_wheel("tool", "1.0", uploaded="2015-01-01", requires_python="<3.11")
    index.add_wheel("tool", "2.0", uploaded="2022-01-01", requires_python=">=3.7")
    index.add_wheel("tool", "3.0", uploaded="2023-01-01")
    assert await chosen(index, tmp_path, "2015-12-22", "tool") == {"tool": "2.0"}


async def test_nobody_says_when(index: FakeIndex, tmp_path: Path) -> None:
    for version in ("1.0", "2.0"):
        index.add_wheel("private", version)
    assert await chosen(index, tmp_path, "2015-12-22", "private") == {"private": "2.0"}


async def test_of_sdists_the_one_of_the_time_is_to_be_built_first(index: FakeIndex, tmp_path: Path) -> None:
    for version, uploaded in (("1.0", "2012-01-01"), ("2.0", "2014-01-01"), ("3.0", "2020-01-01")):
        index.add_sdist("old", version, uploaded=uploaded)
    with pytest.raises(NeedsBuild) as caught:
        await chosen(index, tmp_path, "2015-12-22", "old")
    assert caught.value.version == "2.0"


async def test_wheel_of_a_later_time_before_an_sdist(index: FakeIndex, tmp_path: Path) -> None:
    index.add_sdist("old", "1.0", uploaded="2012-01-01")
    index.add_wheel("old", "2.0", uploaded="2020-01-01")
    assert await chosen(index, tmp_path, "2015-12-22", "old") == {"old": "2.0"}


async def test_times_are_asked_for_only_where_they_matter(index: FakeIndex, tmp_path: Path) -> None:
    used = await resolve(["setuptools"], target=TARGET, index=index, folder=tmp_path)
    assert [one.version for one in used] == ["84.0.0"]
    assert all(one.uploaded is None for one in await index.files("setuptools"))


def test_order() -> None:
    versions = [Version(str(number)) for number in range(1, 7)]
    uploaded = {version: moment(f"20{number}0-01-01") for number, version in enumerate(versions[:5], 1)}
    assert as_of(moment("2030-06-01"), versions, uploaded, lowest=Version("2")) == [
        Version(each) for each in ("3", "2", "4", "5", "6")
    ]


@pytest.mark.parametrize("project", FLOORS)
def test_floors_rise_with_python(project: str) -> None:
    pythons = [since for since, _ in FLOORS[project]]
    versions = [version for _, version in FLOORS[project]]
    assert pythons == sorted(pythons, reverse=True)
    assert versions == sorted(versions, reverse=True)
    assert floor(project, (3, 99)) == versions[0]
    assert floor(project, (2, 7)) is None
