"""Names of projects, and the one address of a page."""

from __future__ import annotations

from urllib.parse import urljoin

import pytest
from tests.integration.assembled import HTML, JSON

DATED = "at/2025-01-01T00:00:00Z/simple/Demo"
CORS = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "X-PyPI-Last-Serial"}


async def test_each_spelling_of_a_name_is_the_same_project(pypi, site):
    pypi.add_project("foo-bar-1")
    for spelling in ("foo-bar-1", "Foo_Bar.1", "FOO--bar__1", "foo.-_bar..1", "%46oo-bar-1"):
        answer = await site.ask(f"/simple/{spelling}/", Accept=JSON)
        if answer.status == 301:
            answer = await site.ask(urljoin(f"{site.url}simple/{spelling}/", answer.headers["Location"]), Accept=JSON)
        assert (answer.status, answer.json["name"]) == (200, "foo-bar-1")
    assert {seen.path for seen in pypi.requests} == {"/simple/foo-bar-1/"}


@pytest.mark.parametrize(
    "name",
    ["-demo", "demo-", ".demo", "demo_", "de%20mo", "demo%0A", "de%0Amo", "d%C3%A9mo", "de!mo", "de+mo", "%2e%2e"],
)
async def test_what_is_no_name_never_goes_upstream(pypi, site, name):
    for path in (f"/simple/{name}/", f"/simple/{name}", f"/upstream/simple/{name}/", f"/files/{name}/packages/x.whl"):
        assert (await site.ask(path, Accept=JSON)).status in {400, 404}, path
    assert pypi.requests == []


async def test_one_redirect_leads_from_any_spelling_to_the_page(sdist, site):
    for asked in ("simple/Demo", "simple/Demo/", "simple/demo", "simple/DEMO", "simple", "upstream/simple/Demo", DATED):
        moved = await site.ask(f"/{asked}", Accept=JSON)
        assert moved.status == 301, asked
        assert CORS.items() <= moved.headers.items()
        page = await site.ask(urljoin(f"{site.url}{asked}", moved.headers["Location"]), Accept=JSON)
        assert page.status == 200, asked


async def test_a_redirect_leads_to_the_page_behind_any_prefix(sdist, site):
    """Behind a proxy that serves us below a path, an absolute path would lead out of it."""
    for asked in ("simple/Demo", "simple/Demo/", "simple"):
        location = (await site.ask(f"/{asked}")).headers["Location"]
        assert urljoin(f"http://example.org/mirror/{asked}", location).startswith("http://example.org/mirror/simple/")


@pytest.mark.parametrize("accept", [JSON, HTML, "text/html", "*/*"])
async def test_an_unknown_project_is_404_in_plain_text(site, accept):
    """Never an empty list: a client takes that for the place where the project is, and looks nowhere else."""
    for method in ("GET", "HEAD"):
        answer = await site.ask("/simple/nobody-has-this/", method, Accept=accept)
        assert answer.status == 404
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert CORS.items() <= answer.headers.items()
        assert (answer.body == b"") == (method == "HEAD")


async def test_the_json_that_some_tools_expect_beside_the_index_is_404_at_once(pypi, sdist, site):
    """It is asked for by pip-compile, which goes on without it."""
    for path in ("/simple/demo/json", "/simple/demo/1.0/json", "/simple/demo/1.0/"):
        assert (await site.ask(path)).status == 404
    assert pypi.requests == []
