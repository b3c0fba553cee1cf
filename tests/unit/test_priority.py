"""Priorities: who goes first, by why a build was asked for and how long it has waited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from buildthrough.builders.priority import Priority, more_urgent, rank, urgency

MISS, WARM, BACKGROUND = Priority
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("earlier", "waited", "later", "waited_too"),
    [
        (MISS, 1, MISS, 0),
        (MISS, 0, WARM, 9),
        (MISS, 0, BACKGROUND, 239),
        (WARM, 11, MISS, 0),
        (WARM, 1, WARM, 0),
        (WARM, 0, BACKGROUND, 229),
        (BACKGROUND, 241, MISS, 0),
        (BACKGROUND, 231, WARM, 0),
        (BACKGROUND, 1, BACKGROUND, 0),
        (BACKGROUND, 60 * 24, MISS, 60),
    ],
)
def test_who_goes_first_by_minutes_waited(earlier, waited, later, waited_too):
    assert urgency(earlier, waited * MINUTE) > urgency(later, waited_too * MINUTE)
    assert rank(earlier, NOW - waited * MINUTE) < rank(later, NOW - waited_too * MINUTE)


def test_the_more_urgent_of_two():
    assert [more_urgent(one, other) for one in Priority for other in Priority] == [
        *(MISS, MISS, MISS),
        *(MISS, WARM, WARM),
        *(MISS, WARM, BACKGROUND),
    ]
