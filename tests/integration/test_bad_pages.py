"""Pages that are too much: a bomb, a giant, one that never ends. The server refuses them in bounded memory and time."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import resource
import zlib
from contextlib import suppress

import aiohttp
import pytest
from tests.fakes.faults import Fault
from tests.fakes.waiting import LONG
from tests.integration.assembled import HTML, JSON, serving

MIB = 1 << 20


def bomb(size: int) -> bytes:
    """Return a gzip stream that unpacks to so many blanks in a valid JSON page."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(b'{"meta": {"api-version": "1.0"}, "name": "demo", "files": []')
        for _ in range(size // MIB):
            file.write(b" " * MIB)
        file.write(b"}")
    return packed.getvalue()


@pytest.fixture(scope="module")
def two_hundred_megabytes() -> bytes:
    return bomb(200 * MIB)


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def test_a_bomb_of_200_mb(pypi, tmp_path, two_hundred_megabytes):
    """An answer that leaves while its page arrives may have begun by then: it breaks off."""
    pypi.add_project("demo")
    page = Fault(body=two_hundred_megabytes, content_type=JSON, headers={"Content-Encoding": "gzip"})
    pypi.fault("/simple/demo/", page)
    async with serving(pypi.simple, tmp_path, upstream__max_page_bytes=20 * MIB) as site:
        before = peak_bytes()
        with suppress(aiohttp.ClientPayloadError):
            answer = await site.ask("/simple/demo/", Accept=JSON)
            assert (answer.status, "larger" in answer.sentence) == (502, True)
        answer = await site.ask("/simple/demo/", Accept=HTML)
        assert (answer.status, "larger" in answer.sentence) == (502, True)
        assert peak_bytes() - before < 100 * MIB
        assert (await site.ask("/health/live")).status == 200


@pytest.mark.parametrize("length", [True, False])
async def test_a_page_over_the_bound_is_refused_and_the_old_one_served(pypi, tmp_path, length):
    pypi.add("demo", "demo-1.0.tar.gz", b"x")
    async with serving(pypi.simple, tmp_path, upstream__max_page_bytes=50_000) as site:
        good = await site.ask("/simple/demo/", Accept=JSON)
        pypi.add("demo", "demo-2.0.tar.gz", b"y")
        body = json.dumps({"meta": {"api-version": "1.0"}, "name": "demo", "files": [], "x": "y" * 60_000}).encode()
        pypi.fault("/simple/demo/", Fault(body=body, content_type=JSON, length=length))
        stale = await site.ask("/simple/demo/", Accept=JSON)
        assert (stale.status, stale.body) == (200, good.body)
        assert stale.headers["X-Buildthrough-Cache"].startswith("stale; age=")


async def test_a_page_of_many_layers(pypi, site):
    pypi.add_project("demo")
    for deep in (b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"[" * 1_000_000):
        body = b'{"meta": {"api-version": "1.0"}, "name": "demo", "files": [], "later": ' + deep + b"}"
        pypi.fault("/simple/demo/", Fault(body=body, content_type=JSON, times=1))
        answer = await site.ask("/simple/demo/", Accept=JSON)
        assert answer.status in {200, 502}
        assert answer.status == 200 or answer.sentence
    pypi.heal()
    pypi.fault("/simple/demo/", Fault(body=b"<div>" * 200_000, content_type="text/html"))
    assert (await site.ask("/simple/demo/", Accept=JSON)).status in {200, 502}


async def test_entries_that_lie(pypi, site):
    """Entries of the wrong shape: refused as a page, or passed on, but never a failure of ours."""
    pypi.add_project("demo")
    good = {"filename": "demo-1.0.tar.gz", "url": "demo-1.0.tar.gz", "hashes": {"sha256": "0" * 64}}
    for change in (
        {"filename": 1},
        {"filename": None},
        {"filename": ""},
        {"filename": "../x.tar.gz"},
        {"url": 1},
        {"url": None},
        {"url": "javascript:alert(1)"},
        {"url": "file:///etc/passwd"},
        {"url": "http://[::1"},
        {"url": "//"},
        {"url": "http://127.0.0.1:1/../../etc/passwd"},
        {"url": "\ud800"},
        {"hashes": []},
        {"hashes": None},
        {"hashes": {"sha256": 1}},
        {"hashes": {"sha256": "zz"}},
        {"hashes": {"sha256": "0" * 63}},
        {"hashes": {"../x": "y"}},
        {"size": "big"},
        {"size": -1},
        {"size": 1e400},
        {"yanked": 7},
        {"yanked": []},
        {"core-metadata": "yes"},
        {"core-metadata": {"sha256": 5}},
        {"requires-python": 3},
        {"requires-python": ">" * 10_000},
        {"upload-time": {}},
        {"filename": "a" * 5000 + "-1.0-py3-none-any.whl"},
        {"filename": "demo-1.0-" + "py3." * 300 + "x-none-any.whl"},
    ):
        body = json.dumps({"meta": {"api-version": "1.0"}, "name": "demo", "files": [good | change]}).encode()
        pypi.fault("/simple/demo/", Fault(body=body, content_type=JSON, times=2))
        for accept in (JSON, "text/html"):
            answer = await site.ask("/simple/demo/", Accept=accept)
            assert answer.status in {200, 502}, change
            assert answer.status == 200 or answer.sentence
        for path in ("simple/demo/demo-1.0.tar.gz", "etc/passwd", "../x.tar.gz"):
            pypi.fault("/simple/demo/", Fault(body=body, content_type=JSON, times=1))
            answer = await site.ask(f"/files/demo/{path}")
            assert answer.status in {404, 502, 503}, (change, path)
            assert answer.sentence
        pypi.heal()


async def test_a_page_that_never_ends_is_given_up(pypi, tmp_path):
    pypi.add_project("demo")
    pypi.fault("/simple/demo/", Fault(dribble=(1, 0.2), body=b" " * 10_000, content_type=JSON))
    async with serving(pypi.simple, tmp_path, upstream__read_seconds=0.1) as site:
        answer = await asyncio.wait_for(site.ask("/simple/demo/", Accept=JSON), LONG)
        assert answer.status == 503
        assert "in time" in answer.sentence


async def test_other_pages_are_quick_while_a_giant_is_read(pypi, tmp_path):
    pypi.add("small", "small-1.0.tar.gz", b"x")
    files = [
        {
            "filename": f"big-{n}.0.tar.gz",
            "url": f"https://files.example.org/packages/{n:064x}/big-{n}.0.tar.gz",
            "hashes": {"sha256": f"{n:064x}"},
            "size": n,
        }
        for n in range(10_000)
    ]
    body = json.dumps({"meta": {"api-version": "1.1"}, "name": "big", "versions": [], "files": files}).encode()
    pypi.add_project("big")
    pypi.fault(
        "/simple/big/", Fault(body=zlib.compress(body), content_type=JSON, headers={"Content-Encoding": "deflate"})
    )
    async with serving(pypi.simple, tmp_path, upstream__page_ttl=60) as site:
        await site.ask("/simple/small/", Accept=JSON)
        asking = asyncio.ensure_future(site.ask("/simple/big/", Accept=JSON, Accept_Encoding="gzip"))
        answered = 0
        while not asking.done():
            assert (await site.ask("/simple/small/", Accept=JSON)).status == 200
            answered += 1
        assert (await asking).status == 200
        assert answered >= 3
