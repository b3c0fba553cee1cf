"""What every `BuildQueue` promises, tried on the embedded one over a real file and on the fake."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.queue import FakeQueue
from tests.fakes.records import CP312, Clock, a_request, digest
from tests.fakes.waiting import LONG

from buildthrough.builders import ledger
from buildthrough.builders.chain import LONGEST_CHAIN, MOST_BUILDS
from buildthrough.builders.database import Database
from buildthrough.builders.faults import Cancelled, InfrastructureFault, NeedsBuild, PackageFault
from buildthrough.builders.priority import HANDICAP, Priority
from buildthrough.builders.queue import QueueFull
from buildthrough.builders.request import TRANSITIONS, BuildState
from buildthrough.builders.retry import FailureMemory, RetryPolicy
from buildthrough.builders.sql_queue import SqlQueue

HEADER = PackageFault("build", "syslib.header", "fatal error: ldap.h: No such file or directory")
NO_DISK = InfrastructureFault("infra.disk", "No space left on device")
PURGED = Cancelled("cancelled.purged", "An operator purged it.")
YANKED = Cancelled("cancelled.yanked", "Upstream has yanked it.")
MEMORY = FailureMemory(seconds={"syslib": 100.0, "capi": None, "deps": 50.0, "infra": 0.0}, otherwise=10.0)
SOON = RetryPolicy(max_attempts=3, first_seconds=10, factor=2, longest_seconds=1000)


class SqlKind:
    """The embedded queue over a file; it can be closed and opened again."""

    def __init__(self, folder):
        self._url = f"sqlite:///{folder / 'queue.sqlite'}"

    @asynccontextmanager
    async def open(self, **options):
        async with Database.open(self._url) as self.database:
            yield SqlQueue(self.database, **options)

    async def succeed(self, queue, number):
        def end(connection):
            build = ledger.known(connection, number)
            now = queue._clock()
            return ledger.succeed(connection, build, wheel="x.whl", wheel_sha256="0" * 64, log_sha256=None, now=now)

        changed = await self.database.run(end)
        queue.notice(changed)
        return changed[0]


class FakeKind:
    """The fake; its records outlive a reopening, as a file would."""

    def __init__(self, folder):
        self._kept = FakeQueue()

    @asynccontextmanager
    async def open(self, **options):
        queue = FakeQueue(**options)
        queue.builds = self._kept.builds
        queue._setbacks, queue._ranks = self._kept._setbacks, self._kept._ranks
        yield queue

    async def succeed(self, queue, number):
        return queue.succeed(number, wheel="x.whl", wheel_sha256="0" * 64, log_sha256=None)


@pytest.fixture(params=[SqlKind, FakeKind], ids=["sql", "fake"])
def kind(request, tmp_path):
    return request.param(tmp_path)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def queue(kind, clock):
    async with kind.open(clock=clock, memory=MEMORY, retry=SOON) as queue:
        yield queue


async def claim(queue):
    return await asyncio.wait_for(queue.claim(), LONG)


async def nothing_is_due(queue):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.claim(), 0.05)
    return True


async def running(queue, request):
    submitted = await queue.submit(request)
    claimed = await claim(queue)
    assert claimed.id == submitted.id
    return claimed


# --- one build per request


async def test_fifty_who_ask_at_once_get_one_build(queue):
    builds = await asyncio.gather(*(queue.submit(a_request()) for _ in range(50)))
    assert {build.id for build in builds} == {builds[0].id}
    assert len(await queue.list()) == 1


async def test_a_new_build_says_what_was_asked(queue, clock):
    build = await queue.submit(a_request())
    assert build.request == a_request()
    assert (build.state, build.attempts, build.created) == (BuildState.QUEUED, 0, clock.now)
    assert await queue.get(build.id) == await queue.last(a_request().key) == build


@pytest.mark.parametrize(
    "other",
    [a_request(target=CP312), a_request(version="0.6.1"), a_request("six"), a_request(bytes_="replaced")],
    ids=["target", "version", "project", "bytes"],
)
async def test_what_differs_is_another_build(queue, other):
    first = await queue.submit(a_request())
    assert (await queue.submit(other)).id != first.id


async def test_a_running_build_answers_also_an_operator(queue):
    build = await running(queue, a_request())
    assert (await queue.submit(a_request(), again=True)).id == build.id


async def test_a_full_queue_takes_no_more_but_answers_for_what_it_has(kind):
    async with kind.open(limit=2) as queue:
        first = await queue.submit(a_request("a"))
        await queue.submit(a_request("b"))
        with pytest.raises(QueueFull):
            await queue.submit(a_request("c"))
        assert (await queue.submit(a_request("a"))).id == first.id
        await claim(queue)
        assert await queue.submit(a_request("c"))


# --- claiming


async def test_the_oldest_comes_first_and_each_once(queue):
    submitted = [await queue.submit(a_request(name)) for name in "abc"]
    claimed = [await claim(queue) for _ in range(3)]
    assert [build.id for build in claimed] == [build.id for build in submitted]
    assert {build.state for build in claimed} == {BuildState.RUNNING}
    assert await nothing_is_due(queue)


async def test_many_workers_never_share_a_build(queue):
    workers = [asyncio.ensure_future(claim(queue)) for _ in range(10)]
    await asyncio.sleep(0.01)
    submitted = [await queue.submit(a_request(f"p{number}")) for number in range(10)]
    claimed = await asyncio.gather(*workers)
    assert sorted(build.id for build in claimed) == sorted(build.id for build in submitted)


async def test_a_waiting_worker_is_woken(queue):
    waiting = asyncio.ensure_future(claim(queue))
    await asyncio.sleep(0.02)
    build = await queue.submit(a_request())
    assert (await waiting).id == build.id


@pytest.mark.parametrize("moments", range(8))
async def test_a_cancelled_claim_takes_nothing(queue, moments):
    await queue.submit(a_request())
    task = asyncio.ensure_future(queue.claim())
    for _ in range(moments):
        await asyncio.sleep(0)
    task.cancel()
    taken = (await asyncio.gather(task, return_exceptions=True))[0]
    if isinstance(taken, asyncio.CancelledError):
        assert (await claim(queue)).attempts == 1


async def test_the_hold_is_lost_with_the_end(queue):
    build = await running(queue, a_request())
    assert await queue.beat(build.id)
    await queue.settle(build.id, PURGED, log_sha256=None)
    assert not await queue.beat(build.id)
    assert not await queue.beat(4711)


# --- ends


async def test_a_fault_of_the_package_is_recorded_and_remembered(queue, clock):
    build = await running(queue, a_request())
    clock.forward(5)
    failed = await queue.settle(build.id, HEADER, log_sha256=digest("log"))
    assert (failed.state, failed.stage, failed.fault, failed.line) == (
        BuildState.FAILED,
        "build",
        "syslib.header",
        "fatal error: ldap.h: No such file or directory",
    )
    assert (failed.finished, failed.log_sha256) == (clock.now, digest("log"))
    assert (failed.expires - clock.now).total_seconds() == 100
    assert await queue.submit(a_request()) == failed


async def test_a_remembered_fault_ages_out(queue, clock):
    build = await running(queue, a_request())
    await queue.settle(build.id, HEADER, log_sha256=None)
    clock.forward(99)
    assert (await queue.submit(a_request())).id == build.id
    clock.forward(1)
    assert (await queue.submit(a_request())).id != build.id


async def test_some_faults_are_for_ever_and_an_operator_may_still_ask(queue, clock):
    build = await running(queue, a_request())
    failed = await queue.settle(build.id, PackageFault("build", "capi", "longintrepr.h"), log_sha256=None)
    assert failed.expires is None
    clock.forward(10**9)
    assert (await queue.submit(a_request())).id == build.id
    assert (await queue.submit(a_request(), again=True)).id != build.id


async def test_a_success_answers_until_asked_again(queue, kind):
    build = await running(queue, a_request())
    ended = await kind.succeed(queue, build.id)
    assert (ended.state, ended.wheel) == (BuildState.SUCCEEDED, "x.whl")
    assert (await queue.submit(a_request())).id == build.id
    assert (await queue.submit(a_request(), again=True)).id != build.id


async def test_a_cancelled_build_holds_nothing_back(queue):
    build = await running(queue, a_request())
    cancelled = await queue.settle(build.id, PURGED, log_sha256=digest("log"))
    assert (cancelled.state, cancelled.fault) == (BuildState.CANCELLED, "cancelled.purged")
    assert (await queue.submit(a_request())).id != build.id


async def test_a_queued_build_can_be_cancelled(queue):
    build = await queue.submit(a_request())
    assert (await queue.settle(build.id, PURGED, log_sha256=None)).state is BuildState.CANCELLED
    assert await nothing_is_due(queue)


async def test_our_fault_is_tried_again_later_and_later(queue, clock):
    build = await running(queue, a_request())
    again = await queue.settle(build.id, NO_DISK, log_sha256=None)
    assert (again.state, again.fault, again.expires) == (BuildState.QUEUED, "infra.disk", None)
    clock.forward(9)
    assert await nothing_is_due(queue)
    clock.forward(1)
    second = await claim(queue)
    assert (second.id, second.attempts, second.fault) == (build.id, 2, None)
    await queue.settle(build.id, NO_DISK, log_sha256=None)
    clock.forward(19)
    assert await nothing_is_due(queue)
    clock.forward(1)
    assert (await claim(queue)).attempts == 3


async def test_our_fault_is_never_held_against_the_package(queue, clock):
    build = await queue.submit(a_request())
    for _ in range(3):
        clock.forward(1000)
        assert (await claim(queue)).id == build.id
        ended = await queue.settle(build.id, NO_DISK, log_sha256=None)
    assert (ended.state, ended.fault, ended.stage) == (BuildState.FAILED, "infra.disk", None)
    assert (await queue.submit(a_request())).id != build.id


async def test_a_setback_comes_due_by_itself(kind):
    retry = RetryPolicy(first_seconds=0.05)
    async with kind.open(retry=retry) as queue:
        build = await running(queue, a_request())
        await queue.settle(build.id, NO_DISK, log_sha256=None)
        assert (await claim(queue)).id == build.id


async def test_an_end_is_final(queue, kind):
    build = await running(queue, a_request())
    failed = await queue.settle(build.id, HEADER, log_sha256=None)
    assert await queue.settle(build.id, NO_DISK, log_sha256=None) == failed
    await queue.give_back(build.id)
    assert await queue.get(build.id) == failed
    assert await queue.wait_for(build.id, (await queue.submit(a_request("x"))).id) == failed


async def test_a_time_cut_is_noted_until_the_build_starts_anew(queue, clock):
    build = await running(queue, a_request())
    await queue.mark(build.id, time_cut=clock())
    assert (await queue.get(build.id)).time_cut == clock()
    await queue.give_back(build.id)
    assert (await claim(queue)).time_cut is None
    await queue.mark(build.id, time_cut=clock())
    failed = await queue.settle(build.id, HEADER, log_sha256=None)
    assert failed.time_cut == clock()
    await queue.mark(build.id, time_cut=clock() - timedelta(days=1))
    assert await queue.get(build.id) == failed


async def chain_of(queue, length):
    """Queue builds, each for the sake of the one before it."""
    builds = [await queue.submit(a_request("p0"))]
    for number in range(1, length):
        builds.append(await queue.submit(a_request(f"p{number}"), parent=builds[-1]))
    return builds


async def test_a_chain_is_noted_from_its_root(queue):
    builds = await chain_of(queue, 3)
    assert [build.chain for build in builds] == [(), ("p0==0.6.2",), ("p0==0.6.2", "p1==0.6.2")]
    assert [build.root for build in builds] == [None, builds[0].id, builds[0].id]
    assert await queue.get(builds[2].id) == builds[2]
    assert (await queue.submit(a_request("p2"))).chain == builds[2].chain  # as it was first asked for


async def test_what_was_asked_for_itself_stays_so(queue):
    alone = await queue.submit(a_request("lib"))
    app = await queue.submit(a_request("app"))
    assert await queue.submit(a_request("lib"), parent=app) == alone


async def test_a_chain_ends_at_its_longest_with_all_links_named(queue):
    builds = await chain_of(queue, LONGEST_CHAIN)
    with pytest.raises(PackageFault) as caught:
        await queue.submit(a_request("more"), parent=builds[-1])
    assert caught.value.kind == "deps.depth"
    assert " -> ".join([f"p{number}==0.6.2" for number in range(LONGEST_CHAIN)] + ["more==0.6.2"]) in caught.value.line
    assert await queue.last(a_request("more").key) is None
    assert (await queue.submit(a_request("p1"), parent=builds[-1])).id == builds[1].id  # it is there already


async def test_no_build_has_any_number_of_others_made(queue):
    root = await queue.submit(a_request("root"))
    for number in range(MOST_BUILDS):
        last = await queue.submit(a_request(f"p{number}"), parent=root)
    for parent in (root, last):
        with pytest.raises(PackageFault) as caught:
            await queue.submit(a_request("more"), parent=parent)
        assert caught.value.kind == "deps.depth"
        assert "root==0.6.2 had 32 other packages built" in caught.value.line
    await queue.submit(a_request("more"))


async def test_an_unknown_build_is_an_error(queue):
    assert await queue.get(4711) is None
    assert await queue.last("0" * 64) is None
    with pytest.raises(LookupError):
        await queue.settle(4711, HEADER, log_sha256=None)


async def test_a_need_is_not_settled(queue):
    build = await running(queue, a_request())
    with pytest.raises(TypeError):
        await queue.settle(build.id, NeedsBuild("setuptools", "60"), log_sha256=None)


# --- priorities


async def in_turn(queue, count):
    return [(await claim(queue)).request.project for _ in range(count)]


async def test_the_more_urgent_come_first_then_the_older(queue):
    for name, priority in [
        ("campaign", Priority.BACKGROUND),
        ("release", Priority.WARM),
        ("miss", Priority.INTERACTIVE),
        ("next", Priority.INTERACTIVE),
    ]:
        assert (await queue.submit(a_request(name), priority=priority)).priority is priority
    assert await in_turn(queue, 4) == ["miss", "next", "release", "campaign"]


async def test_waiting_makes_urgent(queue, clock):
    await queue.submit(a_request("campaign"), priority=Priority.BACKGROUND)
    clock.forward(HANDICAP[Priority.BACKGROUND].total_seconds() - 1)
    await queue.submit(a_request("miss"))
    clock.forward(2)
    await queue.submit(a_request("later"))
    assert await in_turn(queue, 3) == ["miss", "campaign", "later"]


async def test_a_more_urgent_asker_hurries_a_queued_build(queue):
    await queue.submit(a_request("campaign"), priority=Priority.BACKGROUND)
    await queue.submit(a_request("other"), priority=Priority.WARM)
    assert (await queue.submit(a_request("campaign"))).priority is Priority.INTERACTIVE
    assert await in_turn(queue, 2) == ["campaign", "other"]


async def test_a_less_urgent_asker_slows_nothing_down(queue):
    await queue.submit(a_request("miss"))
    assert (await queue.submit(a_request("miss"), priority=Priority.BACKGROUND)).priority is Priority.INTERACTIVE
    await queue.submit(a_request("release"), priority=Priority.WARM)
    assert await in_turn(queue, 2) == ["miss", "release"]


async def test_a_requirement_is_as_urgent_as_what_waits_for_it(queue, clock):
    lib = await queue.submit(a_request("lib"), priority=Priority.BACKGROUND)
    app = await queue.submit(a_request("app"))
    await queue.submit(a_request("other"))
    assert (await claim(queue)).id == app.id
    await queue.wait_for(app.id, lib.id)
    assert (await queue.get(lib.id)).priority is Priority.INTERACTIVE
    assert await in_turn(queue, 2) == ["lib", "other"]


async def test_hurry_reaches_all_that_is_waited_for(queue):
    app = await queue.submit(a_request("app"), priority=Priority.BACKGROUND)
    await claim(queue)
    lib = await queue.submit(a_request("lib"), priority=Priority.BACKGROUND)
    await queue.wait_for(app.id, lib.id)
    await claim(queue)
    base = await queue.submit(a_request("base"), priority=Priority.BACKGROUND)
    await queue.wait_for(lib.id, base.id)
    await queue.submit(a_request("other"), priority=Priority.WARM)
    await queue.submit(a_request("app"))
    assert [(await queue.get(one.id)).priority for one in (app, lib, base)] == [Priority.INTERACTIVE] * 3
    assert await in_turn(queue, 2) == ["base", "other"]


async def test_the_one_that_is_chosen_is_taken_and_the_others_stay(queue):
    for name in "abc":
        await queue.submit(a_request(name))
    seen = []

    def choose(due):
        seen.append([build.request.project for build in due])
        return due[1] if len(due) > 1 else None

    assert (await asyncio.wait_for(queue.claim(choose), LONG)).request.project == "b"
    assert (await asyncio.wait_for(queue.claim(choose), LONG)).request.project == "c"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.claim(choose), 0.05)
    assert seen[:3] == [["a", "b", "c"], ["a", "c"], ["a"]]


async def test_positions_are_of_those_that_are_due(queue, clock):
    a, b = [await queue.submit(a_request(name), priority=Priority.WARM) for name in "ab"]
    c = await queue.submit(a_request("c"))
    assert await queue.positions([a.id, b.id, c.id]) == {c.id: 1, a.id: 2, b.id: 3}
    await claim(queue)
    await queue.settle(c.id, NO_DISK, log_sha256=None)
    assert await queue.positions([b.id, c.id]) == {b.id: 2}
    assert (await queue.get(c.id)).not_before > clock.now


async def test_a_fault_that_is_not_charged_leaves_no_trace_in_the_count(queue, clock):
    build = await running(queue, a_request())
    for _ in range(SOON.max_attempts + 1):
        back = await queue.settle(build.id, NO_DISK, log_sha256=None, charged=False)
        assert (back.state, back.attempts, back.fault) == (BuildState.QUEUED, 0, "infra.disk")
        assert await nothing_is_due(queue)
        clock.forward(SOON.put_off_seconds)
        assert (await claim(queue)).attempts == 1


# --- giving back, and dying


async def test_what_is_given_back_is_as_if_never_started(queue):
    before = await queue.submit(a_request())
    await queue.submit(a_request("later"))
    await queue.give_back((await claim(queue)).id)
    assert await queue.get(before.id) == before
    assert (await claim(queue)).id == before.id


async def test_all_is_there_after_a_restart_and_what_ran_is_taken_up_again(kind, clock):
    async with kind.open(clock=clock, memory=MEMORY) as queue:
        ran = await running(queue, a_request("ran"))
        failed = await running(queue, a_request("failed"))
        failed = await queue.settle(failed.id, HEADER, log_sha256=None)
        waiting = await queue.submit(a_request("waiting"))
    async with kind.open(clock=clock, memory=MEMORY) as queue:
        [recovered] = await queue.recover()
        assert (recovered.id, recovered.state, recovered.fault) == (ran.id, BuildState.QUEUED, "infra.worker-lost")
        assert await queue.get(failed.id) == failed
        assert await queue.get(waiting.id) == waiting
        assert [(await claim(queue)).id, (await claim(queue)).id] == [ran.id, waiting.id]


async def test_a_build_that_ends_the_process_each_time_is_given_up(kind, clock):
    async with kind.open(clock=clock, retry=SOON) as queue:
        build = await queue.submit(a_request())
    for _ in range(3):
        async with kind.open(clock=clock, retry=SOON) as queue:
            assert (await claim(queue)).id == build.id
        async with kind.open(clock=clock, retry=SOON) as queue:
            await queue.recover()
            last = await queue.get(build.id)
    assert (last.state, last.fault, last.expires) == (BuildState.FAILED, "infra.worker-lost", clock.now)


# --- waiting for another build


async def waiting_pair(queue):
    """Return a build of ``app`` that waits for one of ``lib``, which is running."""
    app = await running(queue, a_request("app"))
    lib = await queue.submit(a_request("lib"))
    waiting = await queue.wait_for(app.id, lib.id)
    assert (waiting.state, waiting.waits_for) == (BuildState.QUEUED, lib.id)
    assert (await claim(queue)).id == lib.id  # though app is older
    return app, lib


async def test_what_waits_is_due_once_the_other_succeeded(queue, kind, clock):
    app, lib = await waiting_pair(queue)
    assert await nothing_is_due(queue)
    clock.forward(1)
    waiting = asyncio.ensure_future(claim(queue))
    await kind.succeed(queue, lib.id)
    due = await waiting
    assert (due.id, due.waits_for) == (app.id, None)


async def test_what_waits_fails_with_the_other(queue, clock):
    app, lib = await waiting_pair(queue)
    await queue.settle(lib.id, HEADER, log_sha256=None)
    failed = await queue.get(app.id)
    assert (failed.state, failed.fault, failed.stage) == (BuildState.FAILED, "deps.build-failed", "requires")
    assert "lib==0.6.2" in failed.line
    assert (failed.expires - clock.now).total_seconds() == 50
    assert failed.waits_for is None


async def test_what_waits_for_what_waits_fails_too(queue):
    app, lib = await waiting_pair(queue)
    base = await queue.submit(a_request("base"))
    await queue.wait_for(lib.id, base.id)
    assert (await claim(queue)).id == base.id
    await queue.settle(base.id, HEADER, log_sha256=None)
    assert [(await queue.get(one.id)).fault for one in (lib, app)] == ["deps.build-failed"] * 2


@pytest.mark.parametrize("end", [PURGED, NO_DISK], ids=["cancelled", "our fault"])
async def test_nothing_is_held_against_what_waited_for_a_build_that_was_nobodys_fault(queue, clock, end):
    app, lib = await waiting_pair(queue)
    for _ in range(3):
        await queue.settle(lib.id, end, log_sha256=None)
        clock.forward(1000)
        if (await queue.get(lib.id)).state is BuildState.QUEUED:
            await claim(queue)
    assert (await queue.get(app.id)).fault == "deps.build-failed"
    assert (await queue.submit(a_request("app"))).id != app.id


@pytest.mark.parametrize("kind_", ["cancelled.yanked", "cancelled.removed", "cancelled.superseded"])
async def test_what_waits_is_due_again_where_upstream_has_something_else(queue, kind_):
    app, lib = await waiting_pair(queue)
    await queue.settle(lib.id, Cancelled(kind_, "Upstream changed."), log_sha256=None)
    due = await claim(queue)
    assert (due.id, due.waits_for) == (app.id, None)


async def test_a_setback_of_the_other_is_waited_out(queue, kind, clock):
    app, lib = await waiting_pair(queue)
    await queue.settle(lib.id, NO_DISK, log_sha256=None)
    clock.forward(10)
    assert (await claim(queue)).id == lib.id
    await kind.succeed(queue, lib.id)
    assert (await claim(queue)).id == app.id


async def test_waiting_survives_a_restart(kind, clock):
    async with kind.open(clock=clock) as queue:
        app, lib = await waiting_pair(queue)
    async with kind.open(clock=clock) as queue:
        await queue.recover()
        assert (await claim(queue)).id == lib.id
        clock.forward(1)
        await kind.succeed(queue, lib.id)
        assert (await claim(queue)).id == app.id


async def test_an_other_that_has_failed_already_fails_it_at_once(queue):
    lib = await running(queue, a_request("lib"))
    await queue.settle(lib.id, HEADER, log_sha256=None)
    app = await running(queue, a_request("app"))
    assert (await queue.wait_for(app.id, lib.id)).fault == "deps.build-failed"


async def test_an_other_that_succeeded_meanwhile_makes_it_due_at_once(queue, kind, clock):
    lib = await running(queue, a_request("lib"))
    app = await running(queue, a_request("app"))
    clock.forward(1)
    await kind.succeed(queue, lib.id)
    await queue.wait_for(app.id, lib.id)
    assert (await claim(queue)).id == app.id


async def test_a_wheel_that_was_there_and_does_not_serve_is_not_waited_for_for_ever(queue, kind, clock):
    lib = await running(queue, a_request("lib"))
    await kind.succeed(queue, lib.id)
    clock.forward(1)
    app = await running(queue, a_request("app"))
    failed = await queue.wait_for(app.id, lib.id)
    assert (failed.state, failed.fault) == (BuildState.FAILED, "deps.unresolvable")


async def test_a_build_that_needs_itself_fails(queue):
    build = await running(queue, a_request())
    failed = await queue.wait_for(build.id, build.id)
    assert (failed.state, failed.fault) == (BuildState.FAILED, "deps.cycle")


async def test_a_cycle_fails_all_of_it(queue):
    app, lib = await waiting_pair(queue)
    base = await queue.submit(a_request("base"))
    await queue.wait_for(lib.id, base.id)
    assert (await claim(queue)).id == base.id
    assert (await queue.wait_for(base.id, app.id)).fault == "deps.cycle"
    assert [(await queue.get(one.id)).fault for one in (lib, app)] == ["deps.build-failed"] * 2
    assert await queue.active() == () or await queue.active() == []


# --- looking


async def test_lists_are_newest_first_and_can_be_narrowed(queue):
    numbers = [(await queue.submit(a_request(name))).id for name in ("a", "b", "c")]
    await claim(queue)
    assert [build.id for build in await queue.list()] == numbers[::-1]
    assert [build.id for build in await queue.list(limit=1)] == [numbers[2]]
    assert [build.id for build in await queue.list(project="b")] == [numbers[1]]
    assert [build.id for build in await queue.list(state=BuildState.RUNNING)] == [numbers[0]]
    assert [build.id for build in await queue.list(project="b", state=BuildState.RUNNING)] == []
    assert [build.id for build in await queue.active()] == numbers
    assert [build.id for build in await queue.active(project="c")] == [numbers[2]]
    counts = await queue.counts()
    assert (counts[BuildState.QUEUED], counts[BuildState.RUNNING], counts[BuildState.FAILED]) == (2, 1, 0)


async def test_observers_see_each_change(kind):
    seen = []
    async with kind.open(on_change=seen.append, memory=MEMORY) as queue:
        _, lib = await waiting_pair(queue)
        await queue.submit(a_request("app"))
        await queue.settle(lib.id, HEADER, log_sha256=None)
        await asyncio.sleep(0)
    states = [(build.request.project, str(build.state)) for build in seen]
    assert states[:3] == [("app", "QUEUED"), ("app", "RUNNING"), ("lib", "QUEUED")]
    assert sorted(states[-2:]) == [("app", "FAILED"), ("lib", "FAILED")]
    assert len(states) == 7


# --- all sequences


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("submit", "again", "warm", "claim", "fail", "infra", "cancel", "yank"),
                *("give back", "wait", "succeed", "recover", "time"),
            ]
        ),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    max_size=40,
)


ENDS = {"fail": HEADER, "infra": NO_DISK, "cancel": PURGED, "yank": YANKED}


async def _step(queue, succeed, clock, step):
    operation, first, second = step
    request, other = a_request(f"p{first}"), a_request(f"p{second}")
    last, needed = await queue.last(request.key), await queue.last(other.key)
    runs = last is not None and last.state is BuildState.RUNNING
    match operation:
        case "submit" | "again" | "warm":
            priority = Priority.WARM if operation == "warm" else Priority.INTERACTIVE
            await queue.submit(request, again=operation == "again", priority=priority)
        case "claim":
            if any(build.state is BuildState.QUEUED and build.waits_for is None for build in await queue.active()):
                clock.forward(10_000)
                await claim(queue)
        case "fail" | "infra" | "cancel" | "yank" if runs:
            await queue.settle(last.id, ENDS[operation], log_sha256=None)
        case "give back" if last:
            await queue.give_back(last.id)
        case "wait" if runs and needed:
            await queue.wait_for(last.id, needed.id)
        case "succeed" if runs:
            await succeed(queue, last.id)
        case "recover":
            await queue.recover()
        case "time":
            clock.forward(60)


async def _observed(open_queue, succeed, operations):
    clock, changes = Clock(), []
    async with open_queue(clock=clock, memory=MEMORY, retry=SOON, on_change=changes.append) as queue:
        trail = []
        for operation in operations:
            await _step(queue, succeed, clock, operation)
            builds = await queue.list(limit=1000)
            active = [build.request.key for build in builds if build.state in ledger.ACTIVE]
            assert len(active) == len(set(active)), "two active builds of one request"
            alive = {build.id for build in builds if build.state in ledger.ACTIVE}
            assert all(build.waits_for in alive for build in builds if build.waits_for), "waits for what has ended"
            trail.append(
                [(one.id, one.state, one.priority, one.fault, one.attempts, one.expires) for one in builds]
                + [await queue.positions([build.id for build in builds])]
            )
        await asyncio.sleep(0)
    seen = {}
    for build in changes:
        before = seen.get(build.id)
        if before is not None and before is not build.state:
            assert build.state in TRANSITIONS[before]
        seen[build.id] = build.state
    return trail


@settings(max_examples=40, deadline=None)
@given(operations=OPERATIONS)
def test_any_sequence_keeps_the_promises_and_both_queues_agree(tmp_path_factory, operations):
    async def compare():
        sql = SqlKind(tmp_path_factory.mktemp("queue"))
        fake = FakeKind(None)
        assert await _observed(sql.open, sql.succeed, operations) == await _observed(
            fake.open, fake.succeed, operations
        )

    asyncio.run(compare())


async def test_the_database_refuses_what_the_table_of_transitions_refuses(tmp_path):
    request = a_request()
    async with Database.open(f"sqlite:///{tmp_path / 'x.sqlite'}") as database:

        def try_all(connection):
            for before in BuildState:
                for after in BuildState:
                    connection.execute(ledger.builds.delete())
                    build = ledger.add(connection, request, Priority.INTERACTIVE, Clock().now)
                    connection.execute(ledger.builds.update().values(state=before))
                    build = ledger.known(connection, build.id)
                    if after in TRANSITIONS[before]:
                        assert ledger.move(connection, build, after).state is after
                    else:
                        with pytest.raises(ledger.IllegalTransition):
                            ledger.move(connection, build, after)
                        assert ledger.known(connection, build.id).state is before

        await database.run(try_all)


async def test_a_record_that_somebody_else_moved_is_not_moved_twice(tmp_path):
    async with Database.open(f"sqlite:///{tmp_path / 'x.sqlite'}") as database:

        def race(connection):
            build = ledger.add(connection, a_request(), Priority.INTERACTIVE, Clock().now)
            ledger.move(connection, build, BuildState.RUNNING)
            with pytest.raises(ledger.IllegalTransition, match="no longer QUEUED"):
                ledger.move(connection, build, BuildState.RUNNING)

        await database.run(race)
