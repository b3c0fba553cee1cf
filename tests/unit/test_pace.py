"""How long it will be until so many bytes are here."""

from __future__ import annotations

import math

import pytest

from buildthrough.proxy.pace import ASSUMED, SETTLED_SECONDS, WINDOW_SECONDS, Pace


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def arrive(pace: Pace, clock: Clock, *, begin: int, seconds: float, speed: float) -> int:
    """Let bytes come at a speed, in steps of 50 ms; return how many are here then."""
    total = begin
    for _ in range(round(seconds / 0.05)):
        clock.now += 0.05
        total += round(speed * 0.05)
        pace.note(total)
    return total


def test_at_first_a_speed_is_assumed(clock: Clock) -> None:
    pace = Pace(clock)
    assert pace.seconds_to(int(ASSUMED)) == pytest.approx(1)
    arrive(pace, clock, begin=0, seconds=SETTLED_SECONDS / 2, speed=10)
    assert pace.seconds_to(int(ASSUMED)) == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize("speed", [1e4, 1e6, 1e8])
def test_then_it_is_measured(clock: Clock, speed: float) -> None:
    pace = Pace(clock)
    total = arrive(pace, clock, begin=0, seconds=2, speed=speed)
    assert pace.seconds_to(total + round(7 * speed)) == pytest.approx(7, rel=0.05)
    assert pace.seconds_to(total) == pace.seconds_to(0) == 0


def test_what_is_long_ago_does_not_count(clock: Clock) -> None:
    pace = Pace(clock)
    total = arrive(pace, clock, begin=0, seconds=60, speed=1e8)
    total = arrive(pace, clock, begin=total, seconds=2 * WINDOW_SECONDS, speed=1e5)
    assert pace.seconds_to(total + 1_000_000) == pytest.approx(10, rel=0.05)


def test_while_nothing_comes_it_takes_longer_and_longer(clock: Clock) -> None:
    pace = Pace(clock)
    total = arrive(pace, clock, begin=0, seconds=2, speed=1e6)
    before = pace.seconds_to(total + 1_000_000)
    clock.now += 20
    assert pace.seconds_to(total + 1_000_000) > 5 * before
    silent = Pace(clock)
    clock.now += SETTLED_SECONDS
    assert silent.seconds_to(1) == math.inf
