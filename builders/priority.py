"""How urgent a build is, and how waiting makes up for it. Pure.

Who waits grows urgent by the second, so no build starves: one of a lower priority only starts with a handicap.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class Priority(StrEnum):
    """Why a build was asked for, the most urgent first."""

    INTERACTIVE = "interactive"
    """Somebody waits for it: a miss, or an operator's wish."""
    WARM = "warm"
    """Somebody will want it soon."""
    BACKGROUND = "background"
    """It can wait: a campaign."""


HANDICAP: Mapping[Priority, timedelta] = MappingProxyType(
    {
        Priority.INTERACTIVE: timedelta(0),
        Priority.WARM: timedelta(minutes=10),
        Priority.BACKGROUND: timedelta(hours=4),
    }
)
"""For how long builds of more urgent kinds that are asked for later still go first."""


def urgency(priority: Priority, waited: timedelta) -> timedelta:
    """Return how urgent a build is that has waited for so long; the higher goes first."""
    return waited - HANDICAP[priority]


def rank(priority: Priority, since: datetime) -> datetime:
    """Return the moment by which builds can be sorted once and for all, the earliest first.

    It is the moment at which the build's `urgency` is nil: the order of two builds is the same whenever one looks, so
    a queue can keep it in an index.
    """
    return since + HANDICAP[priority]


def more_urgent(one: Priority, other: Priority) -> Priority:
    """Return the more urgent one of two."""
    return min(one, other, key=lambda priority: HANDICAP[priority])
