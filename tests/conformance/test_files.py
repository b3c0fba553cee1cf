"""Files: upstream's and those that we built."""

from __future__ import annotations

import json

import pytest
from tests.fakes.faults import Fault
from tests.fakes.sdists import pure_sdist
from tests.integration.assembled import JSON

IMMUTABLE = "max-age=365000000, immutable, public"


@pytest.fixture
async def urls(sdist, upstream_wheel, wheel, site):
    """Return the bytes of each kind of file by URL: not kept yet, then kept, and built here."""
    built = f"/built/demo/{wheel.sha256}/{wheel.filename}"
    data = (await site.ask(built)).body
    kept = f"/files/demo/{upstream_wheel.path}"
    return {
        f"/files/demo/{sdist.path}": sdist.content.block,
        kept: upstream_wheel.content.block,
        f"{kept}.metadata": upstream_wheel.metadata,
        built: data,
        f"{built}.metadata": (await site.ask(f"{built}.metadata")).body,
    }


async def test_headers_of_a_file(site, urls):
    for url, data in urls.items():
        for _ in range(2):  # while it arrives, and when it is kept
            answer = await site.ask(url)
            assert (answer.status, answer.body) == (200, data), url
            assert int(answer.headers["Content-Length"]) == len(data)
            assert answer.headers["Accept-Ranges"] == "bytes"
            assert answer.headers["ETag"].startswith('"')
            assert answer.headers["Cache-Control"] == IMMUTABLE
            assert "html" not in answer.headers["Content-Type"]
            assert not {"Content-Disposition", "Content-Encoding", "Age", "Expires"} & set(answer.headers)
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            exposed = {name.strip() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
            assert {"Content-Length", "Content-Range", "Accept-Ranges"} <= exposed


async def test_ranges_begin_and_end_where_they_were_asked_to(site, urls):
    for url, data in urls.items():
        etag = (await site.ask(url, "HEAD")).headers["ETag"]
        for asked, begin, end in (
            ("0-0", 0, 1),
            ("-16384", max(0, len(data) - 16384), len(data)),
            ("7-", 7, len(data)),
            ("3-9", 3, 10),
            (f"3-{len(data) * 2}", 3, len(data)),
        ):
            for condition in ({}, {"If_Range": etag}):
                answer = await site.ask(url, Range=f"bytes={asked}", **condition)
                assert (answer.status, answer.body) == (206, data[begin:end]), (url, asked)
                assert answer.headers["Content-Range"] == f"bytes {begin}-{end - 1}/{len(data)}"
                assert int(answer.headers["Content-Length"]) == end - begin
        for stale in ('"other"', "Sat, 21 Nov 2015 00:00:00 GMT", f"W/{etag}"):
            answer = await site.ask(url, Range="bytes=0-0", If_Range=stale)
            assert (answer.status, answer.body) == (200, data), stale
        beyond = await site.ask(url, Range=f"bytes={len(data)}-")
        assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{len(data)}")


async def test_a_broken_download_is_resumed_where_it_broke(site, urls):
    """What pip sends to go on: the range that is missing, if the file is still the same."""
    for url, data in urls.items():
        first = await site.ask(url)
        rest = await site.ask(url, Range=f"bytes={len(data) // 2}-", If_Range=first.headers["ETag"])
        assert data[: len(data) // 2] + rest.body == data


async def test_a_file_that_is_known_is_304(site, urls):
    for url in urls:
        etag = (await site.ask(url)).headers["ETag"]
        answer = await site.ask(url, If_None_Match=etag)
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", etag)
        assert answer.headers["Cache-Control"] == IMMUTABLE


async def test_nothing_is_conditional_towards_upstream_for_files(pypi, site, urls):
    """PyPI's file host answers no 304."""
    for url in urls:
        await site.ask(url, If_None_Match='"x"', If_Modified_Since="Sat, 21 Nov 2015 00:00:00 GMT")
    for seen in pypi.asked("/packages/*"):
        assert not {"If-None-Match", "If-Modified-Since", "If-Range"} & set(seen.headers)
        assert seen.headers["Accept-Encoding"] == "identity"


async def test_a_path_is_decoded_once(site, upstream_wheel, urls):
    """A plus sign is sent as ``%2B`` by pip and as itself by uv."""
    kept = f"/files/demo/{upstream_wheel.path}"
    for suffix in ("", ".metadata"):
        for same in (kept, kept.replace("+", "%2B"), kept.replace("+", "%2b"), kept.replace("demo-2", "demo%2D2")):
            assert (await site.ask(same + suffix)).body == urls[kept + suffix], same
        for other in (kept.replace("+", "%252B"), kept.replace("+", " ").replace(" ", "%20")):
            assert (await site.ask(other + suffix)).status == 404, other


async def test_a_path_that_upstream_spells_with_percent_signs_is_the_same_file(pypi, site, upstream_wheel):
    spelled = f"{pypi.url}/{upstream_wheel.path}".replace("+", "%2B")
    listed = {"filename": upstream_wheel.filename, "url": spelled, "hashes": {"sha256": upstream_wheel.sha256}}
    body = json.dumps({"meta": {"api-version": "1.0"}, "name": "demo", "files": [listed]}).encode()
    pypi.fault("/simple/demo/", Fault(body=body, content_type=JSON))
    (entry,) = (await site.page("demo"))["files"]
    assert "%2B" in entry["url"]
    for path in (upstream_wheel.path, upstream_wheel.path.replace("+", "%2B")):
        answer = await site.ask(f"/files/demo/{path}")
        assert (answer.status, answer.body) == (200, upstream_wheel.content.block)


async def test_a_query_is_ignored(site, urls):
    for url, data in urls.items():
        for query in ("?x=1", "?", "?a=%2B&b", "?sha256=0"):
            answer = await site.ask(url + query)
            assert (answer.status, answer.body) == (200, data), url + query


async def test_what_can_change_is_never_redirected_for_good(pypi, site, sdist, wheel):
    """A permanent redirect is kept for ever by pip. No file is redirected at all; only names are."""
    for change in (lambda: None, lambda: pypi.remove(sdist.filename), lambda: pypi.quarantine("demo")):
        change()
        for path in (f"/files/demo/{sdist.path}", f"/built/demo/{wheel.sha256}/{wheel.filename}", "/simple/demo/"):
            assert (await site.ask(path)).status in {200, 404}


async def test_a_yanked_file_stays_and_a_removed_one_goes(pypi, site, sdist, wheel):
    paths = (f"/files/demo/{sdist.path}", f"/built/demo/{wheel.sha256}/{wheel.filename}")
    before = [(await site.ask(path)).body for path in paths]
    pypi.yank(sdist.filename, "broken")
    assert [(await site.ask(path)).body for path in paths] == before
    pypi.remove(sdist.filename)
    assert [(await site.ask(path)).status for path in paths] == [404, 404]
    pypi.bring_back(sdist.filename)
    assert [(await site.ask(path)).body for path in paths] == before


async def test_bytes_that_are_not_what_the_page_says_never_arrive_whole(pypi, site):
    file = pypi.add("other", "other-1.0.tar.gz", pure_sdist("other").data)
    pypi.fault("/packages/*", Fault(body=b"<html>an error page</html>"))
    assert (await site.ask(f"/files/other/{file.path}")).status == 502
    pypi.heal()
    assert (await site.ask(f"/files/other/{file.path}")).body == file.content.block
