"""Rot: which failures get a second try, and what is told of two."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from buildthrough.builders.build_log import BuildLog
from buildthrough.builders.diagnosis import diagnose
from buildthrough.builders.facts import UsedWheel
from buildthrough.builders.failures import FAILURES, classify
from buildthrough.builders.faults import InfrastructureFault, NeedsBuild, PackageFault
from buildthrough.builders.rot import SIGNS, build_or_turn_back, is_rot

if TYPE_CHECKING:
    from collections.abc import Sequence

UPLOADED = datetime(2015, 12, 22, tzinfo=UTC)


def wheel(project: str, version: str = "1.0") -> UsedWheel:
    filename = f"{project}-{version}-py3-none-any.whl"
    return UsedWheel(project=project, version=version, filename=filename, sha256=None)


ROTTEN = [
    ("error in demjson setup command: use_2to3 is invalid.", "setuptools"),
    ("ModuleNotFoundError: No module named 'pkg_resources'", "setuptools"),
    ("ModuleNotFoundError: No module named 'numpy.distutils'", "numpy"),
    ("AttributeError: 'build_ext' object has no attribute 'cython_sources'", "cython"),
    ("AttributeError: cython_sources", "cython"),
    ("Error compiling Cython file:", "cython"),
    ("error: invalid command 'bdist_wheel'", "setuptools"),
    ("_pkg.c:208:12: fatal error: longintrepr.h: No such file or directory", "cython"),
    ("pkg/_x.c:10:5: error: unknown type name 'PyArray_Thing'", "numpy"),
    ("TypeError: setup() got an unexpected keyword", "setuptools"),
    ("ModuleNotFoundError: No module named 'six'", "setuptools"),
]
SOUND = [
    ("_pkg.c:208:12: fatal error: longintrepr.h: No such file or directory", "setuptools"),  # C of the package's own
    ("pkg/_x.c:10:5: error: unknown type name 'foo'", "setuptools"),
    ("_ldap.h:11:10: fatal error: lber.h: No such file or directory", "cython"),
    ("Error: pg_config executable not found.", "setuptools"),
    ("urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>", "setuptools"),
    ("RuntimeError: Python version >=3.5 required.", "setuptools"),
    ("ModuleNotFoundError: No module named 'torch'", "setuptools"),
    ("fatal error: windows.h: No such file or directory", "cython"),
]


@pytest.mark.parametrize(("line", "used"), ROTTEN)
def test_looks_like_rot(line: str, used: str) -> None:
    assert is_rot(PackageFault("build", *diagnose("build", line)), [wheel(used)])


@pytest.mark.parametrize(("line", "used"), SOUND)
def test_does_not_look_like_rot(line: str, used: str) -> None:
    assert not is_rot(PackageFault("build", *diagnose("build", line)), [wheel(used)])


@pytest.mark.parametrize(
    ("stage", "kind"),
    [
        ("requires", "requires.refused"),
        ("build", "limit.time"),
        ("install", "limit.disk"),
        ("check", "output.bad-record"),
    ],
)
def test_class_that_no_age_heals(stage, kind: str) -> None:
    assert not is_rot(PackageFault(stage, kind, "some line"), [wheel("setuptools")])


def test_without_requirements_there_is_nothing_to_turn_back() -> None:
    assert not is_rot(PackageFault("build", "build.failed", "it failed"), [])
    assert is_rot(PackageFault("requires", "deps.unresolvable", "no version of x"), [])


def test_the_table_of_failures_says_the_same() -> None:
    here = {kind for kind, line, _ in SIGNS if not line}
    there = {row.name for row in FAILURES if row.retry == "time-cut"}
    assert {classify(kind).name for kind in here} | {"rot.cython", "rot.setuptools"} == there


class Site:
    """An index of two ages, and builds that end as they are told: a fault by the version of the tool."""

    def __init__(self, **ends: Exception | None) -> None:
        self.ends = ends
        self.resolved: list[datetime | None] = []
        self.then = "old"
        self.uploaded: datetime | None = UPLOADED
        self.log = BuildLog()

    async def resolve(
        self, requirements: Sequence[str], folder: Path, moment: datetime | None
    ) -> tuple[UsedWheel, ...]:
        self.resolved.append(moment)
        return (wheel("setuptools", "new" if moment is None else self.then),)

    async def build(self, supply, is_second: bool):
        assert is_second == bool(self.resolved)
        await supply(["setuptools"], Path("wheels"))
        end = self.ends[self.log.facts.requirements[0].version]
        if end is not None:
            raise end
        return "the wheel"

    async def made(self):
        async def uploaded():
            return self.uploaded

        return await build_or_turn_back(self.build, resolve=self.resolve, uploaded=uploaded, log=self.log)


ROT = PackageFault("build", "rot.setuptools", "use_2to3 is invalid")


async def test_what_builds_today_is_not_turned_back() -> None:
    site = Site(new=None)
    assert await site.made() == "the wheel"
    assert site.resolved == [None]
    assert site.log.facts.time_cut is None
    assert site.log.facts.requirements == (wheel("setuptools", "new"),)


async def test_second_try_is_of_the_sdists_time() -> None:
    site = Site(new=ROT, old=None)
    assert await site.made() == "the wheel"
    assert site.resolved == [None, UPLOADED]
    assert site.log.facts.time_cut == UPLOADED
    assert site.log.facts.requirements == (wheel("setuptools", "old"),)
    text = site.log.text()
    assert "use_2to3 is invalid" in text
    assert "once more, with build requirements as of 2015-12-22" in text
    assert "setuptools-old-py3-none-any.whl" in text


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (PackageFault("build", "rot.setuptools", "no module distutils"), "use_2to3 is invalid"),
        (PackageFault("requires", "deps.unresolvable", "no version of x"), "use_2to3 is invalid"),
        (PackageFault("build", "build.failed", "something"), "use_2to3 is invalid"),
        (PackageFault("build", "syslib.header", "fatal error: lber.h"), "fatal error: lber.h"),
        (PackageFault("build", "incompatible.python", "needs Python 2"), "needs Python 2"),
    ],
)
async def test_of_two_failures_the_clearer_is_told(second: PackageFault, told: str) -> None:
    site = Site(new=ROT, old=second)
    with pytest.raises(PackageFault) as caught:
        await site.made()
    assert caught.value.line == f"{told} (tried with build requirements of 2015-12-22 as well)"
    assert caught.value.kind == (second.kind if told == second.line else ROT.kind)
    assert site.log.facts.time_cut == UPLOADED


async def test_long_line_stays_bounded() -> None:
    site = Site(new=PackageFault("build", "rot.setuptools", "x" * 500), old=ROT)
    with pytest.raises(PackageFault) as caught:
        await site.made()
    assert len(caught.value.line) == 500
    assert caught.value.line.endswith("as well)")


async def test_sound_failure_is_told_at_once() -> None:
    site = Site(new=PackageFault("build", "syslib.header", "fatal error: lber.h"))
    with pytest.raises(PackageFault, match=r"fatal error: lber.h$"):
        await site.made()
    assert site.resolved == [None]


async def test_same_requirements_then_are_not_built_with_again() -> None:
    site = Site(new=ROT)
    site.then = "new"
    with pytest.raises(PackageFault) as caught:
        await site.made()
    assert caught.value is ROT
    assert site.log.facts.time_cut is None
    assert "the index of that time gives the same build requirements" in site.log.text()


async def test_nobody_says_when_it_was_uploaded() -> None:
    site = Site(new=ROT)
    site.uploaded = None
    with pytest.raises(PackageFault) as caught:
        await site.made()
    assert caught.value is ROT
    assert "nobody says when the sdist was uploaded" in site.log.text()


@pytest.mark.parametrize("end", [NeedsBuild("lib", "1.0"), InfrastructureFault("infra.index", "down")])
async def test_what_is_no_failure_of_the_package_ends_the_first_try(end: Exception) -> None:
    site = Site(new=end)
    with pytest.raises(type(end)):
        await site.made()
    assert site.resolved == [None]
