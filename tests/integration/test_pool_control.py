"""Builds are cancelled when upstream's page says so or an operator does; the pool is drained and resumed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.fakes.sandbox import FakeSandbox, Sleep
from tests.fakes.sdists import pure_sdist
from tests.fakes.waiting import LONG
from tests.fakes.wheels import make_wheel
from tests.integration.assembled import PIP, serving, workshop

from buildthrough.builders.request import BuildState

SDIST = "demo-1.0.tar.gz"


@pytest.fixture
def demo(pypi):
    return pypi.add("demo", SDIST, pure_sdist("demo").data)


def busy():
    """Return a workshop whose builds never end by themselves."""
    return workshop(FakeSandbox((Sleep(3600),)))


async def until(site, number, *states):
    async with asyncio.timeout(LONG):
        while True:
            build = (await site.ask(f"/api/v1/builds/{number}")).json
            if build["state"] in states:
                return build
            await asyncio.sleep(0.02)


async def ask_for(site, version="1.0"):
    answer = await site.operate("/api/v1/builds", {"name": "demo", "version": version})
    assert answer.status == 202, answer
    return answer.json["id"]


async def ended(site, number):
    build = await until(site, number, "CANCELLED", "FAILED", "SUCCEEDED")
    return build["state"], build["fault"]


async def ended_once_seen(site, number):
    """Ask for the page until the build has ended: who asks while it is on its way gets it as it was before."""
    async with asyncio.timeout(LONG):
        while (build := (await site.ask(f"/api/v1/builds/{number}")).json)["state"] in {"QUEUED", "RUNNING"}:
            await site.ask("/simple/demo/")
            await asyncio.sleep(0.02)
    return build["state"], build["fault"]


async def asked_for(site, count):
    """Wait until so many builds were asked for; a miss is looked at in the background. Return the newest."""
    async with asyncio.timeout(LONG):
        while len(builds := await site.store.queue.list()) < count:
            await asyncio.sleep(0.02)
    return builds[0]


async def audit(site):
    return [one.action for one in await site.store.catalog.audit()]


def a_wheel():
    with TemporaryDirectory() as folder:
        return make_wheel(Path(folder)).read_bytes()


CHANGES = [
    (lambda pypi: pypi.yank(SDIST, "broken"), "cancelled.yanked"),
    (lambda pypi: pypi.remove(SDIST), "cancelled.removed"),
    (lambda pypi: pypi.quarantine("demo"), "cancelled.removed"),
    (lambda pypi: pypi.remove_project("demo"), "cancelled.removed"),
    (lambda pypi: pypi.add("demo", "demo-1.0-py3-none-any.whl", a_wheel()), "cancelled.superseded"),
]
NAMES = ["yanked", "removed", "quarantined", "project removed", "superseded"]


@pytest.mark.parametrize(("change", "fault"), CHANGES, ids=NAMES)
async def test_a_queued_build_ends_when_somebody_sees_that_its_page_changed(pypi, demo, site, change, fault):
    async with serving(pypi.simple, site.folder / "other", building=busy()) as other:
        await other.operate("/api/v1/drain", {})
        number = await ask_for(other)
        assert (await until(other, number, "QUEUED"))["waits"] == "drain"
        change(pypi)
        assert await ended_once_seen(other, number) == ("CANCELLED", fault)


@pytest.mark.parametrize(("change", "fault"), CHANGES, ids=NAMES)
async def test_a_running_build_ends_too(pypi, demo, tmp_path, change, fault):
    async with serving(pypi.simple, tmp_path, building=busy()) as site:
        number = await ask_for(site)
        await until(site, number, "RUNNING")
        change(pypi)
        assert await ended_once_seen(site, number) == ("CANCELLED", fault)
        async with asyncio.timeout(LONG):
            while (await site.ask("/api/v1/pool")).json["running"]:
                await asyncio.sleep(0.02)


async def test_a_page_that_changes_otherwise_ends_nothing(pypi, demo, tmp_path):
    async with serving(pypi.simple, tmp_path, building=busy()) as site:
        number = await ask_for(site)
        await until(site, number, "RUNNING")
        pypi.add("demo", "demo-2.0.tar.gz", pure_sdist("demo", "2.0").data)
        await site.ask("/simple/demo/")
        await asyncio.sleep(0.2)
        assert (await until(site, number, "RUNNING"))["fault"] is None


async def test_an_upstream_that_is_down_ends_nothing(pypi, demo, tmp_path):
    sandbox = FakeSandbox((Sleep(3600),))
    async with serving(pypi.simple, tmp_path, building=workshop(sandbox)) as site:
        number = await ask_for(site)
        async with asyncio.timeout(LONG):
            while not sandbox.commands:  # from then on upstream is not asked for the build itself
                await asyncio.sleep(0.02)
        pypi.stop()
        await site.ask("/simple/demo/")
        await asyncio.sleep(0.1)
        assert (await until(site, number, "RUNNING"))["fault"] is None


async def test_builds_wait_for_an_upstream_that_is_down_and_are_not_charged(pypi, demo, tmp_path):
    async with serving(pypi.simple, tmp_path, building=busy()) as site:
        await site.operate("/api/v1/drain", {})
        number = await ask_for(site)
        pypi.stop()
        await site.operate("/api/v1/resume", {})
        async with asyncio.timeout(LONG):
            while (build := (await site.ask(f"/api/v1/builds/{number}")).json)["fault"] is None:
                await asyncio.sleep(0.02)
        assert (build["state"], build["fault"], build["attempts"], build["waits"]) == (
            "QUEUED",
            "infra.upstream",
            0,
            "back-off",
        )
        assert (await site.ask("/api/v1/pool")).json["state"] == "open"


async def test_a_yank_that_is_undone_lets_the_next_miss_build_again(pypi, demo, tmp_path):
    async with serving(pypi.simple, tmp_path, building=busy()) as site:
        await site.page("demo")
        await site.ask(f"/files/demo/{demo.path}", User_Agent=PIP)
        first = await asked_for(site, 1)
        await until(site, first.id, "RUNNING")
        pypi.yank(SDIST, "broken")
        assert await ended_once_seen(site, first.id) == ("CANCELLED", "cancelled.yanked")
        pypi.unyank(SDIST)
        await site.ask(f"/files/demo/{demo.path}", User_Agent=PIP)
        await until(site, (await asked_for(site, 2)).id, "RUNNING")


async def test_an_operator_cancels_one_build_or_all_of_a_project(pypi, demo, tmp_path):
    pypi.add("demo", "demo-2.0.tar.gz", pure_sdist("demo", "2.0").data)
    async with serving(pypi.simple, tmp_path, building=busy()) as site:
        first, second = await ask_for(site), await ask_for(site, "2.0")
        await until(site, first, "RUNNING")
        waiting = await until(site, second, "QUEUED")
        assert (waiting["waits"], waiting["position"], waiting["priority"]) == ("slot", 1, "interactive")
        assert (await site.operate("/api/v1/cancel", {"build": first})).json == {"cancelled": [first]}
        assert await ended(site, first) == ("CANCELLED", "cancelled.operator")
        await until(site, second, "RUNNING")
        assert (await site.operate("/api/v1/cancel", {"build": first})).status == 409
        assert (await site.operate("/api/v1/cancel", {"project": "Demo"})).json == {"cancelled": [second]}
        assert await ended(site, second) == ("CANCELLED", "cancelled.operator")
        assert (await site.operate("/api/v1/cancel", {"project": "demo"})).status == 404
        assert await audit(site) == ["cancel", "cancel"]


@pytest.mark.parametrize("body", [{}, {"build": 1, "project": "demo"}, {"project": "../x"}, {"build": "1"}])
async def test_a_cancel_that_means_nothing(site, body):
    answer = await site.operate("/api/v1/cancel", body)
    assert (answer.status, bool(answer.sentence)) == (400, True)


@pytest.mark.parametrize("what", ["drain", "resume", "cancel"])
async def test_changes_of_the_pool_need_the_token(site, what):
    assert (await site.operate(f"/api/v1/{what}", {}, token="wrong")).status == 401


async def test_a_drain_starts_nothing_holds_over_a_restart_and_is_seen(pypi, demo, tmp_path):
    async with serving(pypi.simple, tmp_path, building=busy()) as site:
        first = await ask_for(site)
        await until(site, first, "RUNNING")
        assert (await site.operate("/api/v1/drain", {})).json["state"] == "draining"
        pypi.add("demo", "demo-2.0.tar.gz", pure_sdist("demo", "2.0").data)
        second = await ask_for(site, "2.0")
        ready = await site.ask("/health/ready")
        assert (ready.status, ready.body.decode().splitlines()[0]) == (200, "ready")
        assert "resume" in ready.body.decode()
        assert b"buildthrough_pool_draining 1.0" in (await site.ask("/metrics")).body
        assert SDIST in await site.listed("demo")
        assert (await until(site, first, "RUNNING"))["waits"] is None
    async with serving(pypi.simple, tmp_path, building=busy()) as site:
        await asyncio.sleep(0.1)
        assert (await site.ask("/api/v1/pool")).json["state"] == "drained"
        assert (await site.store.queue.counts())[BuildState.QUEUED] == 2
        assert (await site.operate("/api/v1/resume", {})).json["state"] == "open"
        await until(site, first, "RUNNING")
        assert (await until(site, second, "QUEUED"))["waits"] == "slot"
    async with serving(pypi.simple, tmp_path, building=busy()) as site:
        await until(site, first, "RUNNING")


async def test_a_pool_that_builds_nothing_says_so(site):
    assert (await site.ask("/api/v1/pool")).json["state"] == "off"
