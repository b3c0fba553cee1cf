"""Upstream fails: what was known is served, marked stale; what was not is no 404; a recovery is seen at once."""

from __future__ import annotations

import asyncio

import pytest
from tests.fakes.faults import Fault, Gate
from tests.fakes.sdists import pure_sdist
from tests.fakes.waiting import LONG
from tests.integration.assembled import JSON, serving

from buildthrough.proxy import current

CACHE = "X-Buildthrough-Cache"
SDIST = "demo-1.0.tar.gz"
FAULTS = {
    "500": Fault(status=500),
    "503 that asks to wait": Fault(status=503, headers={"Retry-After": "3600"}),
    "429": Fault(status=429),
    "403": Fault(status=403),
    "400": Fault(status=400),
    "a redirect to nowhere": Fault(redirect="http://127.0.0.1:1/simple/"),
    "a redirect round in circles": Fault(redirect="/simple/demo/"),
    "no answer": Fault(drop=True),
    "a late answer": Fault(delay=2),
    "an answer that stops": Fault(dribble=(10, 2)),
    "an answer cut": Fault(cut_at=20),
    "truncated gzip": Fault(cut_gzip=30),
    "JSON that ends early": Fault(body=b"{", content_type=JSON),
    "JSON that is a list": Fault(body=b"[]", content_type=JSON),
    "JSON without files": Fault(body=b'{"meta": {"api-version": "1.0"}, "name": "demo"}', content_type=JSON),
    "files that are none": Fault(
        body=b'{"meta": {"api-version": "1.0"}, "name": "demo", "files": [1]}', content_type=JSON
    ),
    "a major version that nobody knows": Fault(
        body=b'{"meta": {"api-version": "2.0"}, "name": "demo", "files": []}', content_type=JSON
    ),
    "HTML that is none": Fault(body=b"\x00\x01\x02\xff", content_type="text/html"),
    "an error page in HTML": Fault(status=502, body=b"<html>Bad Gateway</html>", content_type="text/html"),
    "a wrong content type": Fault(content_type="application/octet-stream"),
    "no content type": Fault(headers={"Content-Type": ""}),
    "an unknown coding": Fault(headers={"Content-Encoding": "br"}),
    "an empty answer": Fault(body=b""),
}


@pytest.fixture
def demo(pypi):
    pypi.add_project("other")
    pypi.add("demo", SDIST, pure_sdist("demo").data)
    return pypi


@pytest.fixture
async def impatient(demo, tmp_path):
    async with serving(demo.simple, tmp_path, upstream__read_seconds=0.3) as site:
        yield site


@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_the_last_good_page_is_served(demo, impatient, fault):
    site = impatient
    good = await site.fresh("/simple/demo/", Accept=JSON)
    demo.add("demo", "demo-1.1.tar.gz", b"changed")  # or the fault would be in a 304
    demo.fault("/simple/demo/", FAULTS[fault])
    demo.fault("/simple/other/", FAULTS[fault])
    stale = await site.ask("/simple/demo/", Accept=JSON)
    assert (stale.status, stale.body) == (200, good.body)
    assert stale.headers[CACHE].startswith("stale; age=")
    assert stale.headers["ETag"] == good.headers["ETag"]
    unknown = await site.ask("/simple/other/", Accept=JSON)
    assert unknown.status in {502, 503}, unknown
    assert unknown.sentence
    demo.heal()
    demo.add("demo", "demo-2.0.tar.gz", b"new")
    again = await site.fresh("/simple/demo/", Accept=JSON)
    assert b"demo-2.0.tar.gz" in again.body
    assert again.headers[CACHE] == "miss"


async def test_upstream_is_gone_and_so_was_the_server(demo, tmp_path):
    async with serving(demo.simple, tmp_path) as site:
        good = await site.ask("/simple/demo/", Accept=JSON)
        list_ = await site.ask("/simple/", Accept=JSON)
        url = (await site.listed("demo"))[SDIST]["url"]
        data = (await site.ask(url)).body
    demo.stop()
    async with serving(demo.simple, tmp_path) as site:
        stale = await site.ask("/simple/demo/", Accept=JSON)
        assert (stale.status, stale.body) == (200, good.body)
        assert stale.headers[CACHE].startswith("stale; age=")
        assert (await site.ask("/simple/", Accept=JSON)).body == list_.body
        path = url.partition("/files/")[2]
        kept = await site.ask(f"/files/{path}")
        assert (kept.status, kept.body) == (200, data)
        unknown = await site.ask("/simple/other/", Accept=JSON)
        assert unknown.status == 503
        assert unknown.sentence
        for probe in ("live", "ready"):
            assert (await site.ask(f"/health/{probe}")).status == 200
    demo.start()


async def test_the_project_list_is_served_stale_too(demo, site):
    good = await site.ask("/simple/", Accept=JSON)
    for fault in (
        Fault(status=500),
        Fault(status=404),
        Fault(body=b"[1]", content_type=JSON),
        Fault(body=b"x", content_type="text/css"),
        Fault(body=b"<html><h1>Sign in</h1><a href='/login'>here</a></html>", content_type="text/html"),
        Fault(cut_at=20),
        Fault(drop=True),
    ):
        demo.add_project("changed")
        demo.fault("/simple/", fault)
        stale = await site.ask("/simple/", Accept=JSON)
        assert (stale.status, stale.body) == (200, good.body)
        assert stale.headers[CACHE].startswith("stale; age=")
        demo.heal()
    demo.add_project("newcomer")
    assert b"newcomer" in (await site.ask("/simple/", Accept=JSON)).body


async def test_a_project_list_that_was_never_had_is_no_404(demo, site):
    for fault in (Fault(status=500), Fault(status=404), Fault(body=b"{}", content_type=JSON)):
        demo.fault("/simple/", fault)
        answer = await site.ask("/simple/", Accept=JSON)
        assert answer.status in {502, 503}, answer
        assert answer.sentence
        demo.heal()


async def test_a_failing_upstream_is_left_alone_for_a_moment_where_pages_may_be_old(demo, tmp_path, later, monkeypatch):
    async with serving(demo.simple, tmp_path, upstream__page_ttl=600) as site:
        await site.ask("/simple/demo/", Accept=JSON)
        demo.fault("/simple/demo/", Fault(status=500))
        later.forward(601)
        demo.forget_requests()
        monkeypatch.setattr(current, "_PAUSE_SECONDS", LONG)
        for _ in range(5):
            assert (await site.ask("/simple/demo/", Accept=JSON)).status == 200
        assert demo.count("/simple/demo/") == 1


async def test_a_failure_is_shared_by_those_who_wait_and_not_remembered(demo, site):
    gate = Gate()
    demo.fault("/simple/demo/", Fault(times=1, status=500, gate=gate))
    asking = [asyncio.ensure_future(site.ask("/simple/demo/", Accept=JSON)) for _ in range(5)]
    await asyncio.to_thread(gate.wait_until_reached)
    gate.open()
    assert 503 in {answer.status for answer in await asyncio.gather(*asking)}
    assert (await site.ask("/simple/demo/", Accept=JSON)).status == 200
