"""A page that passes while it arrives is the page, whatever the pieces, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from tests.fakes.waiting import LONG, until

from buildthrough.proxy import simple_json
from buildthrough.proxy.coding import decode
from buildthrough.proxy.errors import UpstreamInvalid, UpstreamUnavailable
from buildthrough.proxy.page_stream import PageStream

if TYPE_CHECKING:
    from buildthrough.proxy.negotiation import Coding
    from buildthrough.proxy.simple_json import JsonDocument

JSON = "application/vnd.pypi.simple.v1+json"
URL = "https://example.org/simple/demo/"
WAY = "../../files/demo/"
FILES = 5000


def page(files: int = FILES, **more: object) -> bytes:
    """Return a page of more than a megabyte, with what is odd among its files."""
    listed = [
        {
            "filename": f"demo-{number}.tar.gz",
            "hashes": {"sha256": f"{number:064x}"},
            "size": number,
            "url": f"https://files.example.org/packages/{number:060x}/demo-{number}.tar.gz",
            "yanked": 'a "quoted" \u4e2d reason' if number % 500 == 7 else False,
            "x-more": [{"url": "kept"}, {}] if number % 700 == 9 else [{}, {}],
        }
        for number in range(files)
    ]
    whole = {"files": listed, "meta": {"api-version": "1.1"}, "name": "demo", **more}
    return json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()


def fed(stream: PageStream, body: bytes, size: int) -> None:
    for at in range(0, len(body), size):
        stream.piece(body[at : at + size])


def begun(coding: Coding = "identity") -> PageStream:
    stream = PageStream("demo", WAY, coding)
    stream.begin(JSON, URL, None)
    return stream


async def sent(stream: PageStream) -> bytes:
    return b"".join([chunk async for chunk in stream.chunks()])


def rendered(body: bytes) -> bytes:
    return simple_json.read(body.decode(), URL, "demo").render((), "../../")


def told(document: JsonDocument) -> object:
    return document.files, document.render((), "../../"), document.entry(f"packages/{7:060x}/demo-7.tar.gz")


async def packing_threads() -> list[str]:
    """Return the threads that compress, once those that are done have had the time to end."""

    def names() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("packing")]

    with suppress(TimeoutError):
        await until(lambda: not names())
    return names()


@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
@pytest.mark.parametrize("size", [977, 50_000, 300_000, 1 << 30])
async def test_it_is_the_page_whatever_the_pieces(size: int, coding: Coding) -> None:
    body = page()
    stream = begun(coding)
    receiving = asyncio.ensure_future(sent(stream))
    await asyncio.to_thread(fed, stream, body, size)
    document = await stream.finish(body)
    assert document is not None
    assert told(document) == told(simple_json.read(body.decode(), URL, "demo"))
    assert decode(await receiving, coding, 1 << 30) == rendered(body)
    assert await packing_threads() == []


async def test_it_flows_before_it_is_whole_and_only_if_it_is_long() -> None:
    body = page()
    stream = begun()
    flowing = asyncio.ensure_future(stream.is_flowing())
    await asyncio.to_thread(stream.piece, body[:200_000])
    await asyncio.sleep(0.05)
    assert not flowing.done()
    await asyncio.to_thread(stream.piece, body[200_000:900_000])
    await asyncio.wait_for(flowing, LONG)
    first = await anext(stream.chunks())
    assert rendered(body).startswith(first)
    stream.fail(UpstreamUnavailable("it broke off"))
    with pytest.raises(UpstreamUnavailable):
        await sent(stream)
    assert await packing_threads() == []


@pytest.mark.parametrize("size", [1000, 64_000])
async def test_what_is_found_wrong_in_the_middle_is_told_at_once(size: int) -> None:
    broken = page().replace(b'},{"filename":"demo-3000.', b'},7,{"filename":"demo-3000.')
    stream = begun("gzip")
    await asyncio.to_thread(fed, stream, broken, size)
    with pytest.raises(UpstreamInvalid):
        await asyncio.wait_for(sent(stream), 30)
    with pytest.raises(UpstreamInvalid):
        await stream.finish(broken)
    assert await packing_threads() == []


@pytest.mark.parametrize("wrong", [{"name": "another"}, {"meta": {"api-version": "2.0"}}])
async def test_a_page_that_cannot_be_used_is_never_whole(wrong: dict[str, object]) -> None:
    body = page(**wrong)
    stream = begun()
    await asyncio.to_thread(fed, stream, body, 100_000)
    with pytest.raises(UpstreamInvalid) as fault:
        await stream.finish(body)
    stream.fail(fault.value)
    with pytest.raises(UpstreamInvalid):
        await sent(stream)


@pytest.mark.parametrize("cut", [1, 300_000, 900_000])
async def test_after_a_break_the_same_page_goes_on(cut: int) -> None:
    body = page()
    stream = begun("gzip")
    await asyncio.to_thread(fed, stream, body[:cut], 70_000)
    stream.begin(JSON, URL, "7")
    await asyncio.to_thread(fed, stream, body, 90_000)
    document = await stream.finish(body)
    assert document is not None
    assert told(document) == told(simple_json.read(body.decode(), URL, "demo"))
    assert decode(await sent(stream), "gzip", 1 << 30) == rendered(body)


@pytest.mark.parametrize("files", [FILES - 1, FILES // 2, 1])
async def test_a_shorter_page_after_a_break_is_another_page(files: int) -> None:
    """All of the first had come, but for its end: it must not stand for what is stored now."""
    stream = begun()
    await asyncio.to_thread(fed, stream, page(), 70_000)
    stream.begin(JSON, URL, None)
    shorter = page(files)
    await asyncio.to_thread(fed, stream, shorter, 70_000)
    assert await stream.finish(shorter) is None
    with pytest.raises(UpstreamInvalid):
        await sent(stream)
    assert await packing_threads() == []
