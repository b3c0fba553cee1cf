"""Headers of pages and refusals: methods, caching, CORS, serials, what goes upstream."""

from __future__ import annotations

import email.utils
import re
import time

import pytest
from tests.fakes.faults import Fault
from tests.integration.assembled import HTML, JSON, PIP, serving

DATED = "/at/2025-01-01T00:00:00Z/simple/demo/"
PAGES = ("/simple/demo/", "/simple/", "/upstream/simple/demo/", "/upstream/simple/", DATED)
JSON_API = ("/pypi/demo/json", "/pypi/demo/1.0/json")
CORS = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "X-PyPI-Last-Serial"}
VARYING = {"Date", "Cache-Status", "X-Buildthrough-Cache"}


def files_of(sdist, upstream_wheel, wheel):
    built = f"/built/demo/{wheel.sha256}/{wheel.filename}"
    kept = f"/files/demo/{upstream_wheel.path}"
    return (f"/files/demo/{sdist.path}", kept, f"{kept}.metadata", built, f"{built}.metadata")


async def test_head_says_what_get_says(site, sdist, upstream_wheel, wheel):
    addresses = [
        *PAGES,
        *JSON_API,
        *files_of(sdist, upstream_wheel, wheel),
        "/",
        "/health/live",
        "/simple/Demo",
        "/simple/no/",
    ]
    for path in [*addresses, f"/files/demo/{sdist.path}.no", "/nowhere"]:
        for coding in ("identity", "gzip"):
            get = await site.ask(path, Accept=JSON, Accept_Encoding=coding)
            head = await site.ask(path, "HEAD", Accept=JSON, Accept_Encoding=coding)
            assert (head.status, head.body) == (get.status, b""), path
            assert int(head.headers["Content-Length"]) == len(get.body), path
            same = {name: value for name, value in get.headers.items() if name not in VARYING}
            assert {name: value for name, value in head.headers.items() if name not in VARYING} == same, path


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_other_methods_are_405_and_allow_says_which_are_not(site, sdist, upstream_wheel, wheel, method):
    for path in [*PAGES, *JSON_API, *files_of(sdist, upstream_wheel, wheel), "/"]:
        answer = await site.ask(path, method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS"), path
        assert answer.sentence


async def test_an_upload_is_405(site):
    """What twine and others would send to an index."""
    for path in ("/", "/legacy/"):
        answer = await site.ask(path, "POST", data=b"--x--", Content_Type="multipart/form-data; boundary=x")
        assert answer.status == 405
        assert "upload" in answer.sentence


async def test_a_browser_may_ask_before_it_asks(site, sdist, upstream_wheel, wheel):
    for path in [*PAGES, *JSON_API, *files_of(sdist, upstream_wheel, wheel)]:
        answer = await site.ask(
            path, "OPTIONS", Origin="https://example.org", Access_Control_Request_Headers="if-none-match"
        )
        assert (answer.status, answer.body) == (204, b""), path
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Allow-Methods"] == "GET"
        assert answer.headers["Access-Control-Max-Age"] == "86400"
        allowed = answer.headers["Access-Control-Allow-Headers"].lower()
        for name in ("content-type", "if-match", "if-modified-since", "if-none-match", "if-unmodified-since"):
            assert name in allowed
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


async def test_every_answer_of_the_index_may_be_read_by_a_browser(pypi, site, sdist):
    for path, status in (("/simple/demo/", 200), ("/simple/", 200), ("/simple/Demo/", 301), ("/simple/no/", 404)):
        answer = await site.ask(path, Accept=JSON)
        assert answer.status == status
        assert CORS.items() <= answer.headers.items(), path
    pypi.fault("/simple/*", Fault(status=503))
    answer = await site.ask("/simple/other/", Accept=JSON)
    assert answer.status == 503
    assert CORS.items() <= answer.headers.items()


@pytest.mark.parametrize("path", PAGES)
async def test_each_representation_and_coding_has_a_strong_etag_of_its_own(site, sdist, wheel, path):
    bodies: dict[str, set[bytes]] = {}
    for accept in (JSON, HTML):
        for coding in (None, "identity", "gzip", "gzip, deflate", "zstd", "gzip, deflate, zstd", "br;q=1, *;q=0"):
            asked = {"Accept": accept} | ({} if coding is None else {"Accept_Encoding": coding})
            answer = await site.ask(path, **asked)
            etag = answer.headers["ETag"]
            assert re.fullmatch(r'"[\x21\x23-\x7e]+"', etag), etag
            bodies.setdefault(etag, set()).add(answer.body)
            assert {"accept", "accept-encoding"} <= {name.strip().lower() for name in answer.headers["Vary"].split(",")}
            assert answer.headers.get("Content-Encoding", "identity") in f"identity, {coding}"
    assert len(bodies) >= 4
    assert all(len(same) == 1 for same in bodies.values())


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("accept", [JSON, HTML])
async def test_304_repeats_the_etag_and_has_no_body(site, sdist, wheel, path, accept):
    for coding in ("identity", "gzip, deflate", "gzip, deflate, zstd"):
        first = await site.ask(path, Accept=accept, Accept_Encoding=coding)
        for method in ("GET", "HEAD"):
            again = await site.ask(
                path, method, Accept=accept, Accept_Encoding=coding, If_None_Match=first.headers["ETag"]
            )
            assert (again.status, again.body) == (304, b"")
            for name in ("ETag", "Vary", "Cache-Control", "X-PyPI-Last-Serial", "Access-Control-Allow-Origin"):
                assert again.headers[name] == first.headers[name], name
            assert "Content-Encoding" not in again.headers


async def test_an_etag_of_another_form_or_coding_is_not_taken_for_this_one(site, sdist):
    plain = await site.ask("/simple/demo/", Accept=JSON, Accept_Encoding="identity")
    for accept, coding in ((JSON, "gzip"), (HTML, "identity"), (HTML, "gzip")):
        other = await site.ask(
            "/simple/demo/", Accept=accept, Accept_Encoding=coding, If_None_Match=plain.headers["ETag"]
        )
        assert other.status == 200


@pytest.mark.parametrize("path", [*PAGES, *JSON_API])
async def test_pages_are_revalidated_and_nothing_else_says_how_fresh_they_are(pypi, site, sdist, path):
    """Not even what upstream said: its Age and Date are those of its own answer."""
    old = {"Date": "Sat, 01 Jan 2000 00:00:00 GMT", "Age": "7000", "Last-Modified": "Sat, 01 Jan 2000 00:00:00 GMT"}
    for pattern in ("/simple/*", "/pypi/*"):
        pypi.fault(pattern, Fault(headers=old))
    for _ in range(2):
        began = time.time()
        answer = await site.ask(path, Accept=JSON)
        assert answer.headers["Cache-Control"] == "no-cache"
        assert not {"Age", "Last-Modified", "Expires", "Pragma", "Set-Cookie"} & set(answer.headers)
        said = email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()
        assert began - 2 < said < time.time() + 1


async def test_the_serial_is_upstreams_with_and_without_our_wheels(pypi, site, sdist, wheel):
    for path in ("/simple/demo/", "/simple/"):
        theirs = await site.ask(f"{pypi.url}{path}", Accept=JSON)
        ours = await site.ask(path, Accept=JSON)
        assert ours.headers["X-PyPI-Last-Serial"] == theirs.headers["X-PyPI-Last-Serial"]
        assert ours.json["meta"]["_last-serial"] == theirs.json["meta"]["_last-serial"]
    in_html = (await site.ask("/simple/demo/", Accept=HTML)).body
    serial = (await site.ask("/simple/demo/", Accept=JSON)).headers["X-PyPI-Last-Serial"]
    assert in_html.rstrip().endswith(f"<!--SERIAL {serial}-->".encode())


@pytest.mark.parametrize("status", [401, 403, 407, 429, 500, 503, 599])
async def test_upstreams_refusal_is_neither_not_found_nor_the_clients_fault(pypi, site, status):
    """403 is what PyPI says where it is asked without TLS. Passed on, 404 or 403 would send clients elsewhere."""
    pypi.fault("/simple/*", Fault(status=status, headers={"Retry-After": "Fri, 31 Dec 2099 23:59:59 GMT"}))
    for path in ("/simple/demo/", "/simple/"):
        answer = await site.ask(path, Accept=JSON)
        assert answer.status in {502, 503}
        assert answer.sentence
        assert "WWW-Authenticate" not in answer.headers
        assert re.fullmatch("[0-9]+", answer.headers.get("Retry-After", "0")), "poetry reads whole seconds only"


async def test_missing_credentials_are_401_with_a_challenge(site):
    """Only operations need credentials; the index itself has none to ask for."""
    answer = await site.ask("/api/v1/purge", "POST", data=b'{"project": "demo"}')
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_upstream_sees_us_and_not_our_clients(pypi, tmp_path, sdist):
    async with serving(pypi.simple, tmp_path, upstream__user_agent_contact="admin@example.org") as site:
        for _ in range(2):
            headers = {"User_Agent": PIP, "Cookie": "a=b", "Authorization": "Basic eDp5", "X_Forwarded_For": "10.0.0.1"}
            await site.ask("/simple/demo/", Accept=JSON, **headers)
            await site.ask(f"/files/demo/{sdist.path}", **headers)
    first, second = pypi.asked("/simple/demo/")[0], pypi.asked("/simple/demo/")[-1]
    for seen in pypi.requests:
        assert re.fullmatch(r"buildthrough/[0-9][^ ]* \(admin@example\.org\)", seen.headers["User-Agent"])
        assert not {"Cookie", "Authorization", "X-Forwarded-For"} & set(seen.headers)
    assert "If-None-Match" not in first.headers
    assert "If-None-Match" in second.headers
    assert pypi.count("/packages/*") == 1
