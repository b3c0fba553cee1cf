"""A page that is asked for again is sent by a shortcut: nobody can tell, and nothing that happens is missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.fakes.sdists import pure_sdist
from tests.integration.assembled import HTML, JSON, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.fakes.pypi import FakeFile, FakePyPI
    from tests.integration.assembled import Answer, Site


@pytest.fixture
def sdist(pypi: FakePyPI) -> FakeFile:
    """List an sdist."""
    made = pure_sdist("demo", "1.0")
    return pypi.add("demo", made.filename, made.data)


@pytest.fixture
async def lasting(sdist: FakeFile, pypi: FakePyPI, tmp_path: Path) -> AsyncIterator[Site]:
    """Serve pages without asking again."""
    async with serving(pypi.simple, tmp_path, upstream__page_ttl=3600) as site:
        yield site


def told(answer: Answer) -> tuple[int, bytes, dict[str, str]]:
    """Return all that is to be the same."""
    differs = {"Date", "X-Buildthrough-Cache", "Server"}
    return answer.status, answer.body, {key: value for key, value in answer.headers.items() if key not in differs}


@pytest.mark.parametrize("path", ["/simple/demo/", "/upstream/simple/demo/"])
@pytest.mark.parametrize("accept", [JSON, HTML, "text/html", "*/*"])
@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
async def test_the_second_answer_is_the_first(lasting: Site, path: str, accept: str, coding: str) -> None:
    asked = {"Accept": accept, "Accept_Encoding": coding}
    first = await lasting.ask(path, **asked)
    second = await lasting.ask(path, **asked)
    assert told(first) == told(second)
    assert first.headers["X-Buildthrough-Cache"] == "miss"
    assert second.headers["X-Buildthrough-Cache"] == "hit"
    head = await lasting.ask(path, "HEAD", **asked)
    assert told(head) == (200, b"", told(first)[2])
    same = await lasting.ask(path, **asked, If_None_Match=first.headers["ETag"])
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert "Content-Length" not in same.headers


async def test_what_was_built_and_purged_meanwhile_is_seen(lasting: Site, sdist: FakeFile) -> None:
    for _ in range(3):
        before = await lasting.ask("/simple/demo/", Accept=JSON)
    wheel = await lasting.publish(sdist)
    after = await lasting.ask("/simple/demo/", Accept=JSON)
    assert [one["filename"] for one in after.json["files"]] == [sdist.filename, wheel.filename]
    assert after.headers["ETag"] != before.headers["ETag"]
    assert told(await lasting.ask("/simple/demo/", Accept=JSON)) == told(after)
    assert (await lasting.operate("/api/v1/purge", {"project": "demo"})).status == 200
    assert told(await lasting.ask("/simple/demo/", Accept=JSON)) == told(before)


async def test_other_words_mean_other_things(lasting: Site) -> None:
    for _ in range(2):
        assert (await lasting.ask("/simple/demo/", Accept=JSON)).headers["Content-Type"] == JSON
        assert (await lasting.ask("/simple/demo/", Accept=HTML)).headers["Content-Type"] == HTML
        assert (await lasting.ask("/simple/demo/?format=text/html", Accept=JSON)).headers["Content-Type"] != JSON
        assert (await lasting.ask("/simple/Demo/", Accept=JSON)).status == 301
        assert (await lasting.ask("/simple/demo/", "POST", Accept=JSON)).status == 405
        assert (await lasting.ask("/simple/nothing/", Accept=JSON)).status == 404


async def test_each_answer_is_counted(lasting: Site) -> None:
    for _ in range(5):
        await lasting.ask("/simple/demo/", Accept=JSON)
    await lasting.tells(
        'buildthrough_requests_total{method="GET",route="/simple/{project}/",status="200"} 5.0',
        'buildthrough_pages_total{reason="fresh"} 4.0',
    )


async def test_rules_hold_for_it(sdist: FakeFile, pypi: FakePyPI, tmp_path: Path) -> None:
    async with serving(pypi.simple, tmp_path, upstream__page_ttl=3600, policy__deny='["demo # no"]') as site:
        for _ in range(3):
            assert (await site.ask("/simple/demo/", Accept=JSON)).status == 403
