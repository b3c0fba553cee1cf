"""What is no HTTP, or too much of it: one plain sentence, a connection closed in order, and nothing in the log."""

from __future__ import annotations

import asyncio
import logging

import pytest
import uvloop
from tests.integration.assembled import serving

HEAD = b"GET /health/live HTTP/1.1\r\nHost: example.org\r\n"
END = b"Connection: close\r\n\r\n"


def parts(answer: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    """Return status, headers and body of the last answer on a connection."""
    answer = answer[answer.rindex(b"HTTP/1.") :]
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    return int(first.split()[1]), dict(line.lower().split(b": ", 1) for line in lines), body


def is_sentence(body: bytes) -> bool:
    text = body.decode("ascii")
    return text.endswith(".\n") and text.count("\n") == 1 and not any(sign in text for sign in "'<>\\")


MALFORMED = {
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + b"\r\n\r\n", 400),
    "no HTTP": (b"hello\r\n\r\n", 400),
    "binary": (bytes(range(256)), 400),
    "unknown version": (b"GET / HTTP/9.9\r\n\r\n", 400),
    "header without colon": (HEAD + b"nonsense\r\n" + END, 400),
    "header with a blank in its name": (HEAD + b"a b: c\r\n" + END, 400),
    "header with a NUL": (HEAD + b"a: b\x00c\r\n" + END, 400),
    "bare line feed": (b"GET / HTTP/1.1\nHost: x\n\n" + b"\r\n\r\n", 400),
    "two lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n" + END, 400),
    "a negative length": (HEAD + b"Content-Length: -1\r\n" + END, 400),
    "length and chunks": (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" + END, 400),
    "request line of 100 KiB": (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n" + END, 431),
    "1 MiB header": (HEAD + b"User-Agent: " + b"x" * (1 << 20) + b"\r\n" + END, 431),
    "8 MiB header that never ends": (HEAD + b"User-Agent: " + b"x" * (8 << 20), 431),
    "10 000 headers": (HEAD + b"".join(b"h%d: x\r\n" % n for n in range(10_000)) + END, 400),
}


@pytest.mark.parametrize("case", sorted(MALFORMED))
async def test_malformed_requests(site, case, caplog):
    data, status = MALFORMED[case]
    with caplog.at_level(logging.INFO):
        answer = await site.raw(data)
        alive = await site.raw(HEAD + END)
    got, headers, body = parts(answer)
    assert got == status
    assert int(headers[b"content-length"]) == len(body)
    assert is_sentence(body), body
    assert parts(alive)[0] == 200
    assert caplog.records == []


async def test_giant_but_readable_headers_are_served(site, pypi):
    pypi.add_project("demo")
    for size in (8 << 10, 100 << 10, 120 << 10):
        data = b"GET /simple/demo/ HTTP/1.1\r\nHost: x\r\nUser-Agent: pip/1 {" + b"x" * size + b"\r\n" + END
        assert parts(await site.raw(data))[0] == 200


async def test_a_giant_accept_header_is_taken_for_none(site, pypi):
    pypi.add_project("demo")
    for name in (b"Accept", b"Accept-Encoding", b"If-None-Match", b"Range", b"Cookie"):
        data = b"GET /simple/demo/ HTTP/1.1\r\nHost: x\r\n" + name + b": " + b"a/b;q=0.1, " * 9000 + b"\r\n" + END
        assert parts(await site.raw(data))[0] == 200, name


BODIES = {
    "chunks that are none": b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    "a chunk of a negative size": b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n",
    "a giant chunk size": b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\nx\r\n",
    "an unknown transfer coding": b"Transfer-Encoding: nonsense\r\n\r\nx",
    "a broken coding": b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
}


@pytest.mark.parametrize("case", sorted(BODIES))
async def test_broken_bodies(site, case, caplog):
    head = b"POST /api/v1/purge HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer made-up-token\r\nConnection: close\r\n"
    with caplog.at_level(logging.INFO):
        status, _, body = parts(await site.raw(head + BODIES[case]))
    assert status in {400, 501}
    assert body.count(b"\n") <= 1
    assert b"Traceback" not in body
    assert b"'" not in body
    assert [record for record in caplog.records if record.exc_info] == []
    assert (await site.ask("/health/live")).status == 200


async def test_clients_that_leave_in_the_middle_leave_nothing_in_the_log(site, pypi, caplog):
    pypi.add("demo", "demo-1.0.tar.gz", bytes(3_000_000))
    path = pypi.file("demo-1.0.tar.gz").path
    post = (
        b"POST /api/v1/purge HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer made-up-token\r\nContent-Length: 500\r\n\r\n{"
    )
    for data in (post, HEAD, b"GET /files/demo/" + path.encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"G"):
        for reset in (False, True):
            _, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.transport.abort() if reset else writer.close()
    await asyncio.sleep(0.1)
    assert (await site.ask("/health/live")).status == 200
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_uvloop_closes_in_order_too(pypi, tmp_path):
    async def scenario() -> None:
        async with serving(pypi.simple, tmp_path) as site:
            for case in ("1 MiB header", "no HTTP", "8 MiB header that never ends"):
                data, status = MALFORMED[case]
                assert parts(await site.raw(data))[0] == status

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


async def test_an_expectation_that_nobody_can_meet(site):
    status, _, body = parts(await site.raw(HEAD + b"Expect: <script>'nonsense\r\n" + END))
    assert status == 417
    assert is_sentence(body), body
    assert b"100 Continue" in await site.raw(
        b"POST /api/v1/purge HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n" + END + b"{}"
    )
