"""How long the stages of a build take."""

from __future__ import annotations

import pytest

from buildthrough.builders.stages import StageClock, told, until_hook


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def stages(*entered: str) -> tuple[tuple[str, float], ...]:
    clock = StageClock(Time())
    for stage in entered:
        clock.enter(stage)
    return clock.stop()


WHOLE = ("unpack", "plan", "requires", "install", "requires", "install", "build", "collect")


def test_the_backend_is_asked_once_its_environment_is_made() -> None:
    assert dict(stages(*WHOLE)) == {
        "start": 1, "unpack": 1, "plan": 1, "requires": 1, "install": 1, "hook": 2, "build": 1, "collect": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("entered", "seconds"), [(WHOLE, 5), (WHOLE[:4], None), (WHOLE[:5], 5), ((), None)])
def test_time_until_the_first_code_of_the_package(entered: tuple[str, ...], seconds: float | None) -> None:
    assert until_hook(stages(*entered)) == seconds


def test_one_line_tells_all() -> None:
    assert told((("start", 0.123), ("unpack", 2.0))) == "start 0.12 s, unpack 2.00 s"
