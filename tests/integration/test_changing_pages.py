"""A page that upstream changes while it is being used: what was begun with the older one begins again, unseen."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from tests.fakes.sdists import pure_sdist
from tests.fakes.upstream import FakeUpstream
from tests.fakes.waiting import until
from tests.integration.assembled import JSON, PIP, serving

from buildthrough.proxy.current import CurrentPages
from buildthrough.proxy.errors import PageChanged
from buildthrough.proxy.misses import Misses
from buildthrough.proxy.page_answer import PageAnswer
from buildthrough.proxy.pages import PageStore
from buildthrough.proxy.patience import Patience

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.fakes.pypi import FakeFile
    from tests.integration.assembled import Site

    from buildthrough.proxy.entry import Entry, ProjectFiles
    from buildthrough.proxy.freshness import Freshness
    from buildthrough.proxy.known_page import Current
    from buildthrough.proxy.page import Page

MOMENT = "2026-01-01T00:00:00Z"
PAGE = (
    '{"meta":{"api-version":"1.0","_last-serial":%d},"name":"demo",'
    '"files":[{"filename":"demo-1.0.tar.gz","url":"https://files.example.org/demo-1.0.tar.gz","hashes":{},"yanked":"%d"}]}'
)


def page(number: int) -> PageAnswer:
    return PageAnswer(
        body=(PAGE % (number, number)).encode(),
        content_type=JSON,
        url="https://example.org/simple/demo/",
        etag=f'"{number}"',
        last_serial=str(number),
    )


@pytest.fixture
def upstream() -> FakeUpstream:
    made = FakeUpstream()
    made.pages["demo"] = page(1)
    return made


@pytest.fixture
async def pages(upstream: FakeUpstream, tmp_path: Path) -> AsyncIterator[CurrentPages]:
    async with PageStore.open(tmp_path) as store:
        patience = Patience(unknown=30, known=30)
        made = CurrentPages(upstream=upstream, pages=store, patience=patience, page_ttl=0, memory_bytes=1 << 20)
        yield made
        await made.close()


async def test_a_page_that_was_replaced_is_not_taken_for_lost(upstream, pages, caplog):
    older, _ = await pages.get("demo")
    upstream.pages["demo"] = page(2)
    newer, _ = await pages.get("demo")
    asked = len(upstream.asked)
    with caplog.at_level(logging.WARNING), pytest.raises(PageChanged, match="Ask again"):
        await pages.page("demo", older)
    assert (await pages.page("demo", newer)).last_serial == "2"
    assert pages.newest("demo", older) is newer
    assert len(upstream.asked) == asked
    assert caplog.records == []


async def test_what_was_asked_just_now_may_be_newer_still(upstream, pages, monkeypatch):
    find = pages.page

    async def overtaken(project: str, current: Current) -> Page:
        monkeypatch.undo()
        upstream.pages["demo"] = page(2)
        await pages.get("demo")
        return await find(project, current)

    monkeypatch.setattr(pages, "page", overtaken)
    assert [file.yanked for file in (await pages.ask("demo")).entries] == ["2"]


@pytest.fixture
def sdist(pypi) -> FakeFile:
    return pypi.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data, yanked="reason 0")


@pytest.fixture
def overtake(pypi, sdist, monkeypatch) -> Callable[[int], None]:
    """Have upstream change the page, and somebody ask for it, between two steps of whoever asks, so many times."""
    get, left = CurrentPages.get, [0]

    async def overtaken(self: CurrentPages, project: str, since: float = 0.0) -> tuple[Current, Freshness]:
        found = await get(self, project, since)
        if left[0]:
            left[0] -= 1
            pypi.yank(sdist.filename, f"reason {left[0]}")
            await get(self, project)
        return found

    def times(count: int) -> None:
        left[0] = count

    monkeypatch.setattr(CurrentPages, "get", overtaken)
    return times


@pytest.fixture
async def site(pypi, tmp_path) -> AsyncIterator[Site]:
    async with serving(pypi.simple, tmp_path) as made:
        yield made


@pytest.mark.parametrize("prefix", ["", f"/at/{MOMENT}"])
async def test_a_page_that_changes_meanwhile_is_sent_as_it_is_now(pypi, site, overtake, prefix):
    await site.page("demo")
    pypi.yank("demo-1.0.tar.gz", "not rendered yet")
    overtake(3)
    answer = await site.ask(f"{prefix}/simple/demo/", Accept=JSON)
    assert answer.status == 200, answer
    assert answer.json["files"][0]["yanked"] == "reason 0"
    assert answer.headers["X-PyPI-Last-Serial"] == str(pypi.projects["demo"].serial)


async def test_a_page_with_built_wheels_changes_meanwhile(site, sdist, overtake, pypi):
    pypi.unyank(sdist.filename)
    wheel = await site.publish(sdist)
    overtake(3)
    page = await site.page("demo")
    assert {file["filename"]: file["yanked"] for file in page["files"]} == {
        sdist.filename: "reason 0",
        wheel.filename: "reason 0",
    }
    overtake(3)
    assert (await site.ask(f"/built/demo/{wheel.sha256}/{wheel.filename}")).status == 200


@pytest.mark.parametrize("prefix", ["", f"/at/{MOMENT}"])
async def test_a_file_whose_page_changes_meanwhile_is_sent(site, sdist, overtake, prefix):
    overtake(3)
    answer = await site.ask(f"{prefix}/files/demo/{sdist.path}")
    assert (answer.status, len(answer.body)) == (200, sdist.size)


async def test_a_page_that_changes_all_the_time_is_given_up(pypi, site, overtake):
    await site.page("demo")
    pypi.yank("demo-1.0.tar.gz", "not rendered yet")
    overtake(1_000_000)
    answer = await site.ask("/simple/demo/", Accept=JSON)
    assert (answer.status, "Ask again" in answer.sentence) == (503, True)


@pytest.mark.parametrize(("change", "verdict"), [("yank", "yanked"), ("remove", "unlisted"), ("remove_project", "")])
async def test_a_miss_is_judged_by_the_page_as_it_is_then(  # noqa: PLR0917 - fixtures
    pypi, site, sdist, monkeypatch, caplog, change, verdict
):
    """The client has its sdist; until it is looked at whether that was a miss, upstream withdraws the sdist."""
    pypi.unyank(sdist.filename)
    see = Misses.see

    def changed_first(self: Misses, entry: Entry, files: Callable[[], Awaitable[ProjectFiles]], agent: str) -> None:
        async def later() -> ProjectFiles:
            getattr(pypi, change)(sdist.project if change == "remove_project" else sdist.filename)
            await site.ask("/simple/demo/", Accept=JSON)
            return await files()

        see(self, entry, later, agent)

    monkeypatch.setattr(Misses, "see", changed_first)
    with caplog.at_level(logging.WARNING):
        assert (await site.ask(f"/files/demo/{sdist.path}", User_Agent=PIP)).status == 200
        if verdict:
            await site.tells(f'buildthrough_sdist_downloads_total{{verdict="{verdict}"}} 1.0')
        else:
            await until(lambda: "a miss could not be looked at" in caplog.text)
    assert (await site.ask("/api/v1/builds")).json == {"builds": []}
    assert "Traceback" not in caplog.text
    assert "lost" not in caplog.text
