"""Project pages and the project list as clients see them."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest
from tests.fakes.faults import Fault, Gate
from tests.fakes.pypi import FakePyPI
from tests.fakes.sdists import pure_sdist
from tests.fakes.wheels import make_wheel
from tests.integration.assembled import HTML, JSON, PIP, TEXT, serving

ACCEPTS = {
    "pip": (
        "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01",
        JSON,
    ),
    "uv": (
        "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01",
        JSON,
    ),
    "poetry": ("application/vnd.pypi.simple.v1+json, */*;q=0.1", JSON),
    "latest": ("application/vnd.pypi.simple.latest+json", JSON),
    "versioned html": ("application/vnd.pypi.simple.v1+html", HTML),
    "old pip": ("text/html", TEXT),
    "browser": ("text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", TEXT),
    "curl": ("*/*", TEXT),
    "nothing": (None, TEXT),
}
CORS = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "X-PyPI-Last-Serial"}


class Links(HTMLParser):
    """The links of an HTML page: text and attributes."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: dict[str, dict[str, str | None]] = {}
        self._open: dict[str, str | None] | None = None
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = dict(attrs) if tag == "a" else self._open

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.found[data] = self._open
            self._open = None


def accept(header: str | None) -> dict[str, str]:
    return {} if header is None else {"Accept": header}


@pytest.fixture
def demo(pypi, tmp_path):
    """List an sdist and a wheel."""
    wheel = make_wheel(tmp_path, name="demo", version="1.0", requires_python=">=3.8")
    pypi.add("demo", wheel.name, wheel.read_bytes())
    pypi.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data, yanked="a <reason>")
    return pypi


@pytest.mark.parametrize("path", ["/simple/demo/", "/simple/", "/upstream/simple/demo/", "/upstream/simple/"])
async def test_each_client_gets_its_form(demo, site, path):
    for client, (header, content_type) in ACCEPTS.items():
        answer = await site.ask(path, **accept(header))
        assert (answer.status, answer.headers["Content-Type"]) == (200, content_type), client
        assert answer.headers["Vary"] == "Accept, Accept-Encoding"
        assert answer.headers["Cache-Control"] == "no-cache"
        assert re.fullmatch(r'"[0-9a-f]+"', answer.headers["ETag"])
        assert "Content-Encoding" not in answer.headers
        assert CORS.items() <= answer.headers.items()
        assert answer.body.startswith(b"{" if content_type == JSON else b"<!DOCTYPE html>")


@pytest.mark.parametrize("form", ["json", "html"])
@pytest.mark.parametrize("wanted", [JSON, HTML])
async def test_both_forms_whichever_upstream_sends(tmp_path, form, wanted):
    with FakePyPI(form=form) as pypi:
        pypi.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data, requires_python=">=3.8", yanked="a <reason>")
        async with serving(pypi.simple, tmp_path) as site:
            answer = await site.ask("/simple/demo/", Accept=wanted)
            url = f"../../files/demo/{pypi.file('demo-1.0.tar.gz').path}"
            if wanted == JSON:
                (entry,) = answer.json["files"]
                assert (entry["url"], entry["requires-python"], entry["yanked"]) == (url, ">=3.8", "a <reason>")
                assert answer.json["meta"]["api-version"] == ("1.4" if form == "json" else "1.0")
            else:
                found = Links(answer.body).found["demo-1.0.tar.gz"]
                assert found["href"] == f"{url}#sha256={pypi.file('demo-1.0.tar.gz').sha256}"
                assert (found["data-requires-python"], found["data-yanked"]) == (">=3.8", "a <reason>")


async def test_a_page_without_anything_to_change_is_byte_identical(pypi, site):
    body = b'{"name": "demo" ,\n "meta":{"api-version":"1.0", "x":1e3}, "files":[],"later":[null, 1.50, "\\u00e9"] }\n'
    pypi.add_project("demo")
    pypi.fault("/simple/demo/", Fault(body=body, content_type=JSON))
    assert (await site.ask("/simple/demo/", Accept=JSON)).body == body


@pytest.mark.parametrize(("form", "accepted"), [("json", JSON), ("html", HTML)])
async def test_only_the_addresses_of_files_are_changed(tmp_path, form, accepted):
    with FakePyPI(form=form) as pypi:
        pypi.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data, requires_python=">=3.8", yanked="a <reason>")
        async with serving(pypi.simple, tmp_path) as site:
            theirs = await site.ask(f"{pypi.simple}demo/", Accept=accepted)
            ours = await site.ask("/simple/demo/", Accept=accepted)
            assert ours.body == theirs.body.replace(f"{pypi.url}/packages/".encode(), b"../../files/demo/packages/")


async def test_links_are_relative_and_lead_to_the_files_behind_any_prefix(demo, site):
    entry = (await site.page("demo"))["files"][0]
    assert urljoin("http://example.org/some/prefix/simple/demo/", entry["url"]).startswith(
        "http://example.org/some/prefix/files/demo/packages/"
    )
    entry = (await site.page("demo", prefix="/upstream"))["files"][0]
    strict = urljoin("http://example.org/some/prefix/upstream/simple/demo/", entry["url"])
    assert strict.startswith("http://example.org/some/prefix/files/demo/packages/")


async def test_each_form_and_coding_has_its_own_strong_etag_and_answers_304(demo, site):
    seen = {}
    for accepted in (JSON, HTML, "text/html"):
        for coding in ("gzip", "identity", "gzip, deflate, zstd"):
            first = await site.ask("/simple/demo/", Accept=accepted, Accept_Encoding=coding)
            again = await site.ask(
                "/simple/demo/", Accept=accepted, Accept_Encoding=coding, If_None_Match=first.headers["ETag"]
            )
            assert (again.status, again.body) == (304, b"")
            assert again.headers["ETag"] == first.headers["ETag"]
            assert again.headers["Vary"] == first.headers["Vary"]
            assert again.headers["Cache-Control"] == "no-cache"
            assert first.headers.get("Content-Encoding") == {"gzip": "gzip", "identity": None}.get(coding, "zstd")
            seen.setdefault(first.headers["ETag"], set()).add((accepted, first.body))
    assert all(len({body for _, body in bodies}) == 1 for bodies in seen.values())
    assert len(seen) == 6  # JSON and HTML, each plain and in two codings


async def test_if_none_match(demo, site):
    etag = (await site.ask("/simple/demo/", Accept=JSON)).headers["ETag"]
    for given in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        assert (await site.ask("/simple/demo/", Accept=JSON, If_None_Match=given)).status == 304, given
    for given in ('"other"', "garbage", "", etag.strip('"')):
        assert (await site.ask("/simple/demo/", Accept=JSON, If_None_Match=given)).status == 200, given


async def test_compressed_pages_hold_the_same(demo, site):
    plain = await site.ask("/simple/demo/", Accept=JSON)
    packed = await site.ask("/simple/demo/", Accept=JSON, Accept_Encoding="gzip")
    assert gzip.decompress(packed.body) == plain.body
    assert int(packed.headers["Content-Length"]) == len(packed.body)


@pytest.mark.parametrize("path", ["/simple/demo/", "/simple/"])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_head_is_get_without_the_body(demo, site, path, coding):
    get = await site.ask(path, Accept=JSON, Accept_Encoding=coding)
    head = await site.ask(path, "HEAD", Accept=JSON, Accept_Encoding=coding)
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(get.body)
    drop = {"Date", "X-Buildthrough-Cache"}
    assert {k: v for k, v in head.headers.items() if k not in drop} == {
        k: v for k, v in get.headers.items() if k not in drop
    }


async def test_names_are_redirected_in_one_step(demo, site):
    for asked, location in {
        "/simple/Demo/": "/simple/demo/",
        "/simple/demo": "/simple/demo/",
        "/simple/DE.._mo": "/simple/de-mo/",
        "/simple/De__Mo/": "/simple/de-mo/",
        "/simple/%44emo/": "/simple/demo/",
        "/simple/Demo?format=a/v1+json&x=%0d%0aX-Evil:1": "/simple/demo/?format=a/v1+json&x=%0d%0aX-Evil:1",
        "/simple": "/simple/",
        "/upstream/simple/Demo": "/upstream/simple/demo/",
        "/upstream/simple": "/upstream/simple/",
    }.items():
        answer = await site.ask(asked)
        assert answer.status == 301, asked
        assert CORS.items() <= answer.headers.items()
        assert urljoin(site.url[:-1] + asked, answer.headers["Location"]) == site.url[:-1] + location
        assert "X-Evil" not in answer.headers
    assert demo.requests == []


async def test_the_format_parameter_overrides_the_accept_header(demo, site):
    answer = await site.ask("/simple/demo/?format=application/vnd.pypi.simple.v1+json", Accept="text/html")
    assert (answer.status, answer.headers["Content-Type"]) == (200, JSON)
    answer = await site.ask("/simple/demo/?format=image/png")
    assert (answer.status, "names none of them" in answer.sentence) == (406, True)


async def test_a_client_that_accepts_no_form_is_told_so(demo, site):
    answer = await site.ask("/simple/demo/", Accept="image/png")
    assert answer.status == 406
    assert JSON in answer.sentence


async def test_an_unknown_project_is_404_and_not_remembered(pypi, site):
    for _ in range(2):
        answer = await site.ask("/simple/unknown/", Accept=JSON)
        assert answer.status == 404
        assert "unknown" in answer.sentence.lower() or "know" in answer.sentence
        assert CORS.items() <= answer.headers.items()
    assert pypi.count("/simple/unknown/") == 2
    pypi.add("unknown", "unknown-1.0.tar.gz", b"now there is one")
    assert (await site.ask("/simple/unknown/", Accept=JSON)).status == 200


async def test_an_unknown_project_is_remembered_no_longer_than_a_page(pypi, tmp_path, later):
    async with serving(pypi.simple, tmp_path, upstream__page_ttl=600) as site:
        for _ in range(2):
            assert (await site.ask("/simple/unknown/", Accept=JSON)).status == 404
        assert pypi.count("/simple/unknown/") == 1
        pypi.add("unknown", "unknown-1.0.tar.gz", b"now there is one")
        later.forward(61)  # for no longer than that, whatever the setting says
        assert (await site.ask("/simple/unknown/", Accept=JSON)).status == 200


async def test_a_project_that_upstream_deletes_is_gone_at_once(demo, site):
    assert (await site.ask("/simple/demo/", Accept=JSON)).status == 200
    demo.remove_project("demo")
    assert (await site.ask("/simple/demo/", Accept=JSON)).status == 404


async def test_a_page_is_used_without_asking_for_as_long_as_the_setting_says(demo, tmp_path, later):
    async with serving(demo.simple, tmp_path, upstream__page_ttl=600) as site:
        first = await site.ask("/simple/demo/", Accept=JSON)
        demo.add("demo", "demo-2.0.tar.gz", b"new")
        second = await site.ask("/simple/demo/", Accept=JSON)
        assert second.body == first.body
        assert demo.count("/simple/demo/") == 1
        assert first.headers["X-Buildthrough-Cache"] == "miss"
        assert second.headers["X-Buildthrough-Cache"] == "hit"
        later.forward(601)
        assert "demo-2.0.tar.gz" in await site.listed("demo")
        assert demo.count("/simple/demo/") == 2


async def test_a_ttl_of_zero_asks_each_time_with_the_etag(demo, site):
    for _ in range(3):
        await site.ask("/simple/demo/", Accept=JSON)
    asked = demo.asked("/simple/demo/")
    assert ["If-None-Match" in seen.headers for seen in asked] == [False, True, True]
    demo.add("demo", "demo-2.0.tar.gz", b"new")
    assert "demo-2.0.tar.gz" in await site.listed("demo")


@pytest.mark.parametrize("path", ["/simple/demo/", "/simple/"])
async def test_upstreams_serial_is_passed_on(demo, site, path):
    theirs = await site.ask(f"{demo.url}{path}", Accept=JSON)
    for coding in ("gzip", "identity"):
        ours = await site.ask(path, Accept=JSON, Accept_Encoding=coding)
        assert ours.headers["X-PyPI-Last-Serial"] == theirs.headers["X-PyPI-Last-Serial"]
    again = await site.ask(path, Accept=JSON, If_None_Match=ours.headers["ETag"])
    assert again.headers["X-PyPI-Last-Serial"] == theirs.headers["X-PyPI-Last-Serial"]


async def test_no_serial_is_invented(tmp_path):
    with FakePyPI(serials=False, form="html") as pypi:
        pypi.add_project("demo")
        pypi.fault("/simple/demo/", Fault(body=b"<!DOCTYPE html><title>Links for demo</title>"))
        async with serving(pypi.simple, tmp_path) as site:
            assert "X-PyPI-Last-Serial" not in (await site.ask("/simple/demo/", Accept=JSON)).headers


async def test_the_same_page_for_every_client(demo, site):
    agents = [None, PIP, "uv/0.13.8 {", "poetry/2.5", "curl/8", "pip/26 [1, 2]", "x" * 100_000, "uv/1 " + "[" * 50_000]
    bodies = {
        (await site.ask("/simple/demo/", Accept=JSON, **({"User_Agent": agent} if agent else {}))).body
        for agent in agents
    }
    assert len(bodies) == 1


async def test_a_hundred_clients_of_a_cold_page_are_one_question_to_upstream(demo, tmp_path):
    gate = Gate()
    demo.fault("/simple/demo/", Fault(times=1, gate=gate))
    async with serving(demo.simple, tmp_path, upstream__page_ttl=60) as site:
        asking = [asyncio.ensure_future(site.ask("/simple/demo/", Accept=JSON)) for _ in range(100)]
        await asyncio.to_thread(gate.wait_until_reached)
        await asyncio.sleep(0.1)  # time for an answer, which must not come
        assert not any(one.done() for one in asking)
        gate.open()
        answers = await asyncio.gather(*asking)
    assert {(one.status, one.body) for one in answers} == {(200, answers[0].body)}
    assert demo.count("/simple/demo/") == 1


async def test_a_client_that_leaves_takes_nobodys_page_with_it(demo, site):
    gate = Gate()
    demo.fault("/simple/demo/", Fault(times=1, gate=gate))
    leaving = asyncio.ensure_future(site.ask("/simple/demo/", Accept=JSON))
    await asyncio.to_thread(gate.wait_until_reached)
    staying = asyncio.ensure_future(site.ask("/simple/demo/", Accept=JSON))
    await asyncio.sleep(0.05)
    leaving.cancel()
    await asyncio.sleep(0.05)
    gate.open()
    assert (await staying).status == 200
    assert demo.count("/simple/demo/") == 1


async def test_the_front_page_says_how_to_use_it(site):
    answer = await site.ask("/", Host="index.example.org")
    assert answer.status == 200
    assert "--index-url http://index.example.org/simple/" in answer.body.decode()


async def test_the_project_list_in_both_forms(demo, site):
    demo.add_project("other")
    as_json = await site.ask("/simple/", Accept=JSON)
    assert {"demo", "other"} <= {project["name"] for project in json.loads(as_json.body)["projects"]}
    as_html = await site.ask("/simple/", Accept=HTML)
    found = Links(as_html.body).found
    assert urljoin(f"{site.url}simple/", found["demo"]["href"]) == f"{site.url}simple/demo/"
    again = await site.ask("/simple/", Accept=HTML, If_None_Match=as_html.headers["ETag"])
    assert again.status == 304
