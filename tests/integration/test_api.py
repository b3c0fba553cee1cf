"""The operations API: what it answers, who may change things, and what it refuses."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from tests.fakes.sandbox import FakeSandbox, Sleep
from tests.fakes.sdists import pure_sdist
from tests.integration.assembled import PIP, TARGET, TOKEN, serving, workshop

if TYPE_CHECKING:
    from buildthrough.builders.workshop import Workshop

SDIST = "demo-1.0.tar.gz"


@pytest.fixture
def sdist(pypi):
    return pypi.add("demo", SDIST, pure_sdist("demo").data)


@pytest.fixture
def busy() -> Workshop:
    """Return a workshop whose only slot is busy for ever with the first build."""
    return workshop(FakeSandbox((Sleep(3600),)))


async def test_a_build_is_asked_for_listed_and_described(pypi, sdist, tmp_path, busy):
    async with serving(pypi.simple, tmp_path, building=busy) as site:
        asked = await site.operate("/api/v1/builds", {"name": "Demo", "version": "1.0.0", "target": TARGET})
        assert asked.status == 202
        build = asked.json
        assert (build["project"], build["version"], build["sdist"], build["target"]) == ("demo", "1.0", SDIST, TARGET)
        again = await site.operate("/api/v1/builds", {"name": "demo", "version": "1.0"})
        assert again.json["id"] == build["id"]
        for query, count in {
            "": 1,
            "?project=demo": 1,
            "?project=DEMO": 1,
            "?project=other": 0,
            "?state=queued&project=demo": None,
            "?state=FAILED": 0,
            "?limit=1": 1,
        }.items():
            listed = (await site.ask(f"/api/v1/builds{query}")).json["builds"]
            assert count is None or len(listed) == count, query
        one = (await site.ask(f"/api/v1/builds/{build['id']}")).json
        wanted = {"id", "project", "version", "sdist", "target", "state", "fault", "created", "started", "finished"}
        assert wanted | {"wheel"} <= one.keys()
        log = await site.ask(f"/api/v1/builds/{build['id']}/log")
        assert log.status == 404
        assert "no log" in log.sentence


async def test_a_miss_is_one_build_however_many_ask(pypi, sdist, tmp_path, busy):
    async with serving(pypi.simple, tmp_path, building=busy) as site:
        for _ in range(10):
            assert (await site.ask(f"/files/demo/{sdist.path}", User_Agent=PIP)).status == 200
    async with serving(pypi.simple, tmp_path, building=busy) as site:  # the first has looked at each miss by now
        (build,) = (await site.ask("/api/v1/builds")).json["builds"]
        assert build["target"] == TARGET


async def test_purge(pypi, site, sdist):
    wheel = await site.publish(sdist)
    tried = await site.operate("/api/v1/purge", {"project": "demo", "dry_run": True})
    assert [gone["filename"] for gone in tried.json["purged"]] == [wheel.filename]
    assert wheel.filename in await site.listed("demo")
    yanked = await site.operate("/api/v1/purge", {"yanked": True})
    assert yanked.json["purged"] == []
    pypi.yank(SDIST)
    yanked = await site.operate("/api/v1/purge", {"yanked": True})
    assert [gone["filename"] for gone in yanked.json["purged"]] == [wheel.filename]
    assert list(await site.listed("demo")) == [SDIST]
    assert await site.store.built.open(wheel.sha256) is None
    (record, *_) = await site.store.catalog.audit()
    assert (record.action, json.loads(record.detail)["yanked"]) == ("purge", True)


async def test_changes_need_the_token(site, sdist):
    wheel = await site.publish(sdist)
    for header in (
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer \xe9\xff",
        "Bearer " + "x" * 100_000,
    ):
        headers = {} if header is None else {"Authorization": header}
        for path, body in (("/api/v1/purge", b'{"project": "demo"}'), ("/api/v1/builds", b'{"name": "demo"}')):
            answer = await site.ask(path, "POST", data=body, **headers)
            assert answer.status == 401, header
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert TOKEN not in answer.sentence
    assert wheel.filename in await site.listed("demo")


async def test_the_scheme_is_read_without_regard_to_case(site):
    answer = await site.ask("/api/v1/purge", "POST", data=b"{}", Authorization=f"bearer {TOKEN}")
    assert answer.status == 400


DEEP = b'{"project": ' + b"[" * 30_000 + b"]" * 30_000 + b"}"
BODIES = [
    b"",
    b"nonsense",
    b"\xff\xfe",
    b"[]",
    b'"demo"',
    b"null",
    b"1e999",
    b"NaN",
    b'{"project": NaN}',
    b'{"project": 1}',
    b'{"project": ["demo"]}',
    b'{"project": "demo", "dry_run": "yes"}',
    b'{"project": "demo", "dry_run": 1}',
    b'{"projekt": "demo"}',
    b'{"": ""}',
    b"{}",
    b'{"project": null}',
    b'{"project": ""}',
    b'{"project": "../etc"}',
    b'{"project": "demo\\n"}',
    b'{"project": "demo", "version": "not a version"}',
    b'{"project": "demo", "version": ""}',
    b'{"version": "1.0"}',
    b'{"file": "no-wheel.txt"}',
    b'{"file": ""}',
    b'{"file": "../demo-1.0-py3-none-any.whl"}',
    b'{"project": "\\ud800"}',
    b'{"file": "\\ud800-1.0-py3-none-any.whl"}',
    b'{"project": "demo", "version": "' + b"1" * 10_000 + b'x"}',
    b'{"' + b"k" * 10_000 + b'": 1}',
    DEEP,
]


@pytest.fixture
async def idle(pypi, tmp_path):
    """Serve with a target and no slot."""
    async with serving(pypi.simple, tmp_path) as site:
        yield site


async def test_bodies_that_are_none(idle, sdist):
    wheel = await idle.publish(sdist)
    for body in BODIES:
        answer = await idle.operate("/api/v1/purge", body)
        assert answer.status == 400, body[:80]
        assert answer.sentence
    assert wheel.filename in await idle.listed("demo")
    assert await idle.store.catalog.audit() == []


async def test_builds_that_cannot_be_asked_for(idle, sdist):
    for body, status in (
        ({"name": "demo"}, 400),
        ({"version": "1.0"}, 400),
        ({"name": "-", "version": "1.0"}, 400),
        ({"name": "demo\u0130", "version": "1.0"}, 400),
        ({"name": "demo", "version": "x"}, 400),
        ({"name": "demo", "version": "1.0", "target": "nowhere"}, 400),
        ({"name": "demo", "version": "1.0", "target": "\ud800"}, 400),
        ({"name": "demo", "version": "1.0", "shell": "rm"}, 400),
        ({"name": "demo", "version": "2.0"}, 404),
        ({"name": "unknown", "version": "1.0"}, 404),
    ):
        answer = await idle.operate("/api/v1/builds", body)
        assert answer.status == status, body
        assert answer.sentence
    wheel = await idle.publish(sdist)
    answer = await idle.operate("/api/v1/builds", {"name": "demo", "version": "1.0"})
    assert (answer.status, wheel.filename in answer.sentence) == (409, True)


async def test_what_upstream_has_yanked_is_not_built_when_asked_for(idle, pypi, sdist):
    pypi.yank(sdist.filename, "broken")
    answer = await idle.operate("/api/v1/builds", {"name": "demo", "version": "1.0"})
    assert (answer.status, "yanked" in answer.sentence) == (409, True)


async def test_a_giant_body_is_refused(idle):
    body = io.BytesIO(b'{"project": "' + b"x" * (10 << 20) + b'"}')
    answer = await idle.ask("/api/v1/purge", "POST", data=body, Authorization=f"Bearer {TOKEN}")
    assert answer.status == 413
    assert answer.sentence
    assert (await idle.ask("/health/live")).status == 200


async def test_queries_and_ids_that_are_none(idle):
    for path, status in {
        "/api/v1/builds?state=DONE": 400,
        "/api/v1/builds?state=": 400,
        "/api/v1/builds?limit=0": 400,
        "/api/v1/builds?limit=-1": 400,
        "/api/v1/builds?limit=1.5": 400,
        "/api/v1/builds?limit=10001": 400,
        "/api/v1/builds?limit=1000000000000000000000": 400,
        "/api/v1/builds?limit=%D9%A3": 400,
        "/api/v1/builds?project=..": 400,
        "/api/v1/builds?project=": 400,
        "/api/v1/builds?project=%00": 400,
        "/api/v1/builds/0": 404,
        "/api/v1/builds/x": 404,
        "/api/v1/builds/-1": 404,
        "/api/v1/builds/1.0": 404,
        "/api/v1/builds/%D9%A3": 404,
        "/api/v1/builds/99999999999999999999": 404,
        "/api/v1/builds/9223372036854775807": 404,
        "/api/v1/builds/1/log/x": 404,
        "/api/v1/": 404,
        "/api/v2/builds": 404,
    }.items():
        answer = await idle.ask(path)
        assert answer.status == status, path
        assert answer.sentence
        assert answer.headers["Content-Type"].startswith("application/json")


async def test_other_methods_are_refused(idle):
    for path, method, allowed in (
        ("/api/v1/builds", "DELETE", "GET, HEAD, OPTIONS, POST"),
        ("/api/v1/purge", "GET", "OPTIONS, POST"),
        ("/api/v1/targets", "POST", "GET, HEAD, OPTIONS"),
        ("/metrics", "POST", "GET, HEAD, OPTIONS"),
    ):
        answer = await idle.ask(path, method)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)
        assert answer.sentence


async def test_targets_and_probes(idle):
    answer = (await idle.ask("/api/v1/targets")).json
    assert [target["target"] for target in answer["targets"]] == [TARGET]
    assert (answer["isolation"]["level"], answer["isolation"]["minimum"]) == ("full", "landlock")
    assert b'buildthrough_isolation{level="full"} 1.0' in (await idle.ask("/metrics")).body
    assert (await idle.ask("/health/live")).body == b"alive\n"
    assert (await idle.ask("/health/ready")).body == b"ready\n"


async def test_metrics_count_requests_by_route_and_status(idle, pypi, sdist):
    await idle.page("demo")
    await idle.page("demo")
    await idle.ask("/simple/unknown/")
    await idle.ask("/nowhere/at/all")
    await idle.ask(f"/files/demo/{sdist.path}")
    assert (await idle.ask("/metrics")).headers["Content-Type"].startswith("text/plain; version=")
    await idle.tells(
        'buildthrough_requests_total{method="GET",route="/simple/{project}/",status="200"} 2.0',
        'buildthrough_requests_total{method="GET",route="/simple/{project}/",status="404"} 1.0',
        'buildthrough_requests_total{method="GET",route="none",status="404"} 1.0',
        'buildthrough_pages_total{reason="fetched"} 1.0',
        'buildthrough_pages_total{reason="revalidated"} 2.0',
        'buildthrough_pages_total{reason="unknown"} 1.0',
        'buildthrough_files_total{reason="fetched"} 1.0',
        "buildthrough_build_slots 0.0",
        'buildthrough_upstream_seconds_count{kind="page",outcome="ok",upstream=""} 1.0',
    )


async def test_methods_that_nobody_knows_do_not_fill_the_metrics(idle):
    for number in range(20):
        await idle.ask("/simple/", f"X{number}")
    figures = (await idle.ask("/metrics")).body.decode()
    assert "X19" not in figures
