"""Files over real sockets, on both event loops: whole, in part, broken off, and the connection afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
import uvloop
from aiohttp import web
from tests.fakes.certificate import server_context
from tests.fakes.upstream import FakeUpstream
from tests.fakes.waiting import LONG, until

from buildthrough.proxy import arrival, reading, sendfile
from buildthrough.proxy.blobs import Blob, LocalBlobs
from buildthrough.proxy.download import WITHHELD
from buildthrough.proxy.downloads import Downloads
from buildthrough.proxy.page_cache import at_hand
from buildthrough.proxy.ranges import Part
from buildthrough.proxy.resource import Resource
from buildthrough.proxy.sent_file import CACHE_CONTROL, LEFT, outcome
from buildthrough.proxy.transfer import send

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BIG = os.urandom(5_000_000)
SMALL = os.urandom(1000)
URL = "http://example.org/big"
KINDS = {"big": BIG, "small": SMALL, "empty": b""}

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=sorted(LOOPS))
def runner(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[None]]], None]:
    def run(scenario: Callable[[], Awaitable[None]]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as loop:
            loop.run(asyncio.wait_for(scenario(), 2 * LONG))  # type: ignore[arg-type]  # a coroutine, as wait_for makes

    return run


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Server:
    """Kept files at /kept/<kind>, one that arrives at /arriving."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.upstream = FakeUpstream()
        self.upstream.files[URL] = BIG
        self.sha256: str | None = hashlib.sha256(BIG).hexdigest()
        self.size: int | None = len(BIG)
        self.port = 0
        self.stall_seconds = 60.0
        self.tls: ssl.SSLContext | None = None
        self.outcomes: list[int] = []
        self.joined = 0
        """Requests for what arrives that were given it."""

    async def __aenter__(self) -> Self:
        self.blobs = await LocalBlobs.opened(self.folder)
        self.kept: dict[str, Blob] = {}
        for kind, data in KINDS.items():
            path = self.folder / kind
            path.write_bytes(data)
            self.kept[kind] = Blob(sha256=hashlib.sha256(data).hexdigest(), size=len(data), path=path)
        self.downloads = Downloads(self.upstream, self.blobs, limit=4)
        application = web.Application(middlewares=[self.count])
        application.router.add_get("/kept/{kind}", self.send_kept)
        application.router.add_get("/arriving", self.send_arriving)
        self.app = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self.app.setup()
        site = web.TCPSite(self.app, "127.0.0.1", 0, ssl_context=self.tls)
        await site.start()
        self.port = self.app.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.app.cleanup()
        await self.downloads.close()

    @web.middleware
    async def count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        self.outcomes.append(outcome(response))
        return response

    async def outcome(self) -> int:
        """Wait for the next request to end."""
        await until(lambda: self.outcomes)
        return self.outcomes.pop(0)

    async def send_kept(self, request: web.Request) -> web.StreamResponse:
        return await send(
            request,
            self.kept[request.match_info["kind"]],
            sha256=None,
            content_type="application/gzip",
            headers={"X-Own": "1"},
            stall_seconds=self.stall_seconds,
        )

    async def send_arriving(self, request: web.Request) -> web.StreamResponse:
        hashes = {} if self.sha256 is None else {"sha256": self.sha256}
        source = await self.downloads.obtain(Resource(key=URL, url=URL, hashes=hashes, size=self.size))
        self.joined += 1
        return await send(
            request,
            source,
            sha256=self.sha256,
            content_type="application/gzip",
            stall_seconds=self.stall_seconds,
        )


class Client:
    """One connection, and HTTP/1.1 by hand: it hides nothing."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.tls = tls

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.tls, server_hostname="localhost" if self.tls else None
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        lines = [f"{method} {path} HTTP/1.1", "Host: x", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        status = int(head[0].split()[1])
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        if method == "HEAD" or status == 304:
            return status, fields, b""
        if fields.get("transfer-encoding") == "chunked":
            return status, fields, await self.chunked()
        return status, fields, await self.reader.readexactly(int(fields["content-length"]))

    async def chunked(self) -> bytes:
        body = bytearray()
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return bytes(body)


def test_kept_files_whole_and_in_part_on_one_connection(runner: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Server(tmp_path) as server, Client(server.port) as client:
            for kind, data in [*KINDS.items(), *KINDS.items()]:
                etag = f'"{hashlib.sha256(data).hexdigest()}"'
                status, head, body = await client.ask(f"/kept/{kind}")
                assert (status, body) == (200, data)
                assert head["etag"] == etag
                assert head["accept-ranges"] == "bytes"
                assert head["cache-control"] == CACHE_CONTROL
                assert head["content-type"] == "application/gzip"
                assert head["x-own"] == "1"
                assert not {"content-encoding", "content-disposition", "last-modified"} & set(head)
                status, told, _ = await client.ask(f"/kept/{kind}", "HEAD", Range="bytes=0-1")
                assert (status, told["content-length"], told["etag"]) == (200, str(len(data)), etag)
                status, told, body = await client.ask(f"/kept/{kind}", If_None_Match=etag)
                assert (status, told["etag"], body) == (304, etag, b"")
            total = len(BIG)
            for given, begin, end in [
                ("bytes=0-0", 0, 1),
                ("bytes=1000000-4000000", 1_000_000, 4_000_001),
                ("bytes=4999999-", total - 1, total),
                ("bytes=-70000", total - 70_000, total),
                ("bytes=17-", 17, total),
            ]:
                status, told, body = await client.ask("/kept/big", Range=given)
                assert (status, body) == (206, BIG[begin:end])
                assert told["content-range"] == f"bytes {begin}-{end - 1}/{total}"
            for extra in ({"Range": "bytes=0-1,5-6"}, {"Range": "bytes=5-", "If_Range": '"other"'}):
                status, told, body = await client.ask("/kept/big", **extra)
                assert (status, body) == (200, BIG)
            etag = f'"{server.kept["big"].sha256}"'
            assert (await client.ask("/kept/big", Range="bytes=5-9", If_Range=etag))[2] == BIG[5:10]
            status, told, body = await client.ask("/kept/big", Range=f"bytes={total}-")
            assert (status, told["content-range"], body) == (416, f"bytes */{total}", b"")
            assert (await client.ask("/kept/small"))[2] == SMALL

    runner(scenario)


def test_a_slow_client_blocks_no_other_and_one_that_leaves_frees_all(runner: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        before = open_files()
        async with Server(tmp_path) as server:
            (tmp_path / "big").write_bytes(BIG * 8)
            server.kept["big"] = Blob(sha256="a" * 64, size=len(BIG) * 8, path=tmp_path / "big")
            slow = socket.create_connection(("127.0.0.1", server.port))
            slow.sendall(b"GET /kept/big HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(0.2)
            async with Client(server.port) as client:
                assert (await client.ask("/kept/small"))[2] == SMALL
                assert (await client.ask("/kept/big"))[2] == BIG * 8
            slow.close()
            async with Client(server.port) as client:
                assert (await client.ask("/kept/small"))[2] == SMALL
        await until(lambda: open_files() <= before + 1)

    runner(scenario)


@pytest.mark.parametrize("tells_size", [True, False])
def test_a_download_is_followed_while_it_grows(
    runner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tells_size: bool
) -> None:
    monkeypatch.setattr(reading, "PATIENCE", LONG)

    async def scenario() -> None:
        async with Server(tmp_path) as server:
            server.upstream.tells_size = tells_size
            server.size = None
            server.upstream.gate.clear()

            async def ask(**headers: str) -> tuple[int, dict[str, str], bytes]:
                async with Client(server.port) as client:
                    answer = await client.ask("/arriving", **headers)
                    assert (await client.ask("/kept/small"))[2] == SMALL
                    return answer

            asked = [asyncio.ensure_future(ask()) for _ in range(5)]
            parts = [asyncio.ensure_future(ask(Range=given)) for given in ("bytes=100-199", "bytes=-5")]
            await until(lambda: server.joined == 7)
            server.upstream.gate.set()
            for status, head, body in await asyncio.gather(*asked):
                assert (status, body) == (200, BIG)
                assert ("content-length" in head) is tells_size
                assert head["etag"] == f'"{server.sha256}"'
            expected = [(206, BIG[100:200]), (206, BIG[-5:])] if tells_size else [(200, BIG)] * 2
            assert [(status, body) for status, _, body in await asyncio.gather(*parts)] == expected
            assert len(server.upstream.opened) == 1

    runner(scenario)


@pytest.mark.parametrize("tells_size", [True, False])
@pytest.mark.parametrize("fault", ["digest", "break"])
def test_a_failed_download_never_looks_whole(
    runner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tells_size: bool, fault: str
) -> None:
    monkeypatch.setattr(arrival, "RESUME_PAUSE", 0.001)

    async def scenario() -> None:
        async with Server(tmp_path) as server:
            server.upstream.tells_size = tells_size
            server.size = None
            server.upstream.gate.clear()
            if fault == "digest":
                server.sha256 = "0" * 64
            else:
                server.upstream.breaks = [300_000] * 20
            server.upstream.stops_at = 200_000
            async with Client(server.port) as client:
                client.writer.write(b"GET /arriving HTTP/1.1\r\nHost: x\r\n\r\n")
                server.upstream.gate.set()
                assert b" 200 " in await client.reader.readuntil(b"\r\n\r\n")
                server.upstream.stopped.set()
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await (client.reader.readexactly(len(BIG)) if tells_size else client.chunked())
            assert [blob async for blob in server.blobs] == []
            assert await server.outcome() == (502 if fault == "digest" else 503)

    runner(scenario)


def test_an_encrypted_connection_gets_the_same_bytes(runner: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        served, trusting = server_context(tmp_path)
        server = Server(tmp_path)
        server.tls = served
        async with server, Client(server.port, trusting) as client:
            assert (await client.ask("/kept/big"))[2] == BIG
            assert (await client.ask("/kept/big", Range="bytes=1000000-"))[2] == BIG[1_000_000:]
            assert (await client.ask("/arriving"))[2] == BIG
            assert (await client.ask("/kept/small"))[2] == SMALL

    runner(scenario)


def deaf(port: int, path: str) -> socket.socket:
    """Ask for a file and take nothing of it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return client


@pytest.mark.parametrize("path", ["/kept/huge", "/arriving"])
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_client_that_takes_nothing_is_cut(runner: Any, tmp_path: Path, path: str, encrypted: bool) -> None:
    async def scenario() -> None:
        before = open_files()
        server = Server(tmp_path)
        server.stall_seconds = 0.6
        server.upstream.piece = 1 << 20
        server.upstream.files[URL] = BIG * 5
        server.sha256, server.size = hashlib.sha256(BIG * 5).hexdigest(), len(BIG) * 5
        if encrypted:
            server.tls, trusting = server_context(tmp_path)
        async with server:
            (tmp_path / "huge").write_bytes(BIG * 5)
            server.kept["huge"] = Blob(sha256="a" * 64, size=len(BIG) * 5, path=tmp_path / "huge")
            if encrypted:
                _, writer = await asyncio.open_connection(
                    "127.0.0.1", server.port, ssl=trusting, server_hostname="localhost", limit=1
                )
                writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                assert await server.outcome() == LEFT
                writer.transport.abort()
            else:
                with deaf(server.port, path):
                    assert await server.outcome() == LEFT
        await until(lambda: open_files() <= before + 1)

    runner(scenario)


@pytest.mark.parametrize("path", ["/kept/big", "/arriving"])
def test_a_slow_client_is_not_cut_while_it_takes_something(runner: Any, tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        server = Server(tmp_path)
        server.stall_seconds = 1.0
        async with server, Client(server.port) as client:
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            client.writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await client.reader.readuntil(b"\r\n\r\n")
            got = await slowly_read(client.reader)
            assert not server.outcomes, "it is still being sent"
            assert got + await client.reader.readexactly(len(BIG) - len(got)) == BIG
            assert await server.outcome() == 200

    runner(scenario)


async def slowly_read(reader: asyncio.StreamReader) -> bytes:
    """Take some now and then, in a process that stands still at times, which is no client's fault."""
    got = b""
    for number in range(10):
        await asyncio.sleep(0.15)
        if number == 4:
            time.sleep(1.1)  # as if there were no processor for it
        got += await reader.readexactly(65_536)
    return got


def test_a_client_that_leaves_near_the_end_is_counted_and_the_file_is_kept(runner: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        server = Server(tmp_path)
        server.upstream.piece = len(BIG) // 100
        server.upstream.stops_at = len(BIG) - len(BIG) // 100
        async with server:
            async with Client(server.port) as client:
                client.writer.write(b"GET /arriving HTTP/1.1\r\nHost: x\r\n\r\n")
                await client.reader.readuntil(b"\r\n\r\n")
                await client.reader.readexactly(server.upstream.stops_at - WITHHELD)
                client.writer.transport.abort()
            await asyncio.sleep(0.1)
            server.upstream.stopped.set()
            assert await server.outcome() == LEFT
            await until(lambda: server.blobs.open(hashlib.sha256(BIG).hexdigest()))
            blob = await server.blobs.open(hashlib.sha256(BIG).hexdigest())
            assert blob is not None
            assert blob.path.read_bytes() == BIG
            assert len(server.upstream.opened) == 1

    runner(scenario)


def test_the_first_bytes_leave_as_soon_as_they_arrive(runner: Any, tmp_path: Path) -> None:
    """Pip gives up after 15 seconds without a byte, however much is still to come."""

    async def scenario() -> None:
        server = Server(tmp_path)
        server.upstream.piece = 1000
        server.upstream.stops_at = 2000
        async with server, Client(server.port) as client:
            client.writer.write(b"GET /arriving HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), LONG)
            assert b"200 OK" in head
            assert await asyncio.wait_for(client.reader.readexactly(2000), LONG) == BIG[:2000]
            server.upstream.piece = 100_000
            server.upstream.stopped.set()
            assert await client.reader.readexactly(len(BIG) - 2000) == BIG[2000:]
            assert await server.outcome() == 200

    runner(scenario)


def test_a_client_is_not_cut_while_upstream_is_silent(runner: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        server = Server(tmp_path)
        server.stall_seconds = 0.3
        server.upstream.stops_at = 1_000_000
        async with server, Client(server.port) as client:
            asking = asyncio.ensure_future(client.ask("/arriving"))
            await asyncio.sleep(1)
            server.upstream.stopped.set()
            assert (await asking)[2] == BIG
            assert await server.outcome() == 200

    runner(scenario)


def test_conditions_and_ranges_of_a_file_that_is_arriving(runner: Any, tmp_path: Path) -> None:
    """Those that need no byte are answered at once, the others as bytes come."""

    async def scenario() -> None:
        server = Server(tmp_path)
        server.upstream.stops_at = 2_000_000
        total, etag = len(BIG), f'"{server.sha256}"'
        async with server:

            async def ask(method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
                async with Client(server.port) as client:
                    return await asyncio.wait_for(client.ask("/arriving", method, **headers), LONG)

            status, told, _ = await ask("HEAD")
            assert (status, told["content-length"], told["etag"]) == (200, str(total), etag)
            assert (await ask(If_None_Match=etag))[0] == 304
            status, told, body = await ask(Range=f"bytes={total}-")
            assert (status, told["content-range"], body) == (416, f"bytes */{total}", b"")
            assert (await ask(Range="bytes=5-9", If_Range=etag))[2] == BIG[5:10]
            assert (await ask(Range="bytes=1000000-1500000"))[2] == BIG[1_000_000:1_500_001]
            later = {
                "bytes=0-1,5-6": (200, BIG),
                "bytes=9-5": (200, BIG),
                "lines=1-2": (200, BIG),
                "bytes=1000000-": (206, BIG[1_000_000:]),
                "bytes=3000000-4000000": (206, BIG[3_000_000:4_000_001]),
                f"bytes=-{total + 9}": (206, BIG),
                f"bytes=5-{total + 9}": (206, BIG[5:]),
                "bytes=-1": (206, BIG[-1:]),
            }
            asked = [asyncio.ensure_future(ask(Range=given)) for given in later]
            asked.append(asyncio.ensure_future(ask(Range="bytes=5-9", If_Range='"other"')))
            await asyncio.sleep(0.1)
            server.upstream.stopped.set()
            answers = [(status, body) for status, _, body in await asyncio.gather(*asked)]
            assert answers == [*later.values(), (200, BIG)]

    runner(scenario)


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_kept_file_that_becomes_shorter_is_our_fault(runner: Any, tmp_path: Path, encrypted: bool) -> None:
    async def scenario() -> None:
        served, trusting = server_context(tmp_path) if encrypted else (None, None)
        server = Server(tmp_path)
        server.tls = served
        async with server, Client(server.port, trusting) as client:
            server.kept["big"] = Blob(sha256="a" * 64, size=len(BIG) + 1, path=server.kept["big"].path)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await client.ask("/kept/big")
            assert await server.outcome() == 507

    runner(scenario)


def test_the_event_loop_never_waits_for_the_disk(runner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cold"
    path.write_bytes(BIG * 4)
    descriptor = os.open(path, os.O_RDWR)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    whole = Part(begin=0, end=len(BIG) * 4)
    if at_hand(descriptor, whole):
        pytest.skip("this file system does not tell what is in the page cache")
    found: list[bool] = []
    real = os.sendfile

    def sendfile(out: int, source: int, offset: int, count: int) -> int:
        found.append(at_hand(source, Part(begin=offset, end=offset + count)))
        return real(out, source, offset, count)

    async def scenario() -> None:
        async with Server(tmp_path) as server, Client(server.port) as client:
            server.kept["big"] = Blob(sha256="a" * 64, size=len(BIG) * 4, path=path)
            monkeypatch.setattr(os, "sendfile", sendfile)
            assert (await client.ask("/kept/big"))[2] == BIG * 4
            assert len(found) > 10
            assert all(found)

    try:
        runner(scenario)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("fault", [False, True])
def test_an_old_client_never_takes_a_cut_for_the_end(runner: Any, tmp_path: Path, fault: bool) -> None:
    """HTTP/1.0, as some reverse proxies speak it, has no chunks: without a length the end is the end of the stream."""

    async def scenario() -> None:
        server = Server(tmp_path)
        server.upstream.tells_size, server.size = False, None
        if fault:
            server.sha256 = "0" * 64
        async with server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /arriving HTTP/1.0\r\nHost: x\r\n\r\n")
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            if fault:
                assert b" 200 " not in head
            else:
                assert f"content-length: {len(BIG)}".encode() in head.lower()
                assert body == BIG

    runner(scenario)


@pytest.mark.parametrize("is_right", [True, False])
def test_an_empty_answer_is_checked_like_any_other(runner: Any, tmp_path: Path, is_right: bool) -> None:
    async def scenario() -> None:
        server = Server(tmp_path)
        server.upstream.files[URL], server.size = b"", None
        if is_right:
            server.sha256 = hashlib.sha256(b"").hexdigest()
        server.upstream.ended.clear()
        async with server, Client(server.port) as client:
            asking = asyncio.ensure_future(client.ask("/arriving"))
            await asyncio.sleep(0.1)
            assert not asking.done()
            server.upstream.ended.set()
            status, head, body = await asking
            assert (status == 200) is is_right
            assert not is_right or (head["content-length"], body) == ("0", b"")

    runner(scenario)


def test_a_client_that_leaves_while_more_is_brought_from_disk(runner, tmp_path, monkeypatch):
    """Nobody is there any longer when it is: that is no fault of the server's."""
    gate, waits, bring = threading.Event(), threading.Event(), sendfile.bring

    def bring_late(descriptor: int, window: Part) -> None:
        if window.begin:
            waits.set()
            gate.wait(LONG)
        bring(descriptor, window)

    async def scenario() -> None:
        monkeypatch.setattr(sendfile, "at_hand", lambda *_: False)
        monkeypatch.setattr(sendfile, "bring", bring_late)
        async with Server(tmp_path) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /kept/big HTTP/1.1\r\nHost: example.org\r\n\r\n")
            taking = asyncio.ensure_future(reader.read())
            await until(waits.is_set)
            writer.transport.abort()
            assert server.app.server is not None
            await until(lambda: not any(one.transport for one in server.app.server.connections))
            gate.set()
            await taking
            assert await server.outcome() == LEFT

    runner(scenario)
