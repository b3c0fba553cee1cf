"""The `Upstream` port: what the HTTP client, against a real socket, several of them as one, and the fake all do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from tests.fakes.decisions import FakeDecisions
from tests.fakes.upstream import FakeUpstream

from buildthrough.proxy.errors import NotFound, UnknownProject
from buildthrough.proxy.page_answer import PageAnswer
from buildthrough.proxy.upstream import HttpUpstream
from buildthrough.proxy.upstreams import Member, Upstreams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from buildthrough.proxy.upstream import Upstream

BODY = b'{"files": [], "name": "six"}'
LIST = b'{"meta": {"api-version": "1.0"}, "projects": [{"name": "six"}]}\n'
TYPE = "application/vnd.pypi.simple.v1+json"
FILE = bytes(range(256)) * 1000


async def serve_page(request: web.Request) -> web.Response:
    if request.headers.get("If-None-Match") == '"one"':
        return web.Response(status=304)
    body = LIST if request.path == "/simple/" else BODY
    return web.Response(body=body, headers={"Content-Type": TYPE, "ETag": '"one"', "X-PyPI-Last-Serial": "42"})


async def serve_file(request: web.Request) -> web.Response:
    if "Range" not in request.headers:
        return web.Response(body=FILE)
    begin, total = request.http_range.start or 0, len(FILE)
    end = request.http_range.stop or total
    headers = {"Content-Range": f"bytes {begin}-{end - 1}/{total}"}
    return web.Response(status=206, body=FILE[begin:end], headers=headers)


@pytest.fixture(params=["http", "second of two", "fake"])
async def upstream(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Upstream, str]]:
    application = web.Application()
    for path in ("/simple/", "/simple/six/", "/pypi/six/json", "/pypi/six/1.0/json"):
        application.router.add_get(path, serve_page)
    application.router.add_get("/file", serve_file)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    root = f"http://127.0.0.1:{runner.addresses[0][1]}"
    if request.param == "http":
        async with HttpUpstream.open(f"{root}/simple") as client:
            yield client, root
    elif request.param == "second of two":
        async with (
            HttpUpstream.open(f"{root}/empty", name="first") as first,
            HttpUpstream.open(f"{root}/simple", name="second") as second,
        ):
            members = [Member(name="first", upstream=first), Member(name="second", upstream=second)]
            yield Upstreams(members, FakeDecisions()), root
    else:
        fake = FakeUpstream()
        for project, path in ((None, ""), ("six", "six/")):
            url = f"{root}/simple/{path}"
            body = BODY if project else LIST
            fake.pages[project] = PageAnswer(body=body, content_type=TYPE, url=url, etag='"one"', last_serial="42")
        for version, path in ((None, ""), ("1.0", "1.0/")):
            url = f"{root}/pypi/six/{path}json"
            answer = PageAnswer(body=BODY, content_type=TYPE, url=url, etag='"one"', last_serial="42")
            fake.releases["six", version] = answer
        fake.files[f"{root}/file"] = FILE
        yield fake, root
    await runner.cleanup()


def name_of(client: Upstream) -> str:
    """Return what pages say of where they are from."""
    return "second" if isinstance(client, Upstreams) else ""


async def test_a_page(upstream: tuple[Upstream, str]) -> None:
    client, root = upstream
    url = f"{root}/simple/six/"
    expected = PageAnswer(
        body=BODY, content_type=TYPE, url=url, etag='"one"', last_serial="42", upstream=name_of(client)
    )
    answer = await client.page("six", None)
    assert answer is not None
    assert replace(answer, etag='"one"') == expected
    assert await client.page("six", '"other"') == answer
    assert await client.page("six", answer.etag) is None


async def test_the_list_of_projects(upstream: tuple[Upstream, str]) -> None:
    client, root = upstream
    answer = await client.page(None, None)
    assert answer is not None
    assert (answer.body, answer.content_type, answer.url) == (LIST, TYPE, f"{root}/simple/")
    assert await client.page(None, '"other"') == answer
    assert await client.page(None, answer.etag) is None


async def test_an_unknown_project(upstream: tuple[Upstream, str]) -> None:
    with pytest.raises(UnknownProject):
        await upstream[0].page("unknown", None)


@pytest.mark.parametrize(("version", "path"), [(None, ""), ("1.0", "1.0/")])
async def test_the_json_api(upstream: tuple[Upstream, str], version: str | None, path: str) -> None:
    client, root = upstream
    url = f"{root}/pypi/six/{path}json"
    expected = PageAnswer(
        body=BODY, content_type=TYPE, url=url, etag='"one"', last_serial="42", upstream=name_of(client)
    )
    answer = await client.json_api("six", version, None)
    assert answer is not None
    assert replace(answer, etag='"one"') == expected
    assert await client.json_api("six", version, answer.etag) is None
    with pytest.raises(NotFound):
        await client.json_api("six", "2.0", None)


@pytest.mark.parametrize("offset", [0, 1, 255_999])
async def test_files(upstream: tuple[Upstream, str], offset: int) -> None:
    client, root = upstream
    async with client.file(f"{root}/file", offset, upstream=name_of(client)) as answer:
        assert (answer.size, answer.offset) == (len(FILE), offset)
        assert b"".join([chunk async for chunk in answer.chunks]) == FILE[offset:]
    assert await client.size(f"{root}/file", upstream=name_of(client)) == len(FILE)


@pytest.mark.parametrize(("begin", "end"), [(0, 1), (0, 255_999), (70_000, 80_000), (255_999, 256_000)])
async def test_part_of_a_file(upstream: tuple[Upstream, str], begin: int, end: int) -> None:
    client, root = upstream
    async with client.file(f"{root}/file", begin, end, upstream=name_of(client)) as answer:
        assert (answer.size, answer.offset) == (len(FILE), begin)
        assert b"".join([chunk async for chunk in answer.chunks]) == FILE[begin:end]


async def test_a_missing_file(upstream: tuple[Upstream, str]) -> None:
    client, root = upstream
    with pytest.raises(NotFound):
        await client.file(f"{root}/missing", upstream=name_of(client)).__aenter__()
    with pytest.raises(NotFound):
        await client.size(f"{root}/missing", upstream=name_of(client))
