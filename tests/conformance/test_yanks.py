"""Yanks, removals, quarantine, and an upstream that fails: what a built wheel follows."""

from __future__ import annotations

from itertools import pairwise

import pytest
from tests.fakes.faults import Fault
from tests.fakes.sdists import pure_sdist
from tests.fakes.wheels import make_wheel
from tests.integration.assembled import HTML, JSON, serving


async def look(site, wheel):
    """Return what the page says of the wheel, the page's ETag, and the status of its URL."""
    answer = await site.ask("/simple/demo/", Accept=JSON)
    entries = {entry["filename"]: entry for entry in answer.json["files"]}
    entry = entries.get(wheel.filename)
    in_html = f">{wheel.filename}</a>".encode() in (await site.ask("/simple/demo/", Accept=HTML)).body
    assert in_html == (entry is not None)
    served = (await site.ask(f"/built/demo/{wheel.sha256}/{wheel.filename}")).status
    return ("unlisted" if entry is None else entry["yanked"]), answer.headers["ETag"], served


async def test_the_wheel_follows_its_sdist_in_the_same_answer(pypi, site, sdist, wheel):
    name = sdist.filename
    etags = []
    for change, listed, served in (
        (lambda: None, False, 200),
        (lambda: pypi.yank(name, "breaks"), "breaks", 200),
        (lambda: pypi.yank(name, "breaks more"), "breaks more", 200),
        (lambda: pypi.yank(name), True, 200),
        (lambda: pypi.unyank(name), False, 200),
        (lambda: pypi.remove(name), "unlisted", 404),
        (lambda: pypi.bring_back(name), False, 200),
        (lambda: pypi.quarantine("demo"), "unlisted", 404),
        (lambda: pypi.clear("demo"), False, 200),
    ):
        change()
        yanked, etag, status = await look(site, wheel)
        assert (yanked, status) == (listed, served)
        etags.append(etag)
    assert all(before != after for before, after in pairwise(etags))


async def test_a_partial_yank_is_inherited_from_the_sdist_alone(pypi, site, sdist, wheel, tmp_path):
    other = make_wheel(tmp_path, name="demo", version="1.0", tag="cp39-cp39-win_amd64")
    pypi.add("demo", other.name, other.read_bytes(), yanked="only this file")
    assert (await look(site, wheel))[0] is False
    pypi.unyank(other.name)
    pypi.yank(sdist.filename, "only the sdist")
    assert (await look(site, wheel))[0] == "only the sdist"


async def test_a_yanked_file_is_never_shown_without_its_mark(pypi, site, sdist, upstream_wheel, wheel):
    pypi.yank(sdist.filename, "a")
    pypi.yank(upstream_wheel.filename, "b")
    marks = {entry["filename"]: entry["yanked"] for entry in (await site.page("demo"))["files"]}
    assert marks == {sdist.filename: "a", upstream_wheel.filename: "b", wheel.filename: "a"}
    html = (await site.ask("/simple/demo/", Accept=HTML)).body
    assert html.count(b"data-yanked=") == 3


async def test_a_yank_that_comes_back_is_a_yank_again(pypi, site, sdist, wheel):
    seen = []
    for reason in ("one", None, "two", None):
        pypi.unyank(sdist.filename) if reason is None else pypi.yank(sdist.filename, reason)
        seen.append((await look(site, wheel))[0])
    assert seen == ["one", False, "two", False]


async def test_a_quarantined_project_offers_nothing(pypi, site, sdist, wheel):
    pypi.quarantine("demo")
    page = await site.page("demo")
    assert (page["files"], page["versions"], page["project-status"]["status"]) == ([], [], "quarantined")
    for path in (f"/files/demo/{sdist.path}", f"/built/demo/{wheel.sha256}/{wheel.filename}"):
        assert (await site.ask(path)).status == 404


async def test_a_quarantined_release_is_one_that_is_listed_no_more(pypi, site, sdist, upstream_wheel, wheel):
    """PyPI marks nothing there: the files of the release are simply gone."""
    pypi.remove(sdist.filename)
    assert [entry["filename"] for entry in (await site.page("demo"))["files"]] == [upstream_wheel.filename]


@pytest.mark.parametrize("status", ["archived", "deprecated", "some-day"])
async def test_other_statuses_pass_and_files_stay(pypi, site, sdist, wheel, status):
    pypi.add_project("demo", status=status)
    page = await site.page("demo")
    assert page["project-status"] == {"status": status}
    assert wheel.filename in {entry["filename"] for entry in page["files"]}
    assert (await site.ask(f"/files/demo/{sdist.path}")).status == 200
    assert f'content="{status}"'.encode() in (await site.ask("/simple/demo/", Accept=HTML)).body


@pytest.mark.parametrize(
    "fault", [Fault(status=500), Fault(status=503), Fault(status=429), Fault(drop=True), Fault(status=200, body=b"{")]
)
async def test_a_failing_upstream_shrinks_nothing_and_is_never_404(pypi, site, sdist, wheel, fault):
    before = await site.ask("/simple/demo/", Accept=JSON)
    pypi.fault("/simple/*", fault)
    stale = await site.ask("/simple/demo/", Accept=JSON)
    assert (stale.status, stale.body, stale.headers["ETag"]) == (200, before.body, before.headers["ETag"])
    assert stale.headers["Cache-Control"] == "no-cache"
    unknown = await site.ask("/simple/never-asked-before/", Accept=JSON)
    assert unknown.status in {502, 503}
    for path in (f"/files/demo/{sdist.path}", f"/built/demo/{wheel.sha256}/{wheel.filename}"):
        assert (await site.ask(path)).status == 200


async def test_a_change_upstream_is_found_by_a_conditional_question(pypi, tmp_path, sdist):
    """No feed is followed: within the time that pages may be old, upstream's ETag says that nothing changed."""
    async with serving(pypi.simple, tmp_path, upstream__page_ttl=0) as site:
        for _ in range(3):
            await site.page("demo")
        assert ["If-None-Match" in seen.headers for seen in pypi.asked("/simple/demo/")] == [False, True, True]
        pypi.add("demo", "demo-1.1.tar.gz", pure_sdist("demo", "1.1").data)
        assert "demo-1.1.tar.gz" in await site.listed("demo")
