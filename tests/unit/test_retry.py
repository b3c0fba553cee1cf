"""How long a failure is remembered, and how long a setback delays."""

from __future__ import annotations

import pytest

from buildthrough.builders.retry import FailureMemory, RetryPolicy

HOUR, DAY = 3600.0, 86400.0


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [
        ("capi", None),
        ("incompatible.python", None),
        ("limit.time", 7 * DAY),
        ("deps.unresolvable", 6 * HOUR),
        ("deps.undeclared", 30 * DAY),
        ("deps.undeclared.numpy", 30 * DAY),
        ("source.missing", 600.0),
        ("source.hash", None),
        ("infra.disk", 0.0),
        ("never-heard-of", 7 * DAY),
        ("capitals", 7 * DAY),
    ],
)
def test_the_longest_known_beginning_counts(kind, seconds):
    assert FailureMemory().of(kind) == seconds


@pytest.mark.parametrize("kind", ["capi", "limit.time", "deps.cycle", "never-heard-of"])
@pytest.mark.parametrize("longest", [0.0, HOUR])
def test_an_operator_can_bound_them_all(kind, longest):
    assert FailureMemory(longest=longest).of(kind) == longest


def test_the_delay_grows_to_a_bound():
    policy = RetryPolicy(first_seconds=10, factor=4, longest_seconds=1000)
    assert [policy.delay(setbacks) for setbacks in (1, 2, 3, 4, 5, 10_000)] == [10, 40, 160, 640, 1000, 1000]
