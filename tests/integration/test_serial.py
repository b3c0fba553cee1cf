"""PyPI's serial: passed on, and a page that is older than the one that is known is not taken."""

from __future__ import annotations

import json
import logging

import pytest
from tests.fakes.faults import Fault
from tests.fakes.pypi import FakePyPI
from tests.integration.assembled import HTML, JSON, serving

SDIST = "demo-1.0.tar.gz"


@pytest.fixture
def demo(pypi):
    pypi.add("demo", SDIST, b"data")
    return pypi


async def theirs(site, pypi, accept=JSON):
    return await site.ask(f"{pypi.simple}demo/", Accept=accept)


def lagging(answer, *, header=True):
    """Return what a node that lags behind answers, in place of a 304 as well."""
    serial = answer.headers["X-PyPI-Last-Serial"]
    headers = {"X-PyPI-Last-Serial": serial if header else ""}
    return Fault(status=200, body=answer.body, headers=headers, content_type=answer.headers["Content-Type"])


@pytest.mark.parametrize("form", ["json", "html"])
@pytest.mark.parametrize("accept", [JSON, HTML])
async def test_it_is_passed_on_from_the_header_or_from_the_page(tmp_path, form, accept):
    for serials in (True, False):
        with FakePyPI(form=form, serials=serials) as pypi:
            pypi.add("demo", SDIST, b"data")
            serial = str(pypi.projects["demo"].serial)
            async with serving(pypi.simple, tmp_path / str(serials)) as site:
                answer = await site.ask("/simple/demo/", Accept=accept)
                assert answer.headers["X-PyPI-Last-Serial"] == serial
                again = await site.ask("/simple/demo/", Accept=accept, If_None_Match=answer.headers["ETag"])
                assert (again.status, again.headers["X-PyPI-Last-Serial"]) == (304, serial)


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("form", ["json", "html"])
async def test_an_older_page_is_not_taken(tmp_path, form, header):
    with FakePyPI(form=form, serials=header) as pypi:
        pypi.add("demo", SDIST, b"data")
        async with serving(pypi.simple, tmp_path) as site:
            old = await theirs(site, pypi)
            if not header:
                old.headers["X-PyPI-Last-Serial"] = ""
            pypi.yank(SDIST, "broken")
            new = await site.ask("/simple/demo/", Accept=JSON)
            pypi.fault("/simple/demo/", lagging(old, header=header))
            again = await site.ask("/simple/demo/", Accept=JSON)
            assert (again.status, again.body, again.headers["ETag"]) == (200, new.body, new.headers["ETag"])
            assert again.headers["X-Buildthrough-Cache"] == "hit"
            assert again.headers.get("X-PyPI-Last-Serial") == new.headers.get("X-PyPI-Last-Serial")
            await site.tells('buildthrough_pages_total{reason="older"} 1.0')
            pypi.heal()
            pypi.add("demo", "demo-2.0.tar.gz", b"new")
            assert "2.0" in (await site.ask("/simple/demo/", Accept=JSON)).body.decode()


async def test_nor_after_a_restart(demo, tmp_path):
    async with serving(demo.simple, tmp_path) as site:
        old = await theirs(site, demo)
        demo.yank(SDIST, "broken")
        new = await site.ask("/simple/demo/", Accept=JSON)
    demo.fault("/simple/demo/", lagging(old))
    async with serving(demo.simple, tmp_path) as site:
        assert (await site.ask("/simple/demo/", Accept=JSON)).body == new.body


async def test_it_is_said_once(demo, tmp_path, caplog):
    async with serving(demo.simple, tmp_path) as site:
        old = await theirs(site, demo)
        demo.yank(SDIST, "broken")
        await site.ask("/simple/demo/", Accept=JSON)
        demo.fault("/simple/demo/", lagging(old))
        with caplog.at_level(logging.WARNING, logger="buildthrough"):
            for _ in range(3):
                await site.ask("/simple/demo/", Accept=JSON)
    assert sum("accept_older_serial" in record.getMessage() for record in caplog.records) == 1


async def test_the_operator_may_say_otherwise(demo, tmp_path):
    """After upstream was restored from a backup."""
    async with serving(demo.simple, tmp_path, upstream__accept_older_serial="true") as site:
        old = await theirs(site, demo)
        demo.yank(SDIST, "broken")
        await site.ask("/simple/demo/", Accept=JSON)
        demo.fault("/simple/demo/", lagging(old))
        assert (await site.page("demo"))["files"][0]["yanked"] is False


async def test_pages_without_a_serial_are_taken_as_they_come(demo, site):
    await site.ask("/simple/demo/", Accept=JSON)
    page = {"meta": {"api-version": "1.0"}, "name": "demo", "files": []}
    demo.fault("/simple/demo/", Fault(status=200, body=json.dumps(page).encode(), headers={"X-PyPI-Last-Serial": ""}))
    assert (await site.page("demo"))["files"] == []


@pytest.mark.parametrize("accepts", ["true", "false"])
@pytest.mark.parametrize("form", ["json", "html"])
async def test_the_list_of_projects_does_not_go_back_in_time_either(tmp_path, form, accepts):
    with FakePyPI(form=form) as pypi:
        pypi.add("demo", SDIST, b"data")
        async with serving(pypi.simple, tmp_path, upstream__accept_older_serial=accepts) as site:
            old = await site.ask(pypi.simple)
            pypi.add("other", "other-1.0.tar.gz", b"data")
            new = await site.ask("/simple/", Accept=JSON)
            assert b'"other"' in new.body
            pypi.fault("/simple/", lagging(old))
            again = await site.ask("/simple/", Accept=JSON)
            assert (again.status, b'"other"' in again.body) == (200, accepts == "false")
            pypi.heal()
            pypi.add("third", "third-1.0.tar.gz", b"data")
            assert b'"third"' in (await site.ask("/simple/", Accept=JSON)).body
