"""Admission: which of the builds that are due gets the memory and the processors that are free."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.fakes.records import Clock, a_request

from buildthrough.builders.demand import NOTHING, Admission, Demand, demand_of
from buildthrough.builders.request import Build, BuildState
from buildthrough.builders.sandbox import Limits

GIB = 1 << 30


def gib(memory, cpus=1):
    return Demand(memory_bytes=memory * GIB, cpus=cpus)


SIZES = {"small": gib(1), "big": gib(6), "wide": gib(1, 4), "huge": gib(9), "broad": gib(1, 9)}


def chosen(names, free, *, waited=0, avoid=()):
    clock = Clock()
    builds = [
        Build(id=number, request=a_request(name), state=BuildState.QUEUED, attempts=0, created=clock.now)
        for number, name in enumerate(names, 1)
    ]
    clock.forward(waited)
    admission = Admission(
        total=gib(8, 4),
        free=free,
        demand=lambda request: SIZES[request.project],
        patience=timedelta(seconds=300),
        clock=clock,
        avoid=frozenset(avoid),
    )
    build = admission(builds)
    return build and build.request.project


@pytest.mark.parametrize(
    ("names", "free", "waited", "choice"),
    [
        ([], gib(8, 4), 0, None),
        (["big", "small"], gib(8, 4), 0, "big"),
        (["big", "small"], gib(4, 4), 0, "small"),
        (["big", "small"], gib(4, 4), 299, "small"),
        (["big", "small"], gib(4, 4), 300, None),
        (["big", "small"], gib(6, 4), 300, "big"),
        (["wide", "small"], gib(8, 3), 0, "small"),
        (["wide", "big"], gib(5, 3), 0, None),
        (["huge"], NOTHING, 0, "huge"),
        (["small", "broad"], NOTHING, 0, "broad"),
    ],
)
def test_who_is_started(names, free, waited, choice):
    assert chosen(names, free, waited=waited) == choice


def test_a_probe_takes_a_project_that_did_not_fail_lately_where_there_is_one():
    assert chosen(["small", "wide"], gib(8, 4), avoid=["small"]) == "wide"
    assert chosen(["small", "wide"], gib(8, 4), avoid=["small", "wide"]) == "small"


def test_a_build_asks_for_all_that_it_may_use():
    assert demand_of(Limits(memory_bytes=5 * GIB, cpus=3)) == gib(5, 3)
    assert gib(5, 3) + gib(1, 1) - gib(6, 4) == NOTHING
