"""Upstream changes its mind: pages that are gone and back, unchanged and not, empty, slow."""

from __future__ import annotations

import asyncio

import pytest
from tests.fakes.faults import Fault
from tests.fakes.pypi import FakePyPI
from tests.fakes.waiting import LONG
from tests.integration.assembled import JSON, serving

from buildthrough.proxy import page_answer

CACHE = "X-Buildthrough-Cache"
PATH = "/simple/demo/"


@pytest.fixture
def demo(pypi):
    pypi.add("demo", "demo-1.0.tar.gz", b"an sdist")
    return pypi


async def test_a_page_that_is_gone_for_one_node_only_is_not_gone(demo, site):
    """A second opinion is asked for, over another connection; pip and uv would go on to another index."""
    wheel = await site.publish(demo.file("demo-1.0.tar.gz"))
    assert wheel.filename in await site.listed("demo")
    for _ in range(3):
        demo.fault(PATH, Fault(status=404, times=1))
        answer = await site.ask(PATH, Accept=JSON)
        assert (answer.status, answer.headers[CACHE]) == (200, "revalidated")
        assert wheel.filename in await site.listed("demo")


async def test_a_page_that_is_gone_and_back(demo, tmp_path):
    async with serving(demo.simple, tmp_path, upstream__page_ttl=0.1) as site:
        wheel = await site.publish(demo.file("demo-1.0.tar.gz"))
        listed = await site.listed("demo")
        for _ in range(2):
            demo.fault(PATH, Fault(status=404))
            await asyncio.sleep(0.12)
            assert (await site.ask(PATH, Accept=JSON)).status == 404
            assert (await site.ask(listed[wheel.filename]["url"])).status == 404
            demo.heal()
            await asyncio.sleep(0.12)
            assert await site.listed("demo") == listed
            assert (await site.ask(listed[wheel.filename]["url"])).status == 200


async def test_an_unknown_project_is_asked_for_once(demo, site):
    assert (await site.ask("/simple/nothing/", Accept=JSON)).status == 404
    assert demo.count("/simple/nothing/") == 1


@pytest.mark.parametrize("etag", ['"else"', 'W/"else"', '""'])
async def test_a_304_for_another_page_than_ours_is_no_news(demo, site, etag):
    await site.page("demo")
    demo.add("demo", "demo-2.0.tar.gz", b"new")
    demo.fault(PATH, Fault(status=304, headers={"ETag": etag}, times=1))
    demo.forget_requests()
    assert "demo-2.0.tar.gz" in await site.listed("demo")
    assert ["If-None-Match" in seen.headers for seen in demo.asked(PATH)] == [True, False]


@pytest.mark.parametrize("change", [lambda etag: etag, lambda etag: f"W/{etag}", lambda _etag: ""])
async def test_a_304_for_our_page_is(demo, site, change):
    await site.page("demo")
    etag = (await site.ask(PATH, Accept=JSON)).headers["ETag"]
    theirs = demo.asked(PATH)[-1].headers["If-None-Match"]
    demo.fault(PATH, Fault(status=304, headers={"ETag": change(theirs)}, times=1))
    answer = await site.ask(PATH, Accept=JSON)
    assert (answer.status, answer.headers[CACHE], answer.headers["ETag"]) == (200, "revalidated", etag)


async def test_a_page_without_files_is_what_upstream_says(demo, site):
    """PyPI answers so when it has quarantined or emptied a project: its files must go, and ours with them, at once."""
    wheel = await site.publish(demo.file("demo-1.0.tar.gz"))
    listed = await site.listed("demo")
    empty = b'{"meta": {"api-version": "1.4"}, "name": "demo", "versions": [], "files": []}'
    demo.fault(PATH, Fault(status=200, body=empty, content_type=JSON))
    answer = await site.ask(PATH, Accept=JSON)
    assert (answer.status, answer.json["files"], answer.headers[CACHE]) == (200, [], "miss")
    for name in ("demo-1.0.tar.gz", wheel.filename):
        assert (await site.ask(listed[name]["url"])).status == 404
    demo.heal()
    assert await site.listed("demo") == listed
    for name in ("demo-1.0.tar.gz", wheel.filename):
        assert (await site.ask(listed[name]["url"])).status == 200


async def test_a_page_that_comes_slowly_but_steadily_is_waited_for(demo, tmp_path):
    """There is no bound on the whole, only on silence: it takes four times as long here as upstream may be silent."""
    demo.fault(PATH, Fault(dribble=(20, 0.04)))
    async with serving(demo.simple, tmp_path, upstream__read_seconds=0.6) as site:
        answer = await site.ask(PATH, Accept=JSON, Accept_Encoding="gzip")
        assert (answer.status, answer.headers[CACHE]) == (200, "miss")


async def test_a_page_that_hardly_comes_is_given_up_in_the_end(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(page_answer, "GRACE_SECONDS", 0.1)
    demo.fault(PATH, Fault(dribble=(1, 0.02), body=b" " * 10_000, content_type=JSON))
    async with serving(demo.simple, tmp_path) as site:
        answer = await asyncio.wait_for(site.ask(PATH, Accept=JSON), LONG)
        assert answer.status == 503
        assert "slowly" in answer.sentence


@pytest.mark.parametrize("value", ["caf\xe9", "17\x01", "\x7f"])
async def test_headers_that_no_header_may_hold_are_not_passed_on(tmp_path, value):
    """Read as UTF-8 they would hold what cannot be written again."""
    with FakePyPI(gzip=False) as pypi:
        pypi.add("demo", "demo-1.0.tar.gz", b"x")
        body = b'{"meta": {"api-version": "1.4"}, "name": "demo", "files": []}'
        for name in ("X-PyPI-Last-Serial", "ETag"):
            raw = f"HTTP/1.1 200 OK\r\nContent-Type: {JSON}\r\n{name}: ".encode() + value.encode("latin-1")
            raw += f"\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            pypi.fault(PATH, Fault(raw=raw))
            async with serving(pypi.simple, tmp_path / name) as site:
                for _ in range(2):
                    answer = await site.ask(PATH, Accept=JSON)
                    assert answer.status in {200, 503}
                    assert "X-PyPI-Last-Serial" not in answer.headers
            pypi.heal()
