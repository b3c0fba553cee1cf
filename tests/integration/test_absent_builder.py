"""A server whose builder is not there yet, goes away, or comes back with something else: over a real unix socket."""

from __future__ import annotations

import asyncio
import gc
import select
import socket as sockets
import tempfile
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes import waiting
from tests.fakes.sandbox import FakeSandbox, Sleep
from tests.fakes.sdists import pure_sdist
from tests.fakes.waiting import LONG
from tests.integration.assembled import PIP, TARGET, serving, workshop
from tests.integration.test_openapi import check_answer

from buildthrough.builders import frames
from buildthrough.builders.fuse import Blame, blame
from buildthrough.builders.lookout import PAUSES, Lookout
from buildthrough.builders.remote import AWAY
from buildthrough.builders.retry import RetryPolicy
from buildthrough.builders.sandbox import Isolation
from buildthrough.builders.service import Service
from buildthrough.builders.workplace import Workplace
from buildthrough.builders.workshop import closed

OTHER = "pp39-pypy39_pp73-manylinux_2_36_x86_64"
SOON = RetryPolicy(first_seconds=0.01, factor=1)


@pytest.fixture
def socket():
    with tempfile.TemporaryDirectory(prefix="builder-") as name:  # short: a socket's path is bounded
        yield Path(name, "socket")


@pytest.fixture
def demo(pypi):
    sdist = pure_sdist("demo", "1.0")
    return pypi.add("demo", sdist.filename, sdist.data)


@asynccontextmanager
async def builder(socket, *, targets=(TARGET,), level="full", slots=1):
    """Answer on the socket, with sandboxes that never come to an end."""
    here = workshop(*(FakeSandbox((Sleep(3600),)) for _ in range(slots)), targets=targets)
    here = replace(here, isolation=Isolation(level=level, sentences=(f"a fake of the level {level}",)))
    async with Service(here, shared=Path("/")).listening(socket):
        yield


@asynccontextmanager
async def server(pypi, folder, socket, **settings):
    nothing = closed("nothing is built yet")
    async with serving(
        pypi.simple, folder, building=nothing, build__socket=socket, build__work_dir=folder, **settings
    ) as site:
        yield site


async def until(site, path, condition):
    """Ask until the answer is as it should be."""
    async with asyncio.timeout(LONG):
        while not condition(answer := (await site.ask(path)).json):
            await asyncio.sleep(0.02)
    return answer


async def miss(site, sdist):
    answer = await site.ask((await site.listed("demo"))[sdist.filename]["url"], User_Agent=PIP)
    assert answer.status == 200


async def figure(site, name):
    lines = (await site.ask("/metrics")).body.decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), None)


def answers(told):
    return told["builder"]["answers"]


async def test_a_server_starts_without_its_builder_and_says_so(pypi, demo, tmp_path, socket):
    async with server(pypi, tmp_path, socket) as site:
        assert (await site.page("demo"))["files"]
        told = await site.ask("/api/v1/targets")
        check_answer(told, "/api/v1/targets")
        assert (told.json["targets"], told.json["isolation"]["level"]) == ([], "none")
        assert (told.json["builder"]["socket"], told.json["builder"]["answers"]) == (str(socket), False)
        assert told.json["builder"]["since"]
        assert "is `buildthrough builder` running?" in told.json["builder"]["why"]
        pool = await site.ask("/api/v1/pool")
        check_answer(pool, "/api/v1/pool")
        assert (pool.json["state"], pool.json["slots"]) == ("away", 0)
        assert pool.json["away"] == {"since": told.json["builder"]["since"], "why": told.json["builder"]["why"]}
        ready = await site.ask("/health/ready")
        assert (ready.status, b"builds wait for the builder, which is away since" in ready.body) == (200, True)
        assert await figure(site, "buildthrough_builder_away") == 1
        refused = await site.operate("/api/v1/builds", {"name": "demo", "version": "1.0"})
        assert (refused.status, "until the builder is back" in refused.sentence) == (409, True)


async def test_what_was_missed_meanwhile_is_built_once_the_builder_answers(pypi, demo, tmp_path, socket):
    async with server(pypi, tmp_path, socket) as site:
        for _ in range(3):  # of one client, or of several alike: one build
            await miss(site, demo)
        async with asyncio.timeout(LONG):
            while await figure(site, 'buildthrough_sdist_downloads_total{verdict="builder-away"}') != 3:
                await asyncio.sleep(0.02)
        assert (await site.ask("/api/v1/builds")).json["builds"] == []
        async with builder(socket):
            (build,) = (await until(site, "/api/v1/builds?state=RUNNING", lambda told: told["builds"]))["builds"]
            assert (build["project"], build["target"]) == ("demo", TARGET)
            told = await site.ask("/api/v1/targets")
            check_answer(told, "/api/v1/targets")
            assert [one["target"] for one in told.json["targets"]] == [TARGET]
            assert (told.json["builder"]["answers"], told.json["builder"]["why"]) == (True, None)
            assert await figure(site, 'buildthrough_isolation{level="full"}') == 1
            assert await figure(site, "buildthrough_builder_away") == 0
            assert (await site.ask("/health/ready")).body == b"ready\n"


async def test_builds_wait_for_a_builder_that_goes_away_and_go_on(pypi, demo, tmp_path, socket):
    async with server(pypi, tmp_path, socket) as site:
        async with builder(socket):
            await until(site, "/api/v1/targets", answers)
        await until(site, "/api/v1/targets", lambda told: not answers(told))
        await miss(site, demo)
        (build,) = (await until(site, "/api/v1/builds", lambda told: told["builds"]))["builds"]
        assert (build["state"], build["waits"], build["attempts"]) == ("QUEUED", "builder", 0)
        asked = await site.operate("/api/v1/builds", {"name": "demo", "version": "1.0"})
        assert (asked.status, asked.json["id"]) == (202, build["id"])
        async with builder(socket):
            await until(site, f"/api/v1/builds/{build['id']}", lambda told: told["state"] == "RUNNING")


async def test_builds_that_run_when_the_builder_goes_away_are_tried_again_and_nothing_is_locked(pypi, tmp_path, socket):
    for number in range(6):
        sdist = pure_sdist(f"demo{number}", "1.0")
        pypi.add(sdist.project, sdist.filename, sdist.data)
    room = {"build__slots": 6, "build__pool_cpus": 6, "build__pool_memory_bytes": 16 << 30, "build__lock_after": 2}
    async with server(pypi, tmp_path, socket, **room) as site:
        async with builder(socket, slots=6):
            await until(site, "/api/v1/targets", answers)
            for number in range(6):
                await site.operate("/api/v1/builds", {"name": f"demo{number}", "version": "1.0"})
            await until(site, "/api/v1/pool", lambda told: told["running"] == 6)
        await until(site, "/api/v1/pool", lambda told: told["state"] == "away" and not told["running"])
        builds = (await site.ask("/api/v1/builds")).json["builds"]
        assert {(one["state"], one["fault"]) for one in builds} == {("QUEUED", AWAY)}
        async with builder(socket, slots=6):
            pool = await until(site, "/api/v1/pool", lambda told: told["state"] != "away")
            assert (pool["state"], pool["lock"]) == ("open", None)


async def test_a_builder_comes_back_with_other_targets_and_slots(pypi, demo, tmp_path, socket):
    async with server(pypi, tmp_path, socket) as site:
        async with builder(socket, targets=(OTHER,)):
            await until(site, "/api/v1/targets", answers)
            await miss(site, demo)
            async with asyncio.timeout(LONG):
                while not await figure(site, 'buildthrough_sdist_downloads_total{verdict="no-target"}'):
                    await asyncio.sleep(0.02)
        await until(site, "/api/v1/targets", lambda told: not answers(told))
        async with builder(socket, targets=(TARGET, OTHER), slots=3):
            told = await until(site, "/api/v1/targets", answers)
            assert [one["target"] for one in told["targets"]] == [TARGET, OTHER]
            assert (await site.ask("/api/v1/pool")).json["slots"] == 3
            await miss(site, demo)
            await until(site, "/api/v1/builds?state=RUNNING", lambda told: told["builds"])


async def test_a_builder_that_comes_back_isolating_less_builds_nothing_until_it_is_better(pypi, demo, tmp_path, socket):
    async with server(pypi, tmp_path, socket, build__min_isolation="unprivileged") as site:
        async with builder(socket):
            await until(site, "/api/v1/targets", answers)
        await until(site, "/api/v1/targets", lambda told: not answers(told))
        await miss(site, demo)
        await until(site, "/api/v1/builds", lambda told: told["builds"])
        async with builder(socket, level="container"):
            told = await until(site, "/api/v1/targets", answers)
            assert (told["isolation"]["level"], told["targets"]) == ("container", [])
            assert "build.min_isolation asks for unprivileged" in told["isolation"]["sentences"][0]
            assert (await site.ask("/api/v1/pool")).json["state"] == "off"
            assert await figure(site, 'buildthrough_isolation{level="container"}') == 1
            assert [one["state"] for one in (await site.ask("/api/v1/builds")).json["builds"]] == ["QUEUED"]
        async with builder(socket, level="unprivileged"):
            await until(site, "/api/v1/builds?state=RUNNING", lambda told: told["builds"])


async def test_a_builder_is_looked_for_at_growing_intervals(socket):
    assert [PAUSES.delay(setbacks) for setbacks in range(1, 9)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]
    assert PAUSES.delay(10_000) == 10


@pytest.mark.parametrize(
    "answer", [b"", b"GET / HTTP", b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\2{}", b"\0\0\0\1{"]
)
async def test_what_answers_otherwise_keeps_nobody_from_looking_again(socket, answer, caplog):
    async def answered(reader, writer):
        asked.append(1)
        await frames.read(reader)  # who closes before that gives this reason at one time and another at the next
        writer.write(answer)
        writer.close()

    asked = []
    workplace = Workplace(closed("nothing yet"), builder=socket)
    looking = asyncio.create_task(Lookout(socket, workplace, minimum="container", pauses=SOON).run())
    try:
        async with await asyncio.start_unix_server(answered, str(socket)):
            async with asyncio.timeout(LONG):
                while len(asked) < 5:
                    await asyncio.sleep(0.01)
            assert workplace.away is not None
        socket.unlink()
        async with builder(socket), asyncio.timeout(LONG):
            while workplace.away is not None:
                await asyncio.sleep(0.01)
        assert caplog.text.count("the builder is away") <= 4  # said when it changes, not at each try
    finally:
        looking.cancel()
        await asyncio.wait((looking,))


async def test_a_builder_that_says_nothing_holds_up_no_start(pypi, demo, tmp_path, socket):
    async def say_nothing(reader, writer):
        await reader.read(-1)
        writer.close()

    async with await asyncio.start_unix_server(say_nothing, str(socket)), server(pypi, tmp_path, socket) as site:
        assert (await site.page("demo"))["files"]
        assert "has not answered" in (await site.ask("/api/v1/targets")).json["builder"]["why"]


async def test_a_server_that_goes_away_is_not_attended_for_ever(socket):
    async with builder(socket):
        reader, writer = await asyncio.open_unix_connection(str(socket))
        await frames.write(writer, {"ask": "attend"})
        assert (await frames.read(reader))["description"]["slots"] == 1
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_a_builder_says_that_it_lives(socket):
    async with Service(workshop(), shared=Path("/"), beat_seconds=0.01).listening(socket), asyncio.timeout(LONG):
        reader, writer = await asyncio.open_unix_connection(str(socket))
        await frames.write(writer, {"ask": "attend"})
        assert "description" in await frames.read(reader)
        assert [await frames.read(reader) for _ in range(3)] == [{"here": True}] * 3
        writer.close()


async def test_a_server_that_dies_with_words_unread_is_no_fault_of_the_builder(socket, caplog):
    question = b'{"ask":"attend"}'
    async with Service(workshop(), shared=Path("/"), beat_seconds=0.01).listening(socket):
        before = asyncio.all_tasks()
        with sockets.socket(sockets.AF_UNIX) as client:
            client.connect(str(socket))
            client.sendall(len(question).to_bytes(4, "big") + question)
            await waiting.until(lambda: asyncio.all_tasks() - before)
            await waiting.until(lambda: select.select([client], [], [], 0)[0])
        await waiting.until(lambda: not asyncio.all_tasks() - before)
        gc.collect()
    assert "never retrieved" not in caplog.text
    assert "Unhandled exception" not in caplog.text


class Stopping(Service):
    """A builder that is stopped once it was asked what it has, until it is let go on: by SIGSTOP and SIGCONT."""

    def __init__(self, goes_on, *args, **kwargs):
        super().__init__(*args, beat_seconds=10 * LONG, **kwargs)
        self.goes_on, self.asked = goes_on, 0

    async def _answer(self, reader, writer):
        self.asked += 1
        if self.asked > 1:
            await self.goes_on.wait()
        await super()._answer(reader, writer)


async def test_a_builder_that_is_stopped_is_away_until_it_goes_on(socket, caplog):
    goes_on = asyncio.Event()
    workplace = Workplace(closed("nothing yet"), builder=socket)
    lookout = Lookout(socket, workplace, minimum="container", pauses=SOON, silence_seconds=0.05)
    async with Stopping(goes_on, workshop(FakeSandbox((Sleep(3600),))), shared=Path("/")).listening(socket):
        looking = asyncio.create_task(lookout.run())
        try:
            async with asyncio.timeout(LONG):
                while "has said nothing for 0.05 s" not in str(workplace.away):
                    await asyncio.sleep(0.01)
                assert workplace.target(TARGET) is not None
                goes_on.set()
                while workplace.away is not None:
                    await asyncio.sleep(0.001)
        finally:
            looking.cancel()
            await asyncio.wait((looking,))
    assert "the builder is away: builds wait for it" in caplog.text


def test_a_builder_that_is_away_is_no_fault_of_the_machine():
    assert blame(AWAY) is Blame.BUILD
    assert blame("infra.builder") is Blame.POOL
