"""What the operator allows and denies, on pages and files alike, with the reason."""

from __future__ import annotations

import asyncio
import json
import urllib.request

import pytest
from tests.fakes.faults import Fault
from tests.fakes.pypi import FakePyPI
from tests.fakes.sandbox import FakeSandbox, Sleep
from tests.fakes.sdists import pure_sdist
from tests.fakes.waiting import LONG
from tests.fakes.wheels import make_wheel
from tests.integration.assembled import HTML, JSON, TARGET, serving, workshop

from buildthrough.builders.request import BuildRequest, BuildState
from buildthrough.config.schema import SettingsError

SDISTS = ("demo-1.0.tar.gz", "demo-2.0.tar.gz")


@pytest.fixture
def demo(pypi, tmp_path):
    for filename in SDISTS:
        pypi.add("demo", filename, pure_sdist("demo", filename[5:8]).data)
    wheel = make_wheel(tmp_path, name="demo", version="1.0")
    pypi.add("demo", wheel.name, wheel.read_bytes())
    pypi.add("other", "other-1.0.tar.gz", b"other")
    return pypi


def denying(demo, folder, *lines, allow=(), **more):
    return serving(demo.simple, folder, policy__deny=json.dumps(lines), policy__allow=json.dumps(allow), **more)


async def names(site, prefix=""):
    return sorted(entry["filename"] for entry in (await site.page("demo", prefix))["files"])


async def test_a_denied_project_is_refused_everywhere_and_nobody_asks_upstream(demo, tmp_path):
    async with denying(demo, tmp_path, "d*mo # typosquats, see ticket 12") as site:
        sentence = "demo is denied here by the rule d*mo: typosquats, see ticket 12."
        for path in (
            "/simple/demo/",
            "/upstream/simple/demo/",
            "/at/2024-05-01T00:00:00Z/simple/demo/",
            f"/files/demo/{demo.file(SDISTS[0]).path}",
            f"/at/2024-05-01T00:00:00Z/files/demo/{demo.file(SDISTS[0]).path}",
            f"/built/demo/{'0' * 64}/demo-1.0-py3-none-any.whl",
            "/pypi/demo/json",
            "/pypi/demo/1.0/json",
        ):
            for method in ("GET", "HEAD"):
                answer = await site.ask(path, method, Accept="*/*")
                assert answer.status == 403, path
                assert method == "HEAD" or answer.sentence == sentence
        assert demo.requests == []
        assert (await site.ask("/simple/other/", Accept=JSON)).status == 200
        assert (await site.ask("/simple/", Accept=JSON)).status == 200


@pytest.mark.parametrize("wanted", [JSON, HTML])
async def test_denied_versions_vanish(demo, tmp_path, wanted):
    async with denying(demo, tmp_path, "demo<2 # a leak") as site:
        for prefix in ("", "/upstream", "/at/2024-05-01T00:00:00Z"):
            page = await site.ask(f"{prefix}/simple/demo/", Accept=wanted)
            assert (b"demo-1.0" in page.body, b"demo-2.0" in page.body) == (False, True)
        if wanted == JSON:
            assert page.json["versions"] == ["2.0"]
        for filename in ("demo-1.0.tar.gz", "demo-1.0-py3-none-any.whl"):
            answer = await site.ask(f"/files/demo/{demo.file(filename).path}")
            assert answer.status == 403
            assert answer.sentence == f"{filename} is denied here by the rule demo<2: a leak."
        assert (await site.ask(f"/files/demo/{demo.file('demo-1.0-py3-none-any.whl').path}.metadata")).status == 403
        assert (await site.ask(f"/files/demo/{demo.file(SDISTS[1]).path}")).status == 200


@pytest.mark.parametrize("wanted", [JSON, HTML])
@pytest.mark.parametrize("form", ["json", "html"])
async def test_what_is_not_served_from_here_is_hidden_under_rules(tmp_path, form, wanted):
    """Its URL would stay upstream's, where no rule holds."""
    with FakePyPI(form=form) as pypi:
        pypi.add("demo", "demo-2.0.tar.gz", b"two")
        pypi.add("demo", "demo-3.0.tar.gz", b"three")
        path = pypi.file("demo-3.0.tar.gz").path
        page = (await asyncio.to_thread(fetch, f"{pypi.simple}demo/")).replace(path, f"a//{path}")
        content_type = JSON if form == "json" else HTML
        pypi.fault("/simple/demo/", Fault(status=200, body=page.encode(), content_type=content_type))
        async with serving(pypi.simple, tmp_path / "free") as site:
            assert b"demo-3.0" in (await site.ask("/simple/demo/", Accept=wanted)).body
        async with denying(pypi, tmp_path / "ruled", "demo<1 # old") as site:
            body = (await site.ask("/simple/demo/", Accept=wanted)).body
            assert (b"demo-2.0" in body, b"demo-3.0" in body) == (True, False)


def fetch(url):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url) as answer:
        return answer.read().decode()


async def test_the_rest_of_the_page_is_byte_identical(demo, tmp_path):
    async with serving(demo.simple, tmp_path / "open") as free, denying(demo, tmp_path, "demo==3 # none") as site:
        assert (await site.ask("/simple/demo/", Accept=JSON)).body == (
            await free.ask("/simple/demo/", Accept=JSON)
        ).body


async def test_a_built_wheel_goes_with_its_sdist(demo, tmp_path):
    demo.remove("demo-1.0-py3-none-any.whl")
    async with serving(demo.simple, tmp_path) as site:
        wheel = await site.publish(demo.file(SDISTS[0]))
        assert wheel.filename in await names(site)
    async with denying(demo, tmp_path, "demo==1.0 # broken") as site:
        assert await names(site) == [SDISTS[1]]
        answer = await site.ask(f"/built/{wheel.path}")
        assert (answer.status, "broken" in answer.sentence) == (403, True)
    async with serving(demo.simple, tmp_path) as site:
        assert wheel.filename in await names(site)
        assert (await site.ask(f"/built/{wheel.path}")).status == 200


async def test_nothing_is_built_of_what_is_denied(demo, tmp_path):
    async with denying(demo, tmp_path, "demo==1.0 # broken", "other # evil") as site:
        for project, version in (("demo", "1.0"), ("other", "1.0")):
            answer = await site.operate("/api/v1/builds", {"name": project, "version": version})
            assert answer.status == 403, answer
            assert "denied here by the rule" in answer.sentence


async def test_a_build_that_waits_is_not_made_when_its_sdist_is_denied_meanwhile(demo, tmp_path):
    demo.remove("demo-1.0-py3-none-any.whl")
    sdist = demo.file(SDISTS[0])
    request = BuildRequest(
        project="demo", version="1.0", sdist=sdist.filename, sdist_sha256=sdist.sha256, target=TARGET
    )
    async with serving(demo.simple, tmp_path) as site:
        waiting = await site.store.queue.submit(request)
    idle = workshop(FakeSandbox((Sleep(3600),)))
    async with denying(demo, tmp_path, "demo==1.0 # broken", building=idle) as site, asyncio.timeout(LONG):
        while (build := await site.store.queue.get(waiting.id)).state is not BuildState.CANCELLED:
            assert build.state in {BuildState.QUEUED, BuildState.RUNNING}
            await asyncio.sleep(0.05)
        assert build.fault == "cancelled.denied"
        assert "broken" in (build.line or "")


async def test_only_what_is_allowed_is_there(demo, tmp_path):
    async with denying(demo, tmp_path, allow=["demo>=2"]) as site:
        assert await names(site) == [SDISTS[1]]
        answer = await site.ask(f"/files/demo/{demo.file(SDISTS[0]).path}")
        assert (answer.status, "policy.allow" in answer.sentence) == (403, True)
        answer = await site.ask("/simple/other/")
        assert (answer.status, "policy.allow" in answer.sentence) == (403, True)


async def test_the_json_api_says_no_more(demo, tmp_path):
    async with denying(demo, tmp_path, "demo<2 # a leak") as site:
        told = (await site.ask("/pypi/demo/json")).json
        assert {version: len(files) for version, files in told["releases"].items()} == {"0.0.1": 0, "1.0": 0, "2.0": 1}
        assert len(told["urls"]) == 1
        answer = await site.ask("/pypi/demo/1.0/json")
        assert (answer.status, "a leak" in answer.sentence) == (403, True)
        assert (await site.ask("/pypi/demo/2.0/json")).status == 200


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("policy__deny", '["a b"]', ["policy", "'a b' is no rule"]),
        ("policy__allow", '["a==x!"]', ["policy", "is no rule"]),
        ("upstream__exclude_newer", "3 months", ["upstream.exclude_newer", "months"]),
        ("upstream__exclude_newer", "soon", ["upstream.exclude_newer", "7 days"]),
    ],
)
async def test_a_rule_that_is_none_stops_the_start(demo, tmp_path, setting, value, words):
    with pytest.raises(SettingsError) as refused:
        async with serving(demo.simple, tmp_path, **{setting: value}):
            pass
    assert all(word in str(refused.value) for word in words)
