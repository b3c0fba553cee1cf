"""Upstream accepts and says nothing: nobody waits longer than clients do, and what it says in the end counts."""

from __future__ import annotations

import asyncio

import pytest
from tests.fakes.faults import Fault, Gate
from tests.fakes.waiting import LONG, until
from tests.integration.assembled import JSON, serving

from buildthrough.proxy import patience

CACHE = "X-Buildthrough-Cache"
ANYTHING = "/simple/*"


@pytest.fixture
def demo(pypi):
    for project in ("demo", "second", "third", "other"):
        pypi.add(project, f"{project}-1.0.tar.gz", b"x")
    return pypi


@pytest.fixture
async def hasty(demo, tmp_path):
    async with serving(
        demo.simple, tmp_path, upstream__stale_after_seconds=0.3, upstream__patience_seconds=0.4
    ) as site:
        yield site


@pytest.mark.parametrize("path", ["/simple/demo/", "/simple/"])
async def test_a_known_page_is_served_old_and_upstream_is_asked_once_and_still(demo, hasty, path):
    good = await hasty.fresh(path, Accept=JSON)
    demo.add("demo", "demo-2.0.tar.gz", b"new")
    demo.add_project("newcomer")
    gate = Gate()
    demo.fault(path, Fault(silence=gate))
    demo.forget_requests()
    for _ in range(3):
        stale = await asyncio.wait_for(hasty.ask(path, Accept=JSON), LONG)
        assert (stale.status, stale.body) == (200, good.body)
        assert stale.headers[CACHE].startswith("stale; age=")
    await asyncio.to_thread(gate.wait_until_reached)
    assert demo.count(path) == 1
    demo.heal()
    gate.open()

    async def is_new():
        return (await hasty.ask(path, Accept=JSON)).body != good.body

    await until(is_new)
    assert (await hasty.fresh(path, Accept=JSON)).headers[CACHE] == "revalidated"


@pytest.mark.parametrize("path", ["/simple/demo/", "/simple/"])
async def test_who_waits_for_an_unknown_page_is_told_to_try_again_and_joins_the_question(demo, hasty, path):
    gate = Gate()
    demo.fault(path, Fault(silence=gate))
    for _ in range(2):  # as a client's retries
        answer = await asyncio.wait_for(hasty.ask(path, Accept=JSON), LONG)
        assert answer.status == 503, answer
        assert "try again" in answer.sentence
    await asyncio.to_thread(gate.wait_until_reached)
    assert demo.count(path) == 1
    gate.open()
    await hasty.fresh(path, Accept=JSON)


async def test_questions_that_nobody_waits_for_any_more_do_not_pile_up(demo, hasty, monkeypatch):
    monkeypatch.setattr(patience, "MOST_OPEN", 3)
    good = await hasty.fresh("/simple/demo/", Accept=JSON)
    gate = Gate()
    demo.fault(ANYTHING, Fault(silence=gate))
    demo.forget_requests()
    for number in range(5):
        answer = await hasty.ask(f"/simple/unknown{number}/", Accept=JSON)
        assert answer.status == 503
        assert ("Too many" in answer.sentence) == (number >= 3)
    stale = await hasty.ask("/simple/demo/", Accept=JSON)
    assert (stale.status, stale.body) == (200, good.body)
    await until(lambda: len(demo.requests) >= 3)
    assert len(demo.requests) == 3
    gate.open()
    demo.heal()
    await hasty.fresh("/simple/other/", Accept=JSON)


async def test_a_purge_that_must_ask_does_not_wait_for_ever(demo, hasty):
    await hasty.fresh("/simple/demo/", Accept=JSON)
    gate = Gate()
    demo.fault(ANYTHING, Fault(silence=gate))
    purged = await asyncio.wait_for(hasty.operate("/api/v1/purge", {"yanked": True}), LONG)
    assert purged.status == 200
    gate.open()


async def test_the_answer_of_a_slow_upstream_counts_although_nobody_waited_for_it(demo, tmp_path):
    async with serving(demo.simple, tmp_path, upstream__stale_after_seconds=0.1, upstream__page_ttl=0.05) as site:
        await site.ask("/simple/demo/", Accept=JSON)
        demo.add("demo", "demo-2.0.tar.gz", b"new")
        demo.fault("/simple/demo/", Fault(delay=0.4))

        async def is_listed():
            return "demo-2.0.tar.gz" in await site.listed("demo")

        await until(is_listed)
