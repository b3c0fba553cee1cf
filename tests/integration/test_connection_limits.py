"""What one client may take from others by being slow, giant or many: bounded, told so, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from contextlib import asynccontextmanager

import pytest
import uvloop
from aiohttp import web
from tests.fakes.faults import Fault, Gate
from tests.fakes.waiting import LONG, until
from tests.integration.assembled import TOKEN, serving

from buildthrough.proxy import connection, listener, operator_request
from buildthrough.proxy.connection import Runner
from buildthrough.proxy.listener import Listener, connections_within

LINE = b"GET /health/live HTTP/1.1\r\n"
WHOLE = LINE + b"Host: example.org\r\n\r\n"
LAST = LINE + b"Host: example.org\r\nConnection: close\r\n\r\n"


@pytest.fixture(autouse=True)
def _short_linger(monkeypatch):
    monkeypatch.setattr(connection, "_LINGER_SECONDS", 0.3)


def run(scenario):
    """Run on the loop that the server uses; the other tests are on Python's own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(scenario)


def statuses(answers: bytes) -> list[int]:
    return [int(part[2:5]) for part in answers.split(b"HTTP/1.")[1:]]


@asynccontextmanager
async def bare(handler, **options):
    """Listen with the one handler; give the port and the connections."""
    application = web.Application()
    application.router.add_get("/{rest:.*}", handler)
    runner = Runner(application, head_seconds=10, keepalive_timeout=options.pop("keepalive_timeout", 10))
    await runner.setup()
    listening = Listener(runner.connections, limit=100, **options)
    try:
        yield (await listening.start("127.0.0.1", 0))[1], runner.connections
    finally:
        listening.close()
        await runner.cleanup()


async def connect(site, **options):
    return await asyncio.open_connection("127.0.0.1", site.port, **options)


async def until_closed(reader, seconds=LONG):
    async with asyncio.timeout(seconds):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def dribbled(reader, writer, data, every):
    """Send byte by byte; return what was answered when the server closes."""
    answer = asyncio.ensure_future(until_closed(reader))
    for one in data:
        if answer.done():
            break
        with contextlib.suppress(ConnectionError):
            writer.write(bytes([one]))
            await writer.drain()
        await asyncio.sleep(every)
    return await answer


def test_headers_that_dribble_are_cut_off_in_time(pypi, tmp_path):
    run(dribbling(pypi, tmp_path))


async def dribbling(pypi, tmp_path):
    async with serving(pypi.simple, tmp_path, server__header_seconds=0.4) as site:
        slow = LINE + b"Host: x\r\nx: " + b"y" * 10_000  # more than can be dribbled before the test is given up
        for sent_before in (b"", WHOLE, WHOLE + slow[:7]):
            reader, writer = await connect(site)
            writer.write(sent_before)
            await asyncio.sleep(0.1)
            answer = await dribbled(reader, writer, slow[len(sent_before) % len(WHOLE) :], 0.02)
            assert statuses(answer) == [*([200] if sent_before else []), 408]
            assert answer.endswith(b"in time.\n")
            writer.close()


async def test_a_connection_that_sends_nothing_is_not_cut_by_the_limit_of_headers(pypi, tmp_path):
    async with serving(pypi.simple, tmp_path, server__header_seconds=0.1) as site:
        reader, writer = await connect(site)
        for data in (WHOLE, LAST):
            await asyncio.sleep(0.5)
            writer.write(data)
        assert statuses(await until_closed(reader)) == [200, 200]
        writer.close()


async def test_idle_connections_are_closed_without_a_word(pypi, tmp_path):
    async with serving(pypi.simple, tmp_path, server__keepalive_seconds=0.3) as site:
        for data in (b"", WHOLE):
            reader, writer = await connect(site)
            writer.write(data)
            assert statuses(await until_closed(reader)) == [200] * bool(data)
            writer.close()


async def test_a_slow_answer_is_no_idle_connection(pypi, tmp_path):
    pypi.add_project("demo")
    gate = Gate()
    pypi.fault("/simple/demo/", Fault(gate=gate))
    async with serving(pypi.simple, tmp_path, server__keepalive_seconds=0.2, server__header_seconds=0.2) as site:
        asked = asyncio.ensure_future(site.ask("/simple/demo/"))
        await asyncio.to_thread(gate.wait_until_reached)
        await asyncio.sleep(0.6)
        gate.open()
        assert (await asked).status == 200


@pytest.mark.parametrize(("count", "size", "status"), [(20, 10_000, 200), (100, 10_000, 431), (3, 120_000, 431)])
async def test_all_headers_together_are_bounded(site, count, size, status):
    fields = b"".join(b"x-%d: %s\r\n" % (number, b"x" * size) for number in range(count))
    reader, writer = await connect(site)
    answer = asyncio.ensure_future(until_closed(reader))  # read while it is sent: a reset loses what was not read
    with contextlib.suppress(ConnectionError):
        for begin in range(0, len(fields), 50_000):
            writer.write((LINE + b"Host: x\r\n" if not begin else b"") + fields[begin : begin + 50_000])
            await writer.drain()
            await asyncio.sleep(0.01)  # in several reads, as from a network
        writer.write(b"Connection: close\r\n\r\n")
    assert statuses(await answer) == [status]
    writer.close()


@pytest.mark.parametrize(("count", "status"), [(100, 200), (200, 400)])
async def test_the_number_of_headers_is_bounded(site, count, status):
    fields = b"".join(b"x-%d: x\r\n" % number for number in range(count))
    assert statuses(await site.raw(LINE + b"Host: x\r\nConnection: close\r\n" + fields + b"\r\n")) == [status]


async def test_a_flood_of_pipelined_requests_is_answered_in_order(site):
    reader, writer = await connect(site)

    async def flood():
        for _ in range(20):
            writer.write(WHOLE * 100)
            await writer.drain()
        writer.write(LAST)

    flooding = asyncio.ensure_future(flood())
    assert statuses(await until_closed(reader)) == [200] * 2001
    await flooding
    writer.close()


def test_giant_requests_behind_one_that_waits_are_not_gathered():
    run(gathering())


async def gathering():
    held = asyncio.Event()

    async def answer(_request):
        await held.wait()
        return web.Response(text="done")

    async with bare(answer) as (port, connections):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def flood():
            for _ in range(100):
                writer.write(LINE + b"Host: x\r\nUser-Agent: " + b"x" * 100_000 + b"\r\n\r\n")
                await writer.drain()

        flooding = asyncio.ensure_future(flood())

        def gathered():
            return sum(
                len(value)
                for one in connections.open
                for message, _ in one._messages
                for _, value in message.raw_headers
            )

        await until(gathered)
        await asyncio.sleep(1)  # as much as comes
        assert 0 < gathered() <= connection.MAX_HEAD_BYTES + (512 << 10)  # and what one read gives
        held.set()
        answers = b""
        while answers.count(b"HTTP/1.1 200") < 100:
            answers += await reader.read(1 << 16)
        await flooding
        writer.close()


async def test_a_body_where_none_belongs_holds_nothing(site):
    reader, writer = await connect(site)
    writer.write(LINE + b"Host: x\r\nContent-Length: 1000000000000\r\n\r\n")

    async def pour():
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(bytes(1 << 16))
                await writer.drain()

    pouring = asyncio.ensure_future(pour())
    assert statuses(await until_closed(reader)) in ([200], [])  # the answer may be lost in the reset, if he pours on
    pouring.cancel()
    writer.transport.abort()
    assert (await site.ask("/health/live")).status == 200


async def test_bodies_for_the_api_are_bounded_in_size_and_time(site, monkeypatch):
    head = f"POST /api/v1/purge HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
    body = json.dumps({"project": "x" * 70_000}).encode()
    assert statuses(await site.raw(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)) == [413]
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    assert statuses(await site.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)) == [413]
    monkeypatch.setattr(operator_request, "BODY_SECONDS", 0.3)
    assert statuses(await site.raw(head + b"Content-Length: 500\r\n\r\n{")) == [408]


def test_beyond_the_limit_new_connections_wait(pypi, tmp_path, monkeypatch):
    run(crowding(pypi, tmp_path, monkeypatch))


async def crowding(pypi, tmp_path, monkeypatch):
    open_ = []
    real = Runner._make_server

    async def make_server(self):
        server = await real(self)
        open_.append(server.open)
        return server

    monkeypatch.setattr(Runner, "_make_server", make_server)
    pypi.add_project("demo")
    gate = Gate()
    pypi.fault("/simple/demo/", Fault(gate=gate))
    busy = b"GET /simple/demo/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with serving(pypi.simple, tmp_path, server__max_connections=16) as site:
        asked = [asyncio.ensure_future(site.raw(busy, seconds=LONG)) for _ in range(16)]
        await until(lambda: sum(one._current_request is not None for one in open_[0]) == 16)
        late = [asyncio.ensure_future(site.raw(LAST, seconds=LONG)) for _ in range(40)]
        await asyncio.sleep(0.5)  # time for one to be let in, which must not come
        assert not any(one.done() for one in late)
        gate.open()
        assert [statuses(await one) for one in (*asked, *late)] == [[200]] * 56


def test_beyond_the_limit_idle_connections_make_room(pypi, tmp_path, caplog):
    run(idling(pypi, tmp_path, caplog))


async def idling(pypi, tmp_path, caplog):
    async with serving(pypi.simple, tmp_path, server__max_connections=16) as site:
        idle = [await connect(site) for _ in range(16)]
        for reader, writer in idle:
            writer.write(WHOLE)
            await reader.readuntil(b"\r\n\r\n")
        assert statuses(await site.raw(LAST)) == [200]
        for _, writer in idle:
            writer.close()
    assert sum("no room" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("size", [300_000, 20_000_000])
def test_a_client_that_takes_nothing_is_cut(monkeypatch, size):
    run(taking_nothing(monkeypatch, size))


async def taking_nothing(monkeypatch, size):
    monkeypatch.setattr(listener, "_LOOK_SECONDS", 0.1)
    body = bytes(size)

    async def answer(_request):
        return web.Response(body=body)

    async with bare(answer, stall_seconds=0.5, keepalive_timeout=0.1) as (port, connections):
        lazy = socket.socket()
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.setblocking(False)
        await asyncio.get_running_loop().sock_connect(lazy, ("127.0.0.1", port))
        await asyncio.get_running_loop().sock_sendall(lazy, WHOLE)
        diligent = socket.create_connection(("127.0.0.1", port))
        diligent.setblocking(False)
        await asyncio.get_running_loop().sock_sendall(diligent, LAST)
        got = 0
        while piece := await asyncio.get_running_loop().sock_recv(diligent, size // 20):
            got += len(piece)
            await asyncio.sleep(0.08)  # slow, but he takes what comes
        assert got > size
        await until(lambda: not connections.open)
        lazy.close()
        diligent.close()


def test_the_number_of_connections_fits_the_limit_of_open_files():
    assert connections_within(1_000_000, 4096) == 4096
    assert connections_within(-1, 4096) == 4096
    assert connections_within(4096, 4096) == 1280
    assert connections_within(1024, 4096) == 256
    assert connections_within(64, 4096) == 16
    assert connections_within(64, 10) == 10
