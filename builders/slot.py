"""Slots of the pool: the user and the control group that one build at a time has for its own."""

from __future__ import annotations

import os
from dataclasses import dataclass

from buildthrough.builders.cgroup import Hierarchy, find_hierarchy, remove_stale

FIRST_UID = 59700
"""Near the end of the range for ordinary accounts, which nobody reaches; below those that systems hand out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """What one build at a time may use."""

    index: int
    uid: int | None = None
    """The user that it runs as; None for the server's own."""
    gid: int | None = None
    hierarchy: Hierarchy | None = None
    """Where its control group is made; None where none can be."""

    @property
    def user(self) -> tuple[int, int] | None:
        """The user and the group to become, None to stay who we are."""
        return None if self.uid is None or self.gid is None else (self.uid, self.gid)


def claim_slots(count: int, *, first_uid: int = FIRST_UID) -> tuple[Slot, ...]:
    """Return the slots of this server and clear what a dead one left behind. Blocking.

    Started as root, every slot has a user of its own: limits on processes count per user, and a user
    that owns nothing reaches nothing.
    """
    hierarchy = find_hierarchy()
    if hierarchy is not None:
        remove_stale(hierarchy)
    if os.geteuid() != 0:
        return tuple(Slot(index=index, hierarchy=hierarchy) for index in range(count))
    return tuple(
        Slot(index=index, uid=first_uid + index, gid=first_uid + index, hierarchy=hierarchy) for index in range(count)
    )
