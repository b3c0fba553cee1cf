"""The fuse: which faults lock the pool, which are charged to a build, and when a locked pool tries again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.fakes.records import a_request

from buildthrough.builders.faults import Cancelled, InfrastructureFault, NeedsBuild, PackageFault
from buildthrough.builders.fuse import Blame, Fuse, blame
from buildthrough.builders.request import Build, BuildState

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SANDBOX = InfrastructureFault("infra.sandbox", "bwrap is gone")
UPSTREAM = InfrastructureFault("infra.upstream", "Upstream cannot be reached.")
OWN = InfrastructureFault("infra.no-target", "This machine no longer has an interpreter.")
HEADER = PackageFault("build", "syslib.header", "ldap.h")
YANKED = Cancelled("cancelled.yanked", "Upstream has yanked it.")
BUILD = Build(id=1, request=a_request("a"), state=BuildState.RUNNING, attempts=1, created=NOW)


def after(*ends, fuse=None):
    fuse = fuse or Fuse()
    for project, end in ends:
        fuse = fuse.after(project, end, NOW)
    return fuse


LOCKING = [(name, SANDBOX) for name in "abcab"]


@pytest.mark.parametrize(
    ("kind", "of"),
    [
        ("infra.upstream", Blame.UPSTREAM),
        ("infra.index", Blame.UPSTREAM),
        ("infra.no-target", Blame.BUILD),
        ("infra.driver", Blame.BUILD),
        ("infra.remains", Blame.BUILD),
        ("infra.sandbox", Blame.POOL),
        ("infra.disk", Blame.POOL),
        ("infra.internal", Blame.POOL),
    ],
)
def test_whose_fault_it_is(kind, of):
    assert blame(kind) is of


@pytest.mark.parametrize(
    ("ends", "locks"),
    [
        (LOCKING, True),
        (LOCKING[:4], False),
        ([("a", SANDBOX)] * 20, False),
        ([(name, SANDBOX) for name in "aaaab"], True),
        ([(name, SANDBOX) for name in "abab"], False),
        ([*LOCKING[:4], ("d", None), LOCKING[4]], False),
        ([*LOCKING[:4], ("d", HEADER), LOCKING[4]], False),
        ([*LOCKING[:4], ("d", NeedsBuild("e", "1")), LOCKING[4]], False),
        ([*LOCKING[:4], ("d", YANKED), ("d", OWN), ("d", UPSTREAM), LOCKING[4]], True),
        ([*LOCKING[:4], ("d", PackageFault("plan", "skipped.recipe", "no")), LOCKING[4]], True),
        ([(name, UPSTREAM) for name in "abcdefghij" * 9], False),
        ([(name, OWN) for name in "abcdefghij" * 9], False),
    ],
    ids=lambda value: "" if isinstance(value, list) else str(value),
)
def test_what_locks_the_pool(ends, locks):
    assert (after(*ends).lock is not None) is locks


def test_the_lock_says_why_and_what_to_do():
    lock = after(*LOCKING).lock
    assert lock.since == NOW
    assert lock.why == "5 builds in a row, of 3 projects, ended by faults of this machine, infra.sandbox: bwrap is gone"
    assert "buildthrough doctor" in lock.advice
    assert "buildthrough resume" in lock.advice


def test_a_locked_pool_tries_later_and_later_and_a_build_that_works_unlocks_it():
    fuse, waits = after(*LOCKING), []
    for _ in range(6):
        waits.append((fuse.lock.next_probe - NOW).total_seconds())
        fuse = fuse.after("a", SANDBOX, NOW)
    assert waits == [60, 120, 240, 480, 900, 900]
    assert fuse.after("b", YANKED, NOW) == fuse
    assert fuse.after("b", UPSTREAM, NOW + timedelta(hours=1)).lock.next_probe == NOW + timedelta(seconds=4500)
    assert fuse.after("b", HEADER, NOW) == Fuse() == fuse.after("b", None, NOW)


@pytest.mark.parametrize(
    ("ends", "ended", "charged"),
    [
        ([("a", HEADER)], HEADER, True),
        ([("a", SANDBOX)], SANDBOX, True),
        ([("a", SANDBOX)] * 3, SANDBOX, True),
        ([("b", SANDBOX), ("a", SANDBOX)], SANDBOX, False),
        ([*LOCKING, ("a", SANDBOX)], SANDBOX, False),
        ([("a", OWN)], OWN, True),
        ([*LOCKING, ("a", OWN)], OWN, True),
        ([("a", UPSTREAM)], UPSTREAM, False),
    ],
    ids=lambda value: "" if isinstance(value, list) else str(value),
)
def test_what_is_charged_to_a_build(ends, ended, charged):
    assert after(*ends).charges(BUILD, ended, NOW) is charged


def test_upstream_is_not_waited_for_for_ever():
    old = replace(BUILD, created=NOW - timedelta(days=1, seconds=1))
    assert after(("a", UPSTREAM)).charges(old, UPSTREAM, NOW)


def test_the_pool_rests_while_one_project_after_the_other_is_hit():
    assert after(*[("a", SANDBOX)] * 5).rest_seconds == 0
    assert after(("a", UPSTREAM), ("b", UPSTREAM)).rest_seconds == 1
    assert after(*[(name, UPSTREAM) for name in "abcdefghij"]).rest_seconds == 60
