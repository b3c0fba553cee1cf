"""PyPI's JSON API behind us: passed on with its addresses pointed here, kept, never taken back."""

from __future__ import annotations

import asyncio
import gzip
import json
from urllib.parse import urljoin

import pytest
from tests.fakes.faults import Fault, Gate
from tests.fakes.pypi import FakePyPI
from tests.fakes.sdists import pure_sdist
from tests.fakes.wheels import make_wheel
from tests.integration.assembled import serving

SDIST = "demo-1.0.tar.gz"
PATHS = ("/pypi/demo/json", "/pypi/demo/1.0/json")


@pytest.fixture
def demo(pypi, tmp_path):
    wheel = make_wheel(tmp_path, name="demo", version="1.0")
    pypi.add("demo", wheel.name, wheel.read_bytes())
    pypi.add("demo", SDIST, pure_sdist("demo").data, yanked="a <reason>")
    return pypi


@pytest.mark.parametrize("path", PATHS)
async def test_only_the_addresses_of_files_are_changed(demo, site, path):
    theirs = await site.ask(f"{demo.url}{path}")
    ours = await site.ask(path)
    assert (ours.status, ours.headers["Content-Type"]) == (200, "application/json")
    ways = f"{demo.url}/packages/".encode(), f"{site.url}files/demo/packages/".encode()
    assert theirs.body.count(ways[0]) == (4 if path == PATHS[0] else 2)
    assert ours.body == theirs.body.replace(*ways)
    assert ours.headers["X-PyPI-Last-Serial"] == theirs.headers["X-PyPI-Last-Serial"]
    assert ours.headers["Access-Control-Allow-Origin"] == "*"
    assert ours.headers["Cache-Control"] == "no-cache"
    for entry in ours.json["urls"]:
        file = await site.ask(entry["url"])
        assert (file.status, len(file.body)) == (200, entry["size"])


async def test_an_address_of_our_own_goes_before_the_hosts(demo, tmp_path):
    async with serving(demo.simple, tmp_path, server__public_url="https://packages.example.org/pypi") as site:
        (first, *_) = (await site.ask(PATHS[0])).json["urls"]
        assert first["url"].startswith("https://packages.example.org/pypi/files/demo/packages/")


@pytest.mark.parametrize("host", ["index.example.org", "index.example.org:8018", "[::1]:80"])
async def test_the_address_that_the_client_knows_us_by(demo, site, host):
    (first, *_) = (await site.ask(PATHS[0], Host=host)).json["urls"]
    assert first["url"].startswith(f"http://{host}/files/demo/packages/")


@pytest.mark.parametrize("host", ['a"b', "a/b", "a@b", "a?b", "a b"])
async def test_a_host_that_is_none(demo, site, host):
    answer = await site.ask(PATHS[0], Host=host)
    assert answer.status == 400
    assert answer.sentence


async def test_etags_codings_and_head(demo, site):
    plain, packed = [await site.ask(PATHS[0], Accept_Encoding=coding) for coding in ("identity", "gzip")]
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert plain.headers["ETag"] != packed.headers["ETag"]
    for answer, coding in ((plain, "identity"), (packed, "gzip")):
        again = await site.ask(PATHS[0], Accept_Encoding=coding, If_None_Match=answer.headers["ETag"])
        assert (again.status, again.body) == (304, b"")
        head = await site.ask(PATHS[0], "HEAD", Accept_Encoding=coding)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == str(len(answer.body))
        assert head.headers["ETag"] == answer.headers["ETag"]


@pytest.mark.parametrize(
    "path", ["/pypi/De_mo/json", "/pypi/De_mo/1.0/json", "/pypi/De_mo/json/", "/pypi/De_mo/1.0/json/"]
)
async def test_one_spelling_of_the_name(demo, site, path):
    demo.add("de-mo", "de_mo-1.0.tar.gz", pure_sdist("de-mo").data)
    moved = await site.ask(path + "?a=b")
    assert moved.status == 301
    target = urljoin(path, moved.headers["Location"])
    assert target == path.rstrip("/").replace("De_mo", "de-mo") + "?a=b"
    assert (await site.ask(target)).json["info"]["name"] == "de-mo"


@pytest.mark.parametrize("path", PATHS)
async def test_a_slash_at_the_end_does_no_harm(demo, site, path):
    assert (await site.ask(f"{path}/")).body == (await site.ask(path)).body


@pytest.mark.parametrize(
    "path", ["/pypi/unknown/json", "/pypi/demo/9/json", "/pypi/-/json", "/pypi/demo/%2e%2e%2fx/json", "/pypi/demo/"]
)
async def test_what_there_is_not(demo, site, path):
    answer = await site.ask(path)
    assert answer.status == 404
    assert answer.sentence
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_an_upstream_without_such_an_api(tmp_path):
    with FakePyPI(form="html", json_api=False) as pypi:
        pypi.add("demo", SDIST, b"data")
        async with serving(pypi.simple, tmp_path) as site:
            answer = await site.ask(PATHS[0])
            assert (answer.status, answer.sentence != "") == (404, True)


async def test_an_index_at_an_address_of_another_form(pypi, tmp_path):
    async with serving(f"{pypi.url}/root/+simple/", tmp_path) as site:
        answer = await site.ask(PATHS[0])
        assert answer.status == 404
        assert "/simple/" in answer.sentence
    assert pypi.requests == []


async def test_yanks_and_quarantines_are_seen_at_once(demo, site):
    assert {one["yanked_reason"] for one in (await site.ask(PATHS[0])).json["urls"]} == {"a <reason>", None}
    demo.unyank(SDIST)
    assert {one["yanked"] for one in (await site.ask(PATHS[0])).json["urls"]} == {False}
    demo.quarantine("demo")
    assert [(await site.ask(path)).status for path in PATHS] == [404, 404]
    demo.clear("demo")
    assert [(await site.ask(path)).status for path in PATHS] == [200, 200]


async def test_it_is_asked_once_by_many(demo, tmp_path):
    gate = Gate()
    demo.fault(PATHS[0], Fault(gate=gate))
    async with serving(demo.simple, tmp_path, upstream__page_ttl=60) as site:
        asking = [asyncio.ensure_future(site.ask(PATHS[0])) for _ in range(20)]
        await asyncio.to_thread(gate.wait_until_reached)
        gate.open()
        answers = await asyncio.gather(*asking)
        assert {answer.status for answer in answers} == {200}
        assert (await site.ask(PATHS[0])).status == 200
        unknown = [await site.ask("/pypi/unknown/json") for _ in range(3)]
        assert {answer.status for answer in unknown} == {404}
    assert (demo.count(PATHS[0]), demo.count("/pypi/unknown/json")) == (1, 1)


async def test_it_is_asked_for_again_with_the_etag(demo, site):
    first = await site.ask(PATHS[0])
    again = await site.ask(PATHS[0])
    assert again.body == first.body
    assert "If-None-Match" in demo.asked(PATHS[0])[-1].headers


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503),
        Fault(drop=True),
        Fault(body=b"<html>", content_type="text/html"),
        Fault(body=b"{"),
        Fault(body=b"\xff"),
        Fault(body=b'{"info": {}, "urls": [1]}'),
        Fault(cut_at=20),
    ],
)
async def test_the_last_good_answer_is_served(demo, tmp_path, fault):
    async with serving(demo.simple, tmp_path) as site:
        good = await site.ask(PATHS[0])
        demo.add("demo", "demo-1.1.tar.gz", b"changed")  # or the fault would be in a 304
        demo.fault("/pypi/*", fault)
        stale = await site.ask(PATHS[0])
        assert (stale.status, stale.body) == (200, good.body)
        assert stale.headers["X-Buildthrough-Cache"].startswith("stale; age=")
        unknown = await site.ask(PATHS[1])
        assert unknown.status in {502, 503}
        assert unknown.sentence
    async with serving(demo.simple, tmp_path) as site:  # from the disk
        stale = await site.ask(PATHS[0], Host=good.json["urls"][0]["url"].split("/")[2])
        assert (stale.status, stale.body) == (200, good.body)


def older(new, **headers):
    """Return what a node that lags behind answers, in place of a 304 as well."""
    old = {"info": {}, "urls": [], "last_serial": int(new.headers["X-PyPI-Last-Serial"]) - 1}
    return old, Fault(status=200, body=json.dumps(old).encode(), headers=headers)


async def test_an_answer_that_is_older_is_not_taken(demo, site):
    new = await site.ask(PATHS[0])
    _, fault = older(new, **{"X-PyPI-Last-Serial": str(int(new.headers["X-PyPI-Last-Serial"]) - 1)})
    demo.fault("/pypi/*", fault)
    again = await site.ask(PATHS[0])
    assert (again.body, again.headers["X-Buildthrough-Cache"]) == (new.body, "hit")
    demo.heal()
    demo.add("demo", "demo-2.0.tar.gz", b"new")
    assert "2.0" in (await site.ask(PATHS[0])).json["releases"]


async def test_an_answer_that_is_older_is_taken_where_the_operator_says_so(demo, tmp_path):
    async with serving(demo.simple, tmp_path, upstream__accept_older_serial="true") as site:
        old, fault = older(await site.ask(PATHS[0]), **{"X-PyPI-Last-Serial": ""})
        demo.fault("/pypi/*", fault)
        assert (await site.ask(PATHS[0])).json == old
