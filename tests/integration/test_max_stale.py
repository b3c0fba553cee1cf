"""How long upstream may fail before the wheels that were built here are no longer offered, and how that is told."""

from __future__ import annotations

import asyncio
import re

import pytest
from tests.fakes.faults import Fault
from tests.integration.assembled import HTML, JSON, serving

CACHE = "X-Buildthrough-Cache"


@pytest.fixture
def demo(pypi):
    pypi.add("demo", "demo-1.0.tar.gz", b"an sdist")
    pypi.add("plain", "plain-1.0.tar.gz", b"another")
    return pypi


async def figures(site) -> dict[str, float]:
    told = (await site.ask("/metrics")).body.decode()
    return {
        name: float(value)
        for name, value in re.findall(r"^(buildthrough_stale_page\w+) (\S+)$", told, re.MULTILINE)
        if not name.endswith("_created")
    }


async def test_within_the_bound_an_old_page_has_its_built_wheels(demo, site):
    wheel = await site.publish(demo.file("demo-1.0.tar.gz"))
    good = await site.ask("/simple/demo/", Accept=JSON)
    demo.stop()
    stale = await site.ask("/simple/demo/", Accept=JSON)
    assert (stale.status, stale.body) == (200, good.body)
    assert re.fullmatch(r"stale; age=\d+", stale.headers[CACHE])
    unchanged = await site.ask("/simple/demo/", Accept=JSON, If_None_Match=good.headers["ETag"])
    head = await site.ask("/simple/demo/", "HEAD", Accept=JSON)
    strict = await site.ask("/upstream/simple/demo/", Accept=JSON)
    assert [one.status for one in (unchanged, head, strict)] == [304, 200, 200]
    assert all(one.headers[CACHE].startswith("stale; age=") for one in (unchanged, head, strict))
    assert wheel.filename in await site.listed("demo")
    demo.start()


async def test_beyond_the_bound_upstreams_own_files_stay_and_built_wheels_are_not_offered(demo, tmp_path):
    async with serving(demo.simple, tmp_path, upstream__max_stale=0.2) as site:
        wheel = await site.publish(demo.file("demo-1.0.tar.gz"))
        listed = await site.listed("demo")
        sdist, built = listed["demo-1.0.tar.gz"]["url"], listed[wheel.filename]["url"]
        assert (await site.ask(sdist)).status == 200
        before = await site.ask("/simple/demo/", Accept=JSON)
        demo.fault("/simple/*", Fault(status=500))
        await asyncio.sleep(0.25)
        for accept in (JSON, HTML, "text/html"):
            page = await site.ask("/simple/demo/", Accept=accept)
            assert page.status == 200
            assert b"demo-1.0.tar.gz" in page.body
            assert wheel.filename.encode() not in page.body
            assert page.headers[CACHE].startswith("stale; age=")
            assert page.headers["ETag"] != before.headers["ETag"]
        assert (await site.ask(sdist)).status == 200
        # Lock files hold these URLs: what was vouched for when it was locked is not taken from under them.
        for url in (built, f"{built}.metadata"):
            kept = await site.ask(url)
            assert kept.status == 200
        demo.heal()
        assert wheel.filename in await site.listed("demo")
        demo.remove("demo-1.0.tar.gz")
        demo.add("demo", "demo-2.0.tar.gz", b"x")
        assert wheel.filename not in await site.listed("demo")
        assert (await site.ask(built)).status == 404


async def test_the_bound_outlives_a_restart(demo, tmp_path):
    async with serving(demo.simple, tmp_path) as site:
        wheel = await site.publish(demo.file("demo-1.0.tar.gz"))
        assert wheel.filename in await site.listed("demo")
    demo.stop()
    await asyncio.sleep(0.25)
    async with serving(demo.simple, tmp_path, upstream__max_stale=0.2) as site:
        assert set(await site.listed("demo")) == {"demo-1.0.tar.gz"}
    async with serving(demo.simple, tmp_path) as site:
        assert wheel.filename in await site.listed("demo")
    demo.start()


async def test_a_bound_of_nought_offers_them_only_while_upstream_answers(demo, tmp_path):
    async with serving(demo.simple, tmp_path, upstream__max_stale=0) as site:
        await site.publish(demo.file("demo-1.0.tar.gz"))
        await site.page("demo")
        demo.stop()
        await asyncio.sleep(0.01)
        assert set(await site.listed("demo")) == {"demo-1.0.tar.gz"}
        demo.start()


async def test_metrics_tell_how_many_old_pages_are_served_and_how_old(demo, tmp_path):
    async with serving(demo.simple, tmp_path) as site:
        await site.page("demo")
        assert await figures(site) == {"buildthrough_stale_pages_total": 0, "buildthrough_stale_page_oldest_seconds": 0}
        await asyncio.sleep(0.2)
        await site.page("plain")
        await site.ask("/simple/", Accept=JSON)
        demo.fault("/simple/*", Fault(status=503))
        for path in ("/simple/demo/", "/simple/plain/", "/simple/"):
            assert (await site.ask(path, Accept=JSON)).headers[CACHE].startswith("stale; age=")
        told = await figures(site)
        assert told["buildthrough_stale_pages_total"] == 3
        assert 0.2 <= told["buildthrough_stale_page_oldest_seconds"] < 60


async def test_what_the_header_says_otherwise(demo, tmp_path):
    async with serving(demo.simple, tmp_path, upstream__page_ttl=60) as site:
        for path in ("/simple/demo/", "/simple/"):
            given = [(await site.ask(path, Accept=JSON)).headers[CACHE] for _ in range(2)]
            assert given == ["miss", "hit"]
    async with serving(demo.simple, tmp_path) as site:
        for path in ("/simple/demo/", "/simple/"):
            answer = await site.ask(path, Accept=JSON)
            assert answer.headers[CACHE] == "revalidated"
            unchanged = await site.ask(path, Accept=JSON, If_None_Match=answer.headers["ETag"])
            assert (unchanged.status, unchanged.headers[CACHE]) == (304, "revalidated")
            assert "Cache-Status" not in answer.headers
