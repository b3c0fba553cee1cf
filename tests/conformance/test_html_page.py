"""Project pages in HTML, passed on and derived from JSON, and JSON derived from HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest
from tests.fakes.faults import Fault
from tests.fakes.pypi import FakePyPI
from tests.fakes.sdists import pure_sdist
from tests.integration.assembled import HTML, JSON, serving

TEXT = "text/html"


class Links(HTMLParser):
    """What a page's meta elements and links say."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.meta: dict[str, str] = {}
        self.found: dict[str, dict[str, str | None]] = {}
        self._open: dict[str, str | None] | None = None
        self.feed(page.decode())

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        if tag == "meta" and "name" in named:
            self.meta[named["name"]] = named["content"]
        self._open = named if tag == "a" else self._open

    def handle_data(self, data):
        if self._open is not None:
            self.found[data] = self._open
            self._open = None


async def ask(site, accept=HTML, path="/simple/demo/"):
    return await site.ask(path, Accept=accept)


async def test_derived_html_says_what_json_says(pypi, site, sdist, upstream_wheel, wheel):
    hostile = {
        "requires-python": ">=3.8,<4,!='3.9',\"x\"",
        "yanked": 'a <b>reason</b> & "more"',
        "provenance": "https://example.org/p?a=1&b=2",
    }
    pypi.add("demo", "demo-0.9.tar.gz", b"old", extra=hostile)
    status = {"status": "archived", "reason": 'no <b>more</b> "time"'}
    pypi.projects["demo"].extra["project-status"] = status
    page = (await ask(site)).body
    assert b"<b>" not in page
    links = Links(page)
    assert links.meta["pypi:repository-version"] == "1.4"
    assert links.meta["pypi:project-status"] == "archived"
    assert links.meta["pypi:project-status-reason"] == status["reason"]
    old = links.found["demo-0.9.tar.gz"]
    assert old["data-requires-python"] == hostile["requires-python"]
    assert old["data-yanked"] == hostile["yanked"]
    assert old["data-provenance"] == hostile["provenance"]
    for entry in (await ask(site, JSON)).json["files"]:
        link = links.found[entry["filename"]]
        assert link["href"] == f"{entry['url']}#sha256={entry['hashes']['sha256']}"
        metadata = entry["core-metadata"]
        expected = f"sha256={metadata['sha256']}" if metadata else None
        assert link.get("data-core-metadata") == link.get("data-dist-info-metadata") == expected
        assert link.get("data-requires-python") == entry.get("requires-python")
        assert ("data-yanked" in link) == bool(entry["yanked"])
    assert wheel.filename in links.found


async def test_a_yank_without_a_reason_is_an_empty_attribute_in_html_and_true_in_json(pypi, tmp_path):
    for form in ("json", "html"):
        with FakePyPI(form=form) as upstream:
            upstream.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data, yanked=True)
            async with serving(upstream.simple, tmp_path / form) as site:
                assert Links((await ask(site)).body).found["demo-1.0.tar.gz"]["data-yanked"] == ""
                (entry,) = (await ask(site, JSON)).json["files"]
                assert entry["yanked"] is True


async def test_json_derived_from_html_has_no_null_and_says_no_more_than_html(tmp_path):
    with FakePyPI(form="html") as upstream:
        upstream.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data, requires_python=">=3.8,<4")
        async with serving(upstream.simple, tmp_path) as site:
            page = (await ask(site, JSON)).json
            (entry,) = page["files"]
    assert page["meta"]["api-version"] == "1.0"  # no sizes, so no later version may be claimed (PEP 700)
    assert None not in entry.values()
    assert entry["requires-python"] == ">=3.8,<4"
    assert not {"size", "upload-time"} & set(entry)


@pytest.mark.parametrize("accept", [HTML, TEXT])
async def test_upstreams_html_passes_but_for_its_links(tmp_path, accept):
    with FakePyPI(form="html") as upstream:
        upstream.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data, requires_python=">=3.8", yanked="a <reason>")
        async with serving(upstream.simple, tmp_path) as site:
            theirs = await site.ask(f"{upstream.simple}demo/", Accept=accept)
            ours = await ask(site, accept)
            assert ours.body == theirs.body.replace(f"{upstream.url}/packages/".encode(), b"../../files/demo/packages/")


@pytest.mark.parametrize(("major", "status"), [("1.7", 200), ("2.0", 502), ("3", 502)])
async def test_an_unknown_major_version_is_refused(pypi, site, major, status):
    body = f'<!DOCTYPE html><meta name="pypi:repository-version" content="{major}"><a href="/x/demo-1.0.zip">z</a>'
    pypi.fault("/simple/demo/", Fault(body=body.encode(), content_type=TEXT))
    pypi.add_project("demo")
    for accept in (HTML, JSON):
        assert (await ask(site, accept)).status == status


async def test_base_href_counts_and_is_not_passed_on_as_it_is(pypi, site):
    """Our own links are relative: a base of upstream's would send them there."""
    file = pypi.add("demo", "demo-1.0.tar.gz", b"the bytes")
    way = file.path.removeprefix("packages/")
    body = f'<!DOCTYPE html><html><head><base href="/packages/"></head><body><a href="{way}#sha256={file.sha256}">'
    pypi.fault("/simple/demo/", Fault(body=f"{body}{file.filename}</a></body></html>".encode(), content_type=TEXT))
    (entry,) = (await ask(site, JSON)).json["files"]
    html = (await ask(site)).body
    link = Links(html).found[file.filename]["href"]
    for url in (entry["url"], link):
        answer = await site.ask(urljoin(f"{site.url}simple/demo/", url).partition("#")[0])
        assert (answer.status, answer.body) == (200, b"the bytes")
    assert b'<base href="/packages/"' not in html


async def test_a_file_without_a_hash_is_kept_by_its_url_and_the_page_says_no_more(tmp_path):
    """No digest of ours is put on the page: a lock file would hold what upstream never said."""
    with FakePyPI(form="html") as files, FakePyPI(form="html") as upstream:
        kept = files.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data)
        spaced = files.add("demo", "Demo 1.0 (final).zip", b"odd")
        links = "".join(
            f'<a href="{files.url}/{file.path.replace(" ", "%20")}">{file.filename}</a>\n' for file in (kept, spaced)
        )
        body = f'<html><body><a href="../">up</a>\n<a href="mailto:x@example.org">mail</a>\n{links}</body></html>'
        upstream.add_project("demo")
        upstream.fault("/simple/demo/", Fault(body=body.encode(), content_type="text/html"))
        async with serving(upstream.simple, tmp_path) as site:
            entries = {entry["filename"]: entry for entry in (await ask(site, JSON)).json["files"]}
            assert set(entries) == {kept.filename, spaced.filename}
            assert [entry["hashes"] for entry in entries.values()] == [{}, {}]
            assert b"sha256" not in (await ask(site)).body
            for file in (kept, spaced):
                url = urljoin(f"{site.url}simple/demo/", entries[file.filename]["url"])
                for _ in range(2):
                    answer = await site.ask(url)
                    assert (answer.status, answer.body) == (200, file.content.block)
                assert files.count(f"/{file.path}") == 1
            assert b"sha256" not in (await ask(site)).body
