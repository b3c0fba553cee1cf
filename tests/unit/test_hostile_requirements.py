"""Requirement strings of strangers, and wheels whose requirements make a resolver work: what they cost is bounded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.fakes.index import FakeIndex
from tests.unit.test_requirements import TARGET

from buildthrough.builders.faults import NeedsBuild, PackageFault
from buildthrough.builders.messages import check_requirements
from buildthrough.builders.requirements import ResolutionLimits, resolve

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = {
    "nested parentheses": "x; " + "(" * 480 + "python_version > '3'" + ")" * 480,
    "unbalanced parentheses": "x; " + "(" * 900,
    "or chain": "x; " + " or ".join(["os_name == 'a'"] * 50),
    "many specifiers": "x" + ",".join([">=1"] * 200),
    "many extras": "x[" + ",".join(f"e{number}" for number in range(190)) + "]",
    "deep version": "x==" + "1." * 450 + "1",
    "large number": "x==" + "9" * 950,
    "large number in a marker": "x; python_full_version > '" + "9" * 900 + "'",
    "large epoch": "x==" + "9" * 400 + "!1",
    "large number as it is": "x===" + "9" * 950,
    "long local version": "x==1+" + "a." * 400 + "a",
    "wildcard": "x==" + "1" * 900 + ".*",
    "compatible release": "x~=" + "9." * 450 + "1",
    "marker of strings": "x; 'linux' in '" + "linux " * 150 + "'",
    "marker without a variable": "x; 'a' == 'a'",
    "marker that compares nonsense": "x; python_version ~= '3'",
    "unknown variable": "x; foo == 'a'",
    "unicode digits": "x==\uff11.\uff10",
    "unicode name": "\uff58==1",
    "no-break space": "x\u00a0>=1",
    "reversed text": "x\u202e",
    "surrogate": "x\ud800",
    "line separator": "x\u2028--index-url=http://example.org",
    "place": "x@file:///etc/passwd",
    "place with a marker": "x @ https://example.org/x.whl ; python_version > '3'",
    "path as a version": "x===../../etc/passwd",
    "blanks": "x" + " " * 990,
    "long name": "x" * 1000,
    "dots": "x." + "." * 300,
    "backslashes": "x\\..\\..",
    "semicolons": ";" * 500,
    "open brackets": "x" + "[" * 500,
    "expansion": "${HOME}",
    "command": "$(id)",
    "option": "--find-links=/",
    "editable": "-e/",
}


async def outcome(index: FakeIndex, folder: Path, text: str) -> PackageFault | None:
    try:
        (checked,) = check_requirements([text])
        await resolve([checked], target=TARGET, index=index, folder=folder)
    except PackageFault as fault:
        return fault
    return None


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
async def test_string_costs_little_and_reaches_nothing(text: str, tmp_path: Path) -> None:
    """Each is refused, or it is a name and versions like any other: nothing but the index is asked for that name."""
    index = FakeIndex()
    began = time.thread_time()
    fault = await outcome(index, tmp_path, text)
    if fault is not None:
        assert fault.kind in {"requires.refused", "deps.unresolvable"}
        assert fault.line.isprintable()
        assert len(fault.line) <= 500
    assert time.thread_time() - began < 10
    assert set(index.asked) <= {"files x", "files " + "x" * 1000}
    assert not list(tmp_path.iterdir())


async def fault_of(index: FakeIndex, folder: Path, *requirements: str, **limits: float) -> PackageFault:
    began = time.process_time()
    with pytest.raises(PackageFault) as caught:
        await resolve(requirements, target=TARGET, index=index, folder=folder, limits=ResolutionLimits(**limits))
    assert time.process_time() - began < 60
    assert caught.value.kind == "deps.unresolvable"
    return caught.value


def pigeons(index: FakeIndex, count: int) -> list[str]:
    """Make one project more than there are holes: each sits in one, no two in the same. There is no answer."""
    for pigeon in range(count):
        for hole in range(count - 1):
            rivals = [f"hole{hole}=={pigeon}"]
            index.add_wheel(f"pigeon{pigeon}", f"{hole}", requires=rivals)
    for hole in range(count - 1):
        for pigeon in range(count):
            index.add_wheel(f"hole{hole}", f"{pigeon}")
    return [f"pigeon{pigeon}" for pigeon in range(count)]


async def test_exponential_search_ends_by_steps(tmp_path: Path) -> None:
    index = FakeIndex()
    fault = await fault_of(index, tmp_path, *pigeons(index, 7), steps=3000)
    assert fault.line == "no versions that go together were found in 3000 steps"


async def test_exponential_search_ends_by_time(tmp_path: Path) -> None:
    index = FakeIndex()
    fault = await fault_of(index, tmp_path, *pigeons(index, 8), steps=10**9, seconds=0.5)
    assert "more than 0.5 seconds of computing" in fault.line


async def test_search_that_begins_anew_with_each_wheel_counts_all_its_beginnings(tmp_path: Path) -> None:
    """Going through a long history: each version has to be looked into, and each look begins the search again."""
    index = FakeIndex()
    for number in range(60):
        index.add_wheel("long", f"{number}", requires=["other>1"])
    index.add_wheel("other", "1")
    assert "500 steps" in (await fault_of(index, tmp_path, "long", "other", steps=500)).line
    assert "too many projects" in (await fault_of(index, tmp_path, "long", "other", metadata=20)).line


async def test_markers_times_extras_are_bounded(tmp_path: Path) -> None:
    index = FakeIndex()
    marker = " or ".join(f'extra == "none{number}"' for number in range(20))
    lines = [f"Requires-Dist: y; {marker}" for _ in range(900)]
    index.add_wheel("x", "1", metadata_extra="\n".join(lines))
    extras = ",".join(f"e{number}" for number in range(150))
    assert "seconds of computing" in (await fault_of(index, tmp_path, f"x[{extras}]", seconds=0.5)).line


async def test_requirement_of_itself_ends(tmp_path: Path) -> None:
    index = FakeIndex()
    index.add_wheel("x", "1", requires=["x[a]"], metadata_extra='Provides-Extra: a\nRequires-Dist: x[b]; extra == "a"')
    used = await resolve(["x"], target=TARGET, index=index, folder=tmp_path)
    assert [one.project for one in used] == ["x"]


async def test_all_strings_of_one_message_together_cost_little(tmp_path: Path) -> None:
    index = FakeIndex()
    for number in range(200):
        index.add_sdist(f"x{number}", "1")
    hostile = [f"x{number}; " + " or ".join(["os_name == 'a'"] * 45) for number in range(200)]
    began = time.thread_time()
    assert await resolve(check_requirements(hostile), target=TARGET, index=index, folder=tmp_path) == ()
    assert time.thread_time() - began < 30
    with pytest.raises(NeedsBuild):
        await resolve([f"x{number}" for number in range(200)], target=TARGET, index=index, folder=tmp_path)
