"""The pool: how builds are taken, made, published, settled, cancelled and given back."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.fakes.queue import FakeQueue
from tests.fakes.records import Clock, a_request, digest
from tests.fakes.waiting import LONG, until

from buildthrough.builders.artifact import CheckedWheel
from buildthrough.builders.attendance import Work
from buildthrough.builders.database import DatabaseFull, utc_now
from buildthrough.builders.demand import Demand
from buildthrough.builders.faults import Cancelled, InfrastructureFault, NeedsBuild, PackageFault, SlotFault
from buildthrough.builders.fuse import FusePolicy
from buildthrough.builders.pool import Pool
from buildthrough.builders.pool_state import Away
from buildthrough.builders.queue import QueueFull
from buildthrough.builders.request import BuildState
from buildthrough.builders.retry import RetryPolicy

WHEEL = CheckedWheel(path=Path("x.whl"), filename="x.whl", sha256="0" * 64, size=1, metadata=b"", requires_python=None)


class NoteBook:
    def __init__(self):
        self.lines = []

    def note(self, sentence):
        self.lines.append(sentence)

    def text(self):
        return "\n".join(self.lines)


class House:
    """The pool's collaborators; a test says what making a project's wheel does."""

    def __init__(self, retry=None):
        self.queue = FakeQueue(retry=retry or RetryPolicy(first_seconds=0.01))
        self.makes = {}
        self.logs = {}
        self.made, self.cleaned, self.slots_used = [], [], []

    async def make(self, build, sandbox, log):
        self.made.append(build.request.project)
        self.slots_used.append(sandbox)
        log.note("the compiler speaks")
        make = self.makes.get(build.request.project)
        if make is not None:
            await make()
        return WHEEL

    async def publish(self, build, wheel, log_sha256, log):
        self.queue.succeed(build.id, wheel=wheel.filename, wheel_sha256=wheel.sha256, log_sha256=log_sha256)

    async def submit_requirement(self, needed, build):
        return await self.queue.submit(a_request(needed.project, needed.version))

    async def store_log(self, data):
        self.logs[digest(data.decode())] = data.decode()
        return digest(data.decode())

    async def clean(self, build):
        self.cleaned.append(build.id)

    def pool(self, slots=1, **options):
        options = {"beat_seconds": 0.01, "stop_seconds": LONG} | options
        names = ("make", "publish", "submit_requirement", "store_log", "clean")
        parts = {name: getattr(self, name) for name in names}
        return Pool(self.queue, list(range(slots)), Work(new_log=NoteBook, **parts), **options)

    async def until(self, number, *states):
        await until(lambda: self.queue.builds[number].state in states)
        return self.queue.builds[number]

    async def ended(self, number):
        return await self.until(number, BuildState.SUCCEEDED, BuildState.FAILED, BuildState.CANCELLED)


def raising(error):
    async def make():
        raise error

    return make


@pytest.fixture
def house():
    return House()


async def test_a_build_is_made_published_and_its_log_kept(house):
    build = await house.queue.submit(a_request())
    async with house.pool():
        ended = await house.ended(build.id)
    assert (ended.state, ended.wheel) == (BuildState.SUCCEEDED, "x.whl")
    assert house.logs[ended.log_sha256] == "the compiler speaks\nbuilt x.whl"
    assert house.cleaned == [build.id]


async def test_a_slot_in_which_something_may_be_alive_takes_no_other_build(house, caplog):
    async def leave_something():
        del house.makes["bad"]  # the next try is in another slot
        raise SlotFault("infra.remains", "processes of a build outlived it: 12 (sleep, uid 59700)")

    house.makes["bad"] = leave_something
    pool = house.pool(slots=2)
    async with pool:
        build = await house.queue.submit(a_request("bad"))
        await house.ended(build.id)
        for name in "abc":
            await house.ended((await house.queue.submit(a_request(name))).id)
        assert pool.slots == 1
    assert house.slots_used == [0, 1, 1, 1, 1]
    assert "a slot takes no more builds until the server starts again: processes of a build outlived it" in caplog.text


async def test_other_slots_are_taken_over_while_it_runs(house):
    go_on = asyncio.Event()
    for name in ("a", "b"):
        house.makes[name] = go_on.wait
        await house.queue.submit(a_request(name))
    away = Away(since=datetime(2026, 1, 2, tzinfo=UTC), why="nobody answers")
    pool = house.pool(slots=0)
    async with pool:
        pool.adopt(["first"])
        await until(lambda: house.made == ["a"])
        pool.adopt((), away=away)
        assert (pool.state.word, pool.state.away, pool.slots, pool.running) == ("away", away, 0, 1)
        await asyncio.sleep(0.03)
        assert house.made == ["a"]
        pool.adopt(["second"])
        await until(lambda: pool.running == 2)
        assert (pool.state.word, pool.slots) == ("open", 1)
        go_on.set()
        await house.ended(1)
        await house.ended(2)
        await house.ended((await house.queue.submit(a_request("c"))).id)
    assert house.slots_used == ["first", "second", "second"]


async def test_a_build_claimed_while_the_slots_go_away_is_put_back(house, monkeypatch):
    pool = house.pool(slots=1)
    claim = house.queue.claim

    async def claim_late(choose):
        build = await claim(choose)
        pool.adopt(())
        return build

    monkeypatch.setattr(house.queue, "claim", claim_late)
    async with pool:
        build = await house.queue.submit(a_request())
        await asyncio.sleep(0.05)
        await house.until(build.id, BuildState.QUEUED)
        monkeypatch.undo()
        pool.adopt(["another"])
        await house.ended(build.id)
    assert house.slots_used == ["another"]


async def test_as_many_run_at_once_as_there_are_sandboxes_and_no_more(house):
    go_on = asyncio.Event()
    for name in "abc":
        house.makes[name] = go_on.wait
        await house.queue.submit(a_request(name))
    pool = house.pool(slots=2)
    async with pool:
        await until(lambda: len(house.made) == 2)
        await asyncio.sleep(0.03)  # time for a third, which must not come
        assert (pool.slots, pool.running, house.made) == (2, 2, ["a", "b"])
        assert sorted(house.slots_used) == [0, 1]
        go_on.set()
        await house.ended(3)
    assert pool.running == 0


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (PackageFault("build", "syslib.header", "ldap.h: No such file"), BuildState.FAILED),
        (Cancelled("cancelled.yanked", "Upstream has yanked it."), BuildState.CANCELLED),
    ],
)
async def test_the_family_of_a_fault_settles_it(house, end, state):
    house.makes["docopt"] = raising(end)
    build = await house.queue.submit(a_request())
    async with house.pool():
        ended = await house.ended(build.id)
    assert (ended.state, ended.fault, ended.line) == (state, end.kind, end.line)
    assert house.logs[ended.log_sha256].startswith("the compiler speaks\n")
    assert end.line in house.logs[ended.log_sha256]


async def test_the_log_of_the_server_says_how_each_build_ended(house, caplog):
    caplog.set_level(logging.INFO)
    house.makes["other"] = raising(PackageFault("build", "syslib.header", "ldap.h: No such file"))
    await house.queue.submit(a_request())
    failing = await house.queue.submit(a_request("other"))
    async with house.pool():
        await house.ended(failing.id)
    told = [(record.getMessage(), record.fields) for record in caplog.records]
    about = {"build": 2, "project": "other", "version": failing.request.version, "target": failing.request.target}
    assert told[0][0] == "build succeeded"
    assert told[0][1]["wheel"] == "x.whl"
    why = "build: syslib.header: ldap.h: No such file"
    assert told[1] == ("build ended without a wheel", about | {"why": why})


async def test_our_fault_is_tried_again(house):
    tries = []

    async def make():
        tries.append(1)
        if len(tries) < 3:
            raise InfrastructureFault("infra.sandbox", "no such slot")

    house.makes["docopt"] = make
    build = await house.queue.submit(a_request())
    async with house.pool():
        ended = await house.ended(build.id)
    assert (ended.state, ended.attempts) == (BuildState.SUCCEEDED, 3)


async def test_what_we_did_not_foresee_is_our_fault_and_the_traceback_is_for_us_alone(caplog):
    house = House(retry=RetryPolicy(max_attempts=1))
    house.makes["docopt"] = raising(ZeroDivisionError("division\nby zero"))
    build = await house.queue.submit(a_request())
    await house.queue.submit(a_request("next"))
    async with house.pool():
        ended = await house.ended(build.id)
        assert (await house.ended(2)).state is BuildState.SUCCEEDED
    assert (ended.fault, ended.line) == ("infra.internal", "ZeroDivisionError: division by zero")
    assert "Traceback" not in house.logs[ended.log_sha256]
    assert "failed by a fault of ours" in caplog.text
    assert "Traceback" in caplog.text


async def test_a_publication_that_fails_is_our_fault(house, caplog):
    async def publish(build, wheel, log_sha256, log):
        if house.queue.builds[build.id].attempts == 1:
            raise OSError(28, "No space left on device")
        await House.publish(house, build, wheel, log_sha256, log)

    house.publish = publish
    build = await house.queue.submit(a_request())
    async with house.pool():
        assert (await house.ended(build.id)).attempts == 2


async def test_a_log_that_cannot_be_kept_does_not_hide_how_the_build_ended(house, caplog):
    async def store_log(data):
        raise OSError(28, "No space left on device")

    house.store_log = store_log
    house.makes["docopt"] = raising(PackageFault("build", "compiler", "error"))
    build = await house.queue.submit(a_request())
    async with house.pool():
        ended = await house.ended(build.id)
    assert (ended.fault, ended.log_sha256) == ("compiler", None)
    assert "could not be kept" in caplog.text


# --- build requirements


async def test_a_needed_build_comes_first_then_the_build_starts_again(house):
    async def make():
        if house.made.count("app") == 1:
            raise NeedsBuild("lib", "1.0")

    house.makes["app"] = make
    build = await house.queue.submit(a_request("app"))
    async with house.pool():
        ended = await house.ended(build.id)
    assert ended.state is BuildState.SUCCEEDED
    assert house.made == ["app", "lib", "app"]


async def test_a_needed_build_that_fails_fails_it(house):
    house.makes["app"] = raising(NeedsBuild("lib", "1.0"))
    house.makes["lib"] = raising(PackageFault("build", "compiler", "error"))
    build = await house.queue.submit(a_request("app"))
    async with house.pool(slots=2):
        ended = await house.ended(build.id)
    assert (ended.state, ended.fault) == (BuildState.FAILED, "deps.build-failed")


async def test_builds_that_need_each_other_fail(house):
    house.makes["a"] = raising(NeedsBuild("b", "0.6.2"))
    house.makes["b"] = raising(NeedsBuild("a", "0.6.2"))
    build = await house.queue.submit(a_request("a"))
    async with house.pool(slots=2):
        await house.ended(build.id)
        assert {(await house.ended(2)).fault, house.queue.builds[1].fault} == {"deps.cycle", "deps.build-failed"}


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (None, "deps.unresolvable"),
        (QueueFull(), "infra.queue-full"),
        (InfrastructureFault("infra.disk", "full"), "infra.disk"),
        (PackageFault("requires", "deps.yanked", "yanked"), "deps.yanked"),
        (ZeroDivisionError(), "infra.internal"),
    ],
    ids=repr,
)
async def test_a_requirement_that_cannot_be_asked_for(answer, fault, caplog):
    house = House(retry=RetryPolicy(max_attempts=1))

    async def submit_requirement(needed, build):
        if answer is not None:
            raise answer

    house.submit_requirement = submit_requirement
    house.makes["app"] = raising(NeedsBuild("lib", "1.0"))
    build = await house.queue.submit(a_request("app"))
    async with house.pool():
        ended = await house.ended(build.id)
    assert (ended.state, ended.fault) == (BuildState.FAILED, fault)


# --- budgets


def sizes(request):
    return Demand(memory_bytes={"big": 6, "huge": 9}.get(request.project, 2), cpus=1)


ROOM = {"total": Demand(memory_bytes=8, cpus=4), "demand": sizes}


async def test_a_big_build_waits_for_room_and_small_ones_go_by(house):
    ends = {name: asyncio.Event() for name in ("a", "b", "c", "big")}
    house.makes |= {name: end.wait for name, end in ends.items()}
    builds = {name: await house.queue.submit(a_request(name)) for name in ("a", "b", "big", "c")}
    async with house.pool(slots=4, **ROOM) as pool:
        await until(lambda: len(house.made) == 3)
        await asyncio.sleep(0.03)  # time for a fourth, which must not come
        assert house.made == ["a", "b", "c"]
        assert pool.state.free == Demand(memory_bytes=2, cpus=1)
        ends["a"].set()
        ends["b"].set()
        await until(lambda: "big" in house.made)
        assert pool.state.free == Demand(memory_bytes=0, cpus=2)
        for end in ends.values():
            end.set()
        await house.ended(builds["big"].id)


async def test_a_big_build_does_not_wait_for_ever(house):
    go_on = asyncio.Event()
    house.makes["a"] = house.makes["b"] = go_on.wait
    for name in "ab":
        await house.queue.submit(a_request(name))
    async with house.pool(slots=4, patience_seconds=0, **ROOM):
        await until(lambda: len(house.made) == 2)
        big = await house.queue.submit(a_request("big"))
        small = await house.queue.submit(a_request("c"))
        await asyncio.sleep(0.03)
        assert house.made == ["a", "b"]
        go_on.set()
        await house.ended(big.id)
        await house.ended(small.id)
    assert house.made == ["a", "b", "big", "c"]


async def test_a_build_that_can_never_fit_is_refused_and_takes_nobodys_turn(house):
    huge = await house.queue.submit(a_request("huge"))
    other = await house.queue.submit(a_request("other"))
    async with house.pool(**ROOM) as pool:
        refused = await house.ended(huge.id)
        await house.ended(other.id)
        assert pool.state.free == pool.state.total
    assert (refused.state, refused.fault) == (BuildState.FAILED, "limit.budget")
    assert "all builds together" in refused.line
    assert house.made == ["other"]


# --- draining, and the lock


async def test_a_drained_pool_finishes_what_runs_and_starts_nothing(house):
    go_on = asyncio.Event()
    house.makes["a"] = go_on.wait
    first = await house.queue.submit(a_request("a"))
    second = await house.queue.submit(a_request("b"))
    async with house.pool() as pool:
        await house.until(first.id, BuildState.RUNNING)
        pool.drain()
        assert pool.state.word == "draining"
        go_on.set()
        assert (await house.ended(first.id)).state is BuildState.SUCCEEDED
        await until(lambda: pool.state.word == "drained")
        await asyncio.sleep(0.03)  # time for another, which must not come
        assert house.made == ["a"]
        assert house.queue.builds[second.id] == second
        pool.resume()
        assert (await house.ended(second.id)).attempts == 1


async def test_a_pool_that_starts_drained_builds_nothing_until_it_is_resumed(house):
    build = await house.queue.submit(a_request())
    async with house.pool(is_draining=True) as pool:
        await asyncio.sleep(0.03)
        assert house.made == []
        pool.resume()
        await house.ended(build.id)


HASTY = FusePolicy(
    rest=RetryPolicy(first_seconds=0.001, longest_seconds=0.001), probe=RetryPolicy(first_seconds=60, factor=1)
)


async def broken(house, count=8):
    house.is_broken = True

    async def make():
        if house.is_broken:
            raise InfrastructureFault("infra.sandbox", "bwrap is gone")

    for number in range(count):
        house.makes[f"p{number}"] = make
        await house.queue.submit(a_request(f"p{number}"))


async def test_a_broken_machine_locks_the_pool_and_no_build_pays_for_it(house, caplog):
    await broken(house)
    house.queue._clock = clock = Clock()  # each is tried once
    house.queue._retry = RetryPolicy(max_attempts=2, first_seconds=0.001, put_off_seconds=0.001)
    async with house.pool(policy=HASTY) as pool:
        await until(lambda: pool.state.word == "locked")
        await until(lambda: pool.running == 0)
        tried = len(house.made)
        assert tried <= 6
        assert {build.state for build in house.queue.builds.values()} == {BuildState.QUEUED}
        assert sum("BUILDS ARE LOCKED" in message for message in caplog.messages) == 1
        house.is_broken = False
        await asyncio.sleep(0.03)  # time for another try, which must not come
        assert len(house.made) == tried
        clock.forward(1)
        pool.resume()
        for number in list(house.queue.builds):
            assert (await house.ended(number)).state is BuildState.SUCCEEDED
        assert pool.state.word == "open"


async def test_a_locked_pool_tries_one_build_and_goes_on_where_that_works(house):
    await broken(house)
    house.queue._clock = Clock()  # each is tried once before the pool is locked
    house.queue._retry = RetryPolicy(max_attempts=2, first_seconds=0.001, put_off_seconds=0.001)
    policy = replace(HASTY, probe=RetryPolicy(first_seconds=0.02, factor=1))
    async with house.pool(slots=3, policy=policy) as pool:
        await until(lambda: pool.state.word == "locked")
        house.queue._clock = utc_now
        tried = len(house.made)
        await until(lambda: len(house.made) >= tried + 3)
        assert pool.state.word == "locked"
        assert {build.state for build in house.queue.builds.values()} <= {BuildState.QUEUED, BuildState.RUNNING}
        house.is_broken = False
        for number in list(house.queue.builds):
            assert (await house.ended(number)).state is BuildState.SUCCEEDED
        assert pool.state.word == "open"


async def test_a_build_that_is_refused_unlocks_nothing(house):
    await broken(house, 3)
    house.queue._retry = RetryPolicy(max_attempts=9, first_seconds=0.001, put_off_seconds=0.001)
    async with house.pool(policy=replace(HASTY, probe=RetryPolicy(first_seconds=0.02, factor=1)), **ROOM) as pool:
        await until(lambda: pool.state.word == "locked")
        huge = await house.queue.submit(a_request("huge"))
        assert (await house.ended(huge.id)).fault == "limit.budget"
        assert pool.state.word == "locked"


async def test_only_builds_that_came_to_their_end_are_timed(house):
    make, go_on = Stubborn(), asyncio.Event()
    house.makes |= {"a": make, "b": go_on.wait}
    first = await house.queue.submit(a_request("a"))
    second = await house.queue.submit(a_request("b"))
    async with house.pool() as pool:
        await make.started.wait()
        pool.cancel([first.id])
        await house.ended(first.id)
        assert pool.state.mean_seconds is None
        go_on.set()
        await house.ended(second.id)
        await until(lambda: pool.state.mean_seconds is not None)


async def test_an_upstream_that_is_down_locks_nothing_and_builds_wait_for_it(house):
    house.queue._retry = RetryPolicy(max_attempts=1, put_off_seconds=0.005)
    down = [True]

    async def make():
        if down:
            raise InfrastructureFault("infra.upstream", "Upstream cannot be reached.")

    for name in "abcdefgh":
        house.makes[name] = make
        await house.queue.submit(a_request(name))
    async with house.pool(policy=HASTY) as pool:
        await until(lambda: len(house.made) > 8)
        assert pool.state.word == "open"
        down.clear()
        for number in list(house.queue.builds):
            ended = await house.ended(number)
            assert (ended.state, ended.attempts) == (BuildState.SUCCEEDED, 1)


# --- cancelling and stopping


class Stubborn:
    """A make that takes a moment to die, as a sandbox does; remembers that it was dead in the end."""

    def __init__(self, then=None):
        self.started, self.dead, self._then = asyncio.Event(), False, then

    async def __call__(self):
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.03)
            self.dead = True
            if self._then:
                raise self._then


async def test_a_purge_ends_a_running_build(house):
    make = house.makes["docopt"] = Stubborn()
    build = await house.queue.submit(a_request())
    pool = house.pool(beat_seconds=60)
    async with pool:
        await make.started.wait()
        await house.queue.settle(build.id, Cancelled("cancelled.purged", "x"), log_sha256=None)
        pool.cancel([build.id, 4711])
        other = await house.queue.submit(a_request("other"))
        await house.ended(other.id)
    assert make.dead
    assert house.queue.builds[build.id].fault == "cancelled.purged"
    assert house.cleaned == [build.id, other.id]


async def test_a_cancel_alone_settles_it_too(house):
    make = house.makes["docopt"] = Stubborn()
    build = await house.queue.submit(a_request())
    pool = house.pool()
    async with pool:
        await make.started.wait()
        pool.cancel([build.id])
        ended = await house.ended(build.id)
    assert (ended.state, ended.fault) == (BuildState.CANCELLED, "cancelled.purged")


async def test_a_cancel_says_why(house):
    make = house.makes["docopt"] = Stubborn(PackageFault("build", "compiler", "Killed"))
    build = await house.queue.submit(a_request())
    async with house.pool() as pool:
        await make.started.wait()
        assert pool.cancel([build.id, 4711], Cancelled("cancelled.yanked", "Upstream has yanked it.")) == {build.id}
        ended = await house.ended(build.id)
    assert (ended.state, ended.fault, ended.line) == (
        BuildState.CANCELLED,
        "cancelled.yanked",
        "Upstream has yanked it.",
    )
    assert make.dead
    assert "the compiler speaks" in house.logs[ended.log_sha256]


async def test_a_lost_hold_ends_a_running_build(house):
    make = house.makes["docopt"] = Stubborn()
    build = await house.queue.submit(a_request())
    async with house.pool(beat_seconds=0.01):
        await make.started.wait()
        await house.queue.settle(build.id, Cancelled("cancelled.purged", "x"), log_sha256=None)
        await until(lambda: make.dead)


@pytest.mark.parametrize(
    "dying", [None, PackageFault("build", "compiler", "Killed"), InfrastructureFault("infra.x", "x")], ids=repr
)
async def test_a_stop_gives_builds_back_once_they_are_dead(house, dying):
    make = house.makes["docopt"] = Stubborn(dying)
    before = await house.queue.submit(a_request())
    async with house.pool(slots=2) as pool:
        await make.started.wait()
    assert make.dead
    assert house.queue.builds[before.id] == before
    assert house.cleaned == [before.id]
    assert pool.running == 0
    house.makes.clear()
    async with house.pool():
        assert (await house.ended(before.id)).state is BuildState.SUCCEEDED


async def test_a_stop_lets_a_publication_finish(house):
    publishing = asyncio.Event()

    async def publish(build, wheel, log_sha256, log):
        publishing.set()
        await asyncio.sleep(0.05)
        await House.publish(house, build, wheel, log_sha256, log)

    house.publish = publish
    build = await house.queue.submit(a_request())
    async with house.pool():
        await publishing.wait()
    assert house.queue.builds[build.id].state is BuildState.SUCCEEDED


async def test_a_stop_takes_no_longer_than_it_may(house, caplog):
    never = asyncio.Event()

    async def make():
        while not never.is_set():
            try:
                await never.wait()
            except asyncio.CancelledError:
                continue

    house.makes["docopt"] = make
    build = await house.queue.submit(a_request())
    async with asyncio.timeout(LONG):  # what does not end would be waited for for ever
        async with house.pool(stop_seconds=0.05):
            await house.until(build.id, BuildState.RUNNING)
    assert "did not end" in caplog.text
    assert house.queue.builds[build.id].state is BuildState.RUNNING
    never.set()
    await asyncio.sleep(0.01)


async def test_an_idle_pool_stops_at_once(house):
    async with asyncio.timeout(LONG):
        async with house.pool(slots=3, stop_seconds=10 * LONG):
            await asyncio.sleep(0.01)


# --- a queue that fails


@pytest.mark.parametrize("verb", ["claim", "beat", "settle"])
async def test_a_full_disk_is_outlived(house, verb, caplog, monkeypatch):
    monkeypatch.setattr("buildthrough.builders.persistence._REST", RetryPolicy(first_seconds=0.01))
    real, failures = getattr(house.queue, verb), []

    async def failing(*args, **kwargs):
        if len(failures) < 3:
            failures.append(1)
            raise DatabaseFull("The database cannot grow: the disk is full.")
        return await real(*args, **kwargs)

    async def make():
        await until(lambda: verb != "beat" or len(failures) == 3)
        raise PackageFault("build", "compiler", "error")

    setattr(house.queue, verb, failing)
    house.makes["docopt"] = make
    build = await house.queue.submit(a_request())
    async with house.pool():
        ended = await house.ended(build.id)
    assert ended.fault == "compiler"
    assert len(failures) == 3
    assert "the disk is full" in caplog.text


async def test_a_machine_that_only_fails_does_not_use_up_the_queue(house):
    for number in range(50):
        house.makes[f"p{number}"] = raising(InfrastructureFault("infra.sandbox", "broken"))
        await house.queue.submit(a_request(f"p{number}"))
    house.queue._clock = clock = Clock()
    async with house.pool(clock=clock) as pool:
        await until(lambda: len(house.made) == 2 and pool.running == 0)
        await asyncio.sleep(0.1)  # time for a third, which must not come
        assert len(house.made) == 2
