"""The ladder of isolation levels: the best that holds is taken, and what is missing is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.sandbox import FakeSandbox

from buildthrough.builders.ladder import RUNGS, Rung, climb_down
from buildthrough.builders.sandbox import LEVELS, Isolation
from buildthrough.builders.slot import Slot

SLOT = Slot(index=0)


def rung(name, level, *sentences):
    return Rung(name=name, make=lambda _slot, _work: FakeSandbox(isolation=Isolation(level=level, sentences=sentences)))


async def climb(*rungs, minimum="container"):
    isolation, found = await climb_down(SLOT, Path("/nowhere"), minimum=minimum, rungs=rungs)
    return isolation, found and found.name


async def test_the_first_that_holds_is_taken_and_no_further_one_tried():
    def never(_slot, _work):
        raise AssertionError

    isolation, name = await climb(rung("full", "unprivileged", "holds"), Rung(name="container", make=never))
    assert (isolation.level, isolation.can_build, name) == ("unprivileged", True, "full")
    assert isolation.sentences == ("holds",)


async def test_why_it_is_not_better_is_said():
    isolation, name = await climb(rung("full", "none", "no proc"), rung("container", "container", "holds"))
    assert (isolation.level, isolation.can_build, name) == ("container", True, "container")
    assert isolation.sentences[:2] == ("holds", "not full: no proc")


@pytest.mark.parametrize("minimum", ["full", "unprivileged", "container"])
async def test_below_the_minimum_nothing_is_built(minimum):
    isolation, name = await climb(rung("landlock", "landlock", "holds a little"), minimum=minimum)
    assert (isolation.level, isolation.minimum, isolation.can_build, name) == ("landlock", minimum, False, None)
    first, second = isolation.sentences
    assert first.startswith("nothing is built here: this machine isolates builds at the level landlock")
    assert f"asks for {minimum}; set it to" in first
    assert second == "holds a little"


async def test_where_nothing_holds_every_reason_is_said():
    isolation, name = await climb(rung("full", "none", "one", "two"), rung("container", "none", "three"))
    assert (isolation.level, isolation.can_build, name) == ("none", False, None)
    assert isolation.sentences[:3] == (
        "nothing is built here: no level of isolation holds on this machine",
        "not full: one; two",
        "not container: three",
    )


@pytest.mark.parametrize("minimum", LEVELS)
def test_none_is_never_enough(minimum):
    assert not Isolation(level="none", minimum=minimum, sentences=()).can_build


def test_levels_are_in_order():
    assert [
        [Isolation(level=level, minimum=minimum, sentences=()).can_build for level in LEVELS] for minimum in LEVELS[:4]
    ] == [
        [True, False, False, False, False],
        [True, True, False, False, False],
        [True, True, True, False, False],
        [True, True, True, True, False],
    ]


def test_the_best_is_tried_first():
    assert [one.name for one in RUNGS] == [level for level in LEVELS if level in {one.name for one in RUNGS}]
