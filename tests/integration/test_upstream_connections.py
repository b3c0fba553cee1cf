"""Connections to an upstream that misbehaves: which are used again, when another is made, what an old one can spoil."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from tests.fakes.certificate import server_context, unfit_contexts
from tests.fakes.faults import Fault
from tests.fakes.pypi import FakePyPI
from tests.fakes.waiting import LONG
from tests.integration.assembled import JSON, serving

from buildthrough.proxy import attempts
from buildthrough.proxy.errors import UpstreamUnavailable
from buildthrough.proxy.upstream import HttpUpstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Behaviour = Callable[["Scripted", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: x/y\r\nContent-Length: %d\r\n\r\n"
PAGE = b"a page"
EVIL = b"a page of somebody else"


@dataclass(slots=True, kw_only=True)
class Scripted:
    """A server that does to each connection what a test says."""

    behaviour: Behaviour
    port: int = 0
    connections: int = 0
    requests: list[int] = field(default_factory=list)
    """The number of the connection that each came on."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.behaviour(self, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def request(self, reader: asyncio.StreamReader, connection: int) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.requests.append(connection)


@asynccontextmanager
async def client_of(
    behaviour: Behaviour, *, retries: int = 0, read_seconds: float = 3
) -> AsyncIterator[tuple[HttpUpstream, Scripted]]:
    scripted = Scripted(behaviour=behaviour)
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        url = f"http://127.0.0.1:{scripted.port}/simple/"
        async with HttpUpstream.open(url, retries=retries, read_seconds=read_seconds) as client:
            yield client, scripted
    finally:
        server.close()


async def body(client: HttpUpstream) -> bytes:
    answer = await client.page("six", None)
    assert answer is not None
    return bytes(answer.body)


async def test_a_connection_that_upstream_closed_while_nothing_was_asked_is_no_error() -> None:
    async def one_answer_each(server: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader, server.connections)
        writer.write(HEAD % len(PAGE) + PAGE)  # as if the connection would be kept

    async with client_of(one_answer_each) as (client, server):
        for _ in range(4):
            assert await body(client) == PAGE
        assert server.requests == [1, 2, 3, 4]


async def test_a_connection_that_upstream_closes_just_when_it_is_used_again_is_no_error() -> None:
    async def none_at_the_second(server: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = server.connections
        await server.request(reader, number)
        writer.write(HEAD % len(PAGE) + PAGE)
        await server.request(reader, number)  # and closes without an answer

    async with client_of(none_at_the_second) as (client, server):
        for _ in range(3):
            assert await body(client) == PAGE
        assert server.connections == 3


async def test_a_connection_may_lie_idle_for_longer_than_upstream_may_be_silent() -> None:
    async def patient(server: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = server.connections
        while True:
            await server.request(reader, number)
            writer.write(HEAD % len(PAGE) + PAGE)

    async with client_of(patient, read_seconds=0.6) as (client, server):
        for _ in range(3):
            assert await body(client) == PAGE
            await asyncio.sleep(0.7)
        assert server.connections == 1


@pytest.mark.parametrize("at_once", [True, False])
async def test_bytes_behind_an_answer_are_no_answer_to_the_next_question(at_once: bool) -> None:
    told = asyncio.Event()

    async def too_much(server: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = server.connections
        await server.request(reader, number)
        writer.write(HEAD % len(PAGE) + PAGE)
        if not at_once:
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.write(HEAD % len(EVIL) + EVIL)
        told.set()
        await server.request(reader, number)
        writer.write(HEAD % len(PAGE) + PAGE)

    async with client_of(too_much) as (client, _):
        for _ in range(3):
            told.clear()
            try:
                assert await body(client) == PAGE
            except UpstreamUnavailable:
                continue  # refused: it was seen that the answer is longer than it says
            await told.wait()
            await asyncio.sleep(0.1)  # it comes while nothing is asked


async def test_an_answer_that_comes_before_the_question_is_not_taken() -> None:
    async def hasty(server: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD % len(PAGE) + PAGE)
        writer.write(HEAD % len(EVIL) + EVIL)
        await server.request(reader, server.connections)
        await asyncio.sleep(1)

    async with client_of(hasty) as (client, _):
        for _ in range(2):
            try:
                assert await body(client) == PAGE
            except UpstreamUnavailable:
                continue


async def test_each_attempt_after_the_first_takes_a_new_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "FIRST_PAUSE", 0.001)

    async def bad_at_first(server: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = server.connections
        while True:
            await server.request(reader, number)
            if number < 3:
                writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
            else:
                writer.write(HEAD % len(PAGE) + PAGE)

    async with client_of(bad_at_first, retries=2) as (client, server):
        assert await body(client) == PAGE
        assert server.requests == [1, 2, 3]


@pytest.mark.parametrize(
    ("retry_after", "requests"),
    [
        (None, 2),
        ("0", 2),
        ("-5", 2),
        ("nan", 2),
        ("inf", 2),
        ("soon", 2),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 2),
        ("3600", 1),
        ("9" * 4000, 1),
        ("Fri, 31 Dec 2999 23:59:59 GMT", 1),
    ],
)
async def test_an_upstream_that_wants_to_be_left_alone_is(
    pypi: FakePyPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retry_after: str | None, requests: int
) -> None:
    """And its wish is not passed on: pip would sleep for as long as it says, up to six hours, five times."""
    monkeypatch.setattr(attempts, "FIRST_PAUSE", 0.001)
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    async with serving(pypi.simple, tmp_path, upstream__retries=1) as site:
        for status in (429, 503):
            pypi.add_project(f"demo{status}")
            path = f"/simple/demo{status}/"
            pypi.fault(path, Fault(status=status, headers=headers))
            answer = await asyncio.wait_for(site.ask(path, Accept=JSON), LONG)
            assert answer.status == 503
            assert str(status) in answer.sentence
            assert "Retry-After" not in answer.headers
            assert pypi.count(path) == requests


async def test_a_retry_after_of_a_second_is_waited_for_and_then_all_is_well(pypi: FakePyPI, tmp_path: Path) -> None:
    pypi.add_project("demo")
    pypi.fault("/simple/demo/", Fault(status=429, headers={"Retry-After": "1"}, times=1))
    async with serving(pypi.simple, tmp_path, upstream__retries=1) as site:
        answer = await site.ask("/simple/demo/", Accept=JSON)
        assert (answer.status, answer.headers["X-Buildthrough-Cache"]) == (200, "miss")


@pytest.mark.parametrize("what", ["nobody vouches for it", "it is another host's", "it has expired"])
async def test_a_certificate_that_does_not_fit(tmp_path: Path, what: str) -> None:
    unfit, trusted = unfit_contexts(tmp_path)[what]
    fit, _ = server_context(tmp_path)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes((tmp_path / "certificate.pem").read_bytes() + trusted.read_bytes())
    with FakePyPI(tls=fit) as pypi:
        pypi.add("demo", "demo-1.0.tar.gz", b"x")
        pypi.add("other", "other-1.0.tar.gz", b"x")
        async with serving(pypi.simple, tmp_path, upstream__ca_file=bundle, upstream__retries=2) as site:
            good = await site.ask("/simple/demo/", Accept=JSON)
            assert good.status == 200
            pypi.stop()
            pypi.tls = unfit
            pypi.start()
            pypi.forget_requests()
            unknown = await site.ask("/simple/other/", Accept=JSON)
            assert unknown.status == 503
            assert "certificate" in unknown.sentence
            stale = await site.ask("/simple/demo/", Accept=JSON)
            assert (stale.status, stale.body) == (200, good.body)
            assert stale.headers["X-Buildthrough-Cache"].startswith("stale; age=")
            assert not pypi.requests


async def test_an_upstream_that_takes_no_connection(tmp_path: Path) -> None:
    """As where a firewall drops what comes: the queue of those that nobody accepts is full."""
    with ExitStack() as stack:
        deaf = stack.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/simple/"
        async with serving(url, tmp_path, upstream__connect_seconds=0.2) as site:
            answer = await asyncio.wait_for(site.ask("/simple/demo/", Accept=JSON), LONG)
            assert answer.status == 503
            assert "in time" in answer.sentence


async def test_an_upstream_that_refuses_connections(pypi: FakePyPI, tmp_path: Path) -> None:
    file = pypi.add("demo", "demo-1.0.tar.gz", b"x" * 1000)
    async with serving(pypi.simple, tmp_path) as site:
        good = await site.ask("/simple/demo/", Accept=JSON)
        pypi.stop()
        stale = await site.ask("/simple/demo/", Accept=JSON)
        assert (stale.status, stale.body) == (200, good.body)
        for path in ("/simple/other/", f"/files/demo/{file.path}", "/simple/"):
            answer = await site.ask(path, Accept=JSON)
            assert answer.status == 503
            assert answer.sentence
        pypi.start()
        assert (await site.ask(f"/files/demo/{file.path}")).status == 200
