"""How the pool stands in a word, and what a queued build waits for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.fakes.records import a_request

from buildthrough.builders.demand import NOTHING, Demand
from buildthrough.builders.fuse import Lock
from buildthrough.builders.pool_state import Away, PoolState, Wait, wait_of
from buildthrough.builders.request import Build, BuildState

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROOM = Demand(memory_bytes=8, cpus=2)
OPEN = PoolState(slots=2, running=1, total=ROOM, free=ROOM, is_draining=False, lock=None, mean_seconds=30)
LOCK = Lock(since=NOW, why="the disk is full", advice="make room", next_probe=NOW)
AWAY = Away(since=NOW, why="nobody answers")
QUEUED = Build(id=1, request=a_request(), state=BuildState.QUEUED, attempts=0, created=NOW)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "open"),
        ({"slots": 0, "is_draining": True}, "off"),
        ({"is_draining": True, "lock": LOCK}, "draining"),
        ({"is_draining": True, "running": 0}, "drained"),
        ({"lock": LOCK}, "locked"),
        ({"slots": 0, "away": AWAY, "is_draining": True}, "away"),
    ],
)
def test_its_state_in_a_word(changes, word):
    assert replace(OPEN, **changes).word == word


@pytest.mark.parametrize(
    ("build", "state", "reason"),
    [
        ({"state": BuildState.RUNNING}, {}, None),
        ({"waits_for": 2}, {"is_draining": True}, Wait.REQUIREMENT),
        ({"not_before": NOW + timedelta(seconds=1)}, {"lock": LOCK}, Wait.BACK_OFF),
        ({"not_before": NOW}, {}, Wait.SLOT),
        ({}, {"is_draining": True, "lock": LOCK}, Wait.DRAIN),
        ({}, {"lock": LOCK}, Wait.LOCK),
        ({}, {"away": AWAY, "is_draining": True}, Wait.BUILDER),
        ({}, {"free": NOTHING}, Wait.BUDGET),
        ({}, {"free": NOTHING, "running": 2}, Wait.SLOT),
        ({}, {}, Wait.SLOT),
    ],
)
def test_what_a_build_waits_for(build, state, reason):
    assert wait_of(replace(QUEUED, **build), ROOM, replace(OPEN, **state), NOW) is reason


@pytest.mark.parametrize(
    ("position", "changes", "seconds"),
    [
        (1, {}, 0),
        (3, {}, 30),
        (1, {"running": 2}, 15),
        (1, {"mean_seconds": None}, None),
        (1, {"lock": LOCK}, None),
    ],
)
def test_about_when_a_build_starts(position, changes, seconds):
    assert replace(OPEN, **changes).estimate(position) == seconds
