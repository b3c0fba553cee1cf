"""The client against an upstream that misbehaves on a real socket."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from tests.fakes.certificate import server_context

from buildthrough.proxy import upstream as module
from buildthrough.proxy.errors import NotFound, UnknownProject, UpstreamFault, UpstreamInvalid, UpstreamUnavailable
from buildthrough.proxy.upstream import HttpUpstream

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PAGE = b'{"files":[]}' * 1000


@asynccontextmanager
async def serving(
    handler: Handler, credentials: str = "", *, tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[HttpUpstream]:
    server = web.Server(handler)
    runner = web.ServerRunner(server, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    options = {"connect_seconds": 2, "read_seconds": 2, "retries": 1, **options}
    try:
        scheme = "http" if tls is None else "https"
        url = f"{scheme}://{credentials}127.0.0.1:{runner.addresses[0][1]}/simple/"
        async with HttpUpstream.open(url, **options) as client:
            yield client
    finally:
        await runner.cleanup()


def body(data: bytes, coding: str = "") -> Handler:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(
            body=data, headers={"Content-Type": "x/y", **({"Content-Encoding": coding} if coding else {})}
        )

    return handler


def statuses(*given: int) -> tuple[Handler, list[web.Request]]:
    left = list(given)
    asked: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response(status=left.pop(0) if len(left) > 1 else left[0], body=PAGE)

    return handler, asked


@pytest.mark.parametrize(
    ("data", "coding"),
    [
        (PAGE, ""),
        (gzip.compress(PAGE, mtime=0), "gzip"),
        (gzip.compress(PAGE[:5], mtime=0) + gzip.compress(PAGE[5:], mtime=0), "gzip"),
        (zlib.compress(PAGE), "deflate"),
        (zlib.compress(PAGE)[2:-4], "deflate"),
    ],
)
async def test_codings_are_removed(data: bytes, coding: str) -> None:
    async with serving(body(data, coding)) as client:
        answer = await client.page("six", None)
        assert answer is not None
        assert (answer.body, answer.content_type, answer.etag) == (PAGE, "x/y", None)


@pytest.mark.parametrize(
    ("data", "coding"),
    [
        (gzip.compress(PAGE, mtime=0)[:-10], "gzip"),
        (gzip.compress(PAGE, mtime=0)[:30], "gzip"),
        (b"", "gzip"),
        (PAGE, "gzip"),
        (PAGE, "deflate"),
        (PAGE, "br"),
        (gzip.compress(bytes(2_000_000), mtime=0), "gzip"),
        (bytes(1_100_000), ""),
    ],
)
async def test_cut_broken_and_huge_pages_are_invalid(data: bytes, coding: str) -> None:
    async with serving(body(data, coding), max_page_bytes=1 << 20) as client:
        with pytest.raises(UpstreamInvalid):
            await client.page("six", None)


@pytest.mark.parametrize(
    ("status", "fault", "tries"),
    [
        (404, UnknownProject, 1),
        (410, UnknownProject, 1),
        (401, UpstreamUnavailable, 1),
        (403, UpstreamUnavailable, 1),
        (304, UpstreamInvalid, 1),
        (204, UpstreamInvalid, 1),
        (400, UpstreamInvalid, 1),
        (429, UpstreamUnavailable, 2),
        (500, UpstreamUnavailable, 2),
        (503, UpstreamUnavailable, 2),
    ],
)
async def test_what_statuses_mean(status: int, fault: type[UpstreamFault], tries: int) -> None:
    handler, asked = statuses(status)
    seen: list[str] = []
    async with serving(handler, observe=lambda kind, _seconds, outcome: seen.append(f"{kind} {outcome}")) as client:
        with pytest.raises(fault):
            await client.page("six", None)
    assert len(asked) == tries
    assert len(seen) == 1


async def test_a_second_attempt_takes_a_new_connection() -> None:
    ports: list[int] = []

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.append(request.transport.get_extra_info("peername")[1])
        return web.Response(status=502 if len(ports) == 2 else 200, body=PAGE)

    async with serving(handler) as client:
        for _ in range(2):
            assert await client.page("six", None) is not None
    assert ports[0] == ports[1] != ports[2]


async def test_silence_and_a_cut_body_are_unavailable() -> None:
    async def silent(request: web.Request) -> web.Response:
        await asyncio.sleep(1)
        return web.Response()

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"x" * 10)
        assert request.transport is not None
        request.transport.close()
        return response

    async with serving(silent, read_seconds=0.1, retries=0) as client:
        with pytest.raises(UpstreamUnavailable):
            await client.page("six", None)
    async with serving(cut) as client:
        with pytest.raises(UpstreamUnavailable):
            await client.page("six", None)
        async with client.file(f"{client.redacted_url}file") as answer:
            assert answer.size == 1000
            with pytest.raises(UpstreamUnavailable):
                [chunk async for chunk in answer.chunks]


async def test_nobody_listens() -> None:
    async with HttpUpstream.open("http://127.0.0.1:9/simple/", retries=0) as client:
        with pytest.raises(UpstreamUnavailable):
            await client.page("six", None)


async def test_redirects_are_followed_and_reported_but_not_elsewhere() -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/simple/six/":
            return web.Response(status=301, headers={"Location": "/moved/six/"})
        if request.path == "/simple/ftp/":
            return web.Response(status=302, headers={"Location": "ftp://example.org/x"})
        if request.path == "/simple/loop/":
            return web.Response(status=302, headers={"Location": "/simple/loop/"})
        return web.Response(body=PAGE)

    async with serving(handler) as client:
        answer = await client.page("six", None)
        assert answer is not None
        assert answer.url.endswith("/moved/six/")
        for project in ("ftp", "loop"):
            with pytest.raises(UpstreamInvalid):
                await client.page(project, None)


async def test_credentials_go_to_the_index_alone_and_into_no_message() -> None:
    handler, asked = statuses(200)
    other, asked_elsewhere = statuses(200)
    async with serving(handler, "user:s3cret@", user_agent="buildthrough/1") as client, serving(other) as elsewhere:
        await client.page("six", None)
        expected = "Basic " + base64.b64encode(b"user:s3cret").decode()
        assert asked[0].headers["Authorization"] == expected
        assert asked[0].headers["User-Agent"] == "buildthrough/1"
        assert asked[0].headers["Accept"] == module.ACCEPT
        assert "s3cret" not in client.redacted_url
        async with client.file(f"{elsewhere.redacted_url}x"):
            pass
        assert "Authorization" not in asked_elsewhere[0].headers
        assert asked_elsewhere[0].headers["Accept-Encoding"] == "identity"
    refused, _ = statuses(403)
    async with serving(refused, "user:s3cret@") as client:
        with pytest.raises(UpstreamUnavailable, match="refused") as caught:
            await client.page("six", None)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("answer", ["ignored", "elsewhere", "416"])
async def test_a_range_that_is_not_granted_begins_at_nought(answer: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        if "Range" not in request.headers or answer == "ignored":
            return web.Response(body=PAGE)
        if answer == "416":
            return web.Response(status=416)
        return web.Response(
            status=206, body=PAGE[3:], headers={"Content-Range": f"bytes 3-{len(PAGE) - 1}/{len(PAGE)}"}
        )

    async with serving(handler) as client, client.file(f"{client.redacted_url}file", 100) as file:
        assert (file.offset, file.size) == (0, len(PAGE))
        assert b"".join([chunk async for chunk in file.chunks]) == PAGE


async def test_a_file_with_a_coding_is_passed_as_it_is() -> None:
    packed = gzip.compress(PAGE)
    async with serving(body(packed, "gzip")) as client, client.file(f"{client.redacted_url}six.tar.gz") as file:
        assert b"".join([chunk async for chunk in file.chunks]) == packed


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/x", "//x", "x", "http://[", ""])
async def test_files_are_at_http_addresses(url: str) -> None:
    async with HttpUpstream.open("http://127.0.0.1:9/simple/") as client:
        with pytest.raises(UpstreamInvalid):
            await client.size(url)


async def test_a_file_that_comes_at_the_second_attempt_and_one_that_never_comes() -> None:
    handler, asked = statuses(503, 200)
    async with serving(handler) as client, client.file(f"{client.redacted_url}x") as file:
        assert b"".join([chunk async for chunk in file.chunks]) == PAGE
    assert len(asked) == 2
    handler, _ = statuses(410)
    async with serving(handler) as client:
        with pytest.raises(NotFound):
            await client.file(f"{client.redacted_url}x").__aenter__()


async def test_an_encrypted_index_whose_certificate_the_given_file_vouches_for(tmp_path: Path) -> None:
    tls, _ = server_context(tmp_path)
    async with serving(body(PAGE), tls=tls, ca_file=tmp_path / "certificate.pem") as client:
        answer = await client.page("six", None)
        assert answer is not None
        assert answer.body == PAGE
    async with serving(body(PAGE), tls=tls, retries=0) as client:
        with pytest.raises(UpstreamUnavailable, match="certificate"):
            await client.page("six", None)


async def test_encryption_is_not_given_up_by_a_redirect(tmp_path: Path) -> None:
    plain, asked = statuses(200)
    async with serving(plain) as elsewhere:

        async def handler(request: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": elsewhere.redacted_url})

        tls, _ = server_context(tmp_path)
        async with serving(handler, tls=tls, ca_file=tmp_path / "certificate.pem") as client:
            with pytest.raises(UpstreamInvalid, match="without encryption"):
                await client.page("six", None)
            with pytest.raises(UpstreamInvalid, match="without encryption"):
                await client.file(f"{client.redacted_url}six.tar.gz").__aenter__()
            with pytest.raises(UpstreamInvalid, match="without encryption"):
                await client.size(f"{client.redacted_url}six.tar.gz")
    assert asked == []


async def test_the_list_of_all_projects_arrives_whole() -> None:
    """PyPI's has 40 MB, and 700,000 projects."""
    names = [{"name": f"project-with-a-name-of-usual-length-{number}"} for number in range(750_000)]
    page = json.dumps({"meta": {"api-version": "1.4"}, "projects": names}).encode()
    assert len(page) > 40_000_000
    for data, coding in ((page, ""), (await asyncio.to_thread(gzip.compress, page, 1), "gzip")):
        async with serving(body(data, coding), read_seconds=30) as client:
            answer = await client.page(None, None)
            assert answer is not None
            assert answer.body == page
