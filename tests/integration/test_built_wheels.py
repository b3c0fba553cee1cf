"""A built wheel lives and dies with its sdist's listing; its URL stands in lock files."""

from __future__ import annotations

import hashlib
import io
import zipfile
from itertools import pairwise

import pytest
from tests.fakes.faults import Fault
from tests.fakes.sdists import intree_sdist, pure_sdist
from tests.fakes.waiting import until
from tests.fakes.wheels import make_wheel
from tests.integration.assembled import HTML, JSON, serving

SDIST = "demo-1.0.tar.gz"
IMMUTABLE = "max-age=365000000, immutable, public"


@pytest.fixture
def sdist(pypi):
    return pypi.add("demo", SDIST, pure_sdist("demo").data, upload_time="2015-01-02T03:04:05.000006Z")


@pytest.fixture
async def wheel(site, sdist):
    return await site.publish(sdist, requires_python=">=3.8")


def url_of(wheel) -> str:
    return f"/built/{wheel.project}/{wheel.sha256}/{wheel.filename}"


async def test_the_entry_says_what_the_files_are(site, sdist, wheel):
    entry = (await site.listed("demo"))[wheel.filename]
    assert list(entry["hashes"]) == ["sha256"]
    data = (await site.ask(entry["url"])).body
    metadata = (await site.ask(entry["url"] + ".metadata")).body
    assert hashlib.sha256(data).hexdigest() == entry["hashes"]["sha256"]
    assert len(data) == entry["size"]
    assert hashlib.sha256(metadata).hexdigest() == entry["core-metadata"]["sha256"]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read("demo-1.0.dist-info/METADATA") == metadata
    assert entry["upload-time"] == sdist.upload_time
    assert entry["yanked"] is False
    assert "provenance" not in entry
    assert None not in {entry[key] for key in ("size", "upload-time", "yanked", "url", "filename")}
    assert "1.0" in (await site.page("demo"))["versions"]


async def test_the_strict_index_shows_no_built_wheel(site, wheel):
    assert [entry["filename"] for entry in (await site.page("demo", "/upstream"))["files"]] == [SDIST]


async def test_listing_follows_the_sdist_in_the_very_next_answer(pypi, site, wheel):
    url, seen = url_of(wheel), []
    data = (await site.ask(url)).body

    async def look() -> tuple[object, int]:
        answer = await site.ask("/simple/demo/", Accept=JSON)
        seen.append(answer.headers["ETag"])
        entries = {entry["filename"]: entry for entry in answer.json["files"]}
        served = await site.ask(url)
        sidecar = await site.ask(url + ".metadata")
        assert served.status == sidecar.status
        if served.status == 200:
            assert served.body == data
        else:
            assert SDIST in served.sentence
        mark = f"{wheel.filename}</a>".encode()
        in_html = mark in (await site.ask("/simple/demo/", Accept=HTML)).body
        assert in_html == (wheel.filename in entries)
        return entries.get(wheel.filename, {}).get("yanked", "unlisted"), served.status

    assert await look() == (False, 200)
    pypi.yank(SDIST, "broken")
    assert await look() == ("broken", 200)
    pypi.yank(SDIST)
    assert await look() == (True, 200)
    pypi.unyank(SDIST)
    assert await look() == (False, 200)
    pypi.remove(SDIST)
    assert await look() == ("unlisted", 404)
    pypi.bring_back(SDIST)
    assert await look() == (False, 200)
    pypi.replace(SDIST, intree_sdist("demo", "1.0", chatter="other").data)
    assert await look() == ("unlisted", 404)
    pypi.replace(SDIST, pure_sdist("demo").data)
    assert await look() == (False, 200)
    pypi.quarantine("demo")
    assert await look() == ("unlisted", 404)
    pypi.clear("demo")
    assert await look() == (False, 200)
    assert all(before != after for before, after in pairwise(seen))


async def test_a_status_of_quarantined_hides_it_although_the_sdist_is_listed(pypi, site, wheel):
    pypi.projects["demo"].extra["project-status"] = {"status": "quarantined"}
    pypi.projects["demo"].rendered.clear()
    assert wheel.filename not in await site.listed("demo")
    assert (await site.ask(url_of(wheel))).status == 404


async def test_a_project_that_upstream_deletes_takes_its_wheels_along(pypi, site, wheel):
    pypi.remove_project("demo")
    assert (await site.ask("/simple/demo/", Accept=JSON)).status == 404
    assert (await site.ask(url_of(wheel))).status == 404


async def test_upstreams_failure_takes_nothing_away(pypi, site, wheel):
    before = (await site.ask("/simple/demo/", Accept=JSON)).body
    pypi.fault("/simple/demo/", Fault(status=503))
    assert (await site.ask("/simple/demo/", Accept=JSON)).body == before
    assert (await site.ask(url_of(wheel))).status == 200


async def test_a_superseded_wheel_is_not_listed_and_still_served(pypi, site, wheel, tmp_path):
    theirs = make_wheel(tmp_path, name="demo", version="1.0", files={"demo.py": "theirs = True\n"})
    pypi.add("demo", theirs.name, theirs.read_bytes())
    assert theirs.name == wheel.filename
    (entry,) = [entry for entry in (await site.page("demo"))["files"] if entry["filename"] == wheel.filename]
    assert entry["hashes"]["sha256"] == pypi.file(theirs.name).sha256 != wheel.sha256
    assert (await site.ask(url_of(wheel))).status == 200
    pypi.remove(theirs.name)
    assert (await site.listed("demo"))[wheel.filename]["hashes"]["sha256"] == wheel.sha256


async def test_equal_bytes_of_two_sdists_are_served_while_one_is_listed(pypi, site, sdist, wheel):
    zipped = pypi.add("demo", "demo-1.0.zip", pure_sdist("demo", archive=".zip").data)
    again = await site.publish(zipped, requires_python=">=3.8", target="pp39-pypy39_pp73-manylinux_2_36_x86_64")
    assert (again.filename, again.sha256) == (wheel.filename, wheel.sha256)
    pypi.remove(SDIST)
    assert wheel.filename in await site.listed("demo")
    assert (await site.ask(url_of(wheel))).status == 200
    pypi.remove("demo-1.0.zip")
    assert (await site.ask(url_of(wheel))).status == 404


async def test_head_ranges_and_conditions_of_a_built_wheel(site, wheel):
    url, etag = url_of(wheel), f'"{wheel.sha256}"'
    data = (await site.ask(url)).body
    head = await site.ask(url, "HEAD")
    assert (head.status, head.body, int(head.headers["Content-Length"])) == (200, b"", len(data))
    assert head.headers["Cache-Control"] == IMMUTABLE
    for headers, status, body in (
        ({"Range": "bytes=-16384"}, 206, data[-16384:]),
        ({"Range": "bytes=0-0"}, 206, data[:1]),
        ({"Range": "bytes=0-0", "If_Range": '"other"'}, 200, data),
        ({"Range": "bytes=0-0", "If_Range": etag}, 206, data[:1]),
        ({"If_None_Match": etag}, 304, b""),
        ({"Accept_Encoding": "gzip, deflate, zstd"}, 200, data),
    ):
        answer = await site.ask(url, **headers)
        assert (answer.status, answer.body) == (status, body), headers
        assert "Content-Encoding" not in answer.headers
    head = await site.ask(url + ".metadata", "HEAD")
    assert (head.status, head.headers["ETag"]) == (200, f'"{wheel.metadata_sha256}"')


async def test_only_the_exact_url_serves(site, wheel):
    url = url_of(wheel)
    for other in (
        url.replace(wheel.sha256, "0" * 64),
        url.replace(wheel.sha256, wheel.sha256.upper()),
        url.replace(wheel.sha256, wheel.sha256[:-1]),
        url.replace("/demo/", "/other/"),
        url.replace("demo-1.0", "demo-1.1"),
        url.replace(wheel.sha256, wheel.metadata_sha256),
        url + ".metadata.metadata",
        url + "/",
        url + ".asc",
    ):
        answer = await site.ask(other)
        assert answer.status == 404, other
        assert answer.sentence
    for same in (url.replace("-1.0", "%2D1.0"), url + "?x=1"):
        assert (await site.ask(same)).status == 200, same


@pytest.mark.parametrize("damage", ["gone", "cut", "no metadata"])
async def test_bytes_that_are_lost_are_listed_no_longer(site, sdist, wheel, damage):
    digest = wheel.metadata_sha256 if damage == "no metadata" else wheel.sha256
    path = (await site.store.built.open(digest)).path
    path.unlink()
    if damage == "cut":
        path.write_bytes(b"PK")
    answer = await site.ask(url_of(wheel) + (".metadata" if damage == "no metadata" else ""))
    assert answer.status == 404
    assert wheel.filename in answer.sentence
    assert list(await site.listed("demo")) == [SDIST]  # a client that is shown a wheel must get it, or it gives up
    (record,) = await site.store.catalog.audit()
    assert record.action == "lost"
    again = await site.publish(sdist, requires_python=">=3.8")
    assert (again.filename, again.sha256) == (wheel.filename, wheel.sha256)
    assert (await site.ask(url_of(wheel))).status == 200


async def test_it_is_there_after_a_restart_and_gone_after_a_purge(pypi, sdist, tmp_path):
    async with serving(pypi.simple, tmp_path) as site:
        wheel = await site.publish(sdist)
        url = url_of(wheel)
        data = (await site.ask(url)).body
    async with serving(pypi.simple, tmp_path) as site:
        assert (await site.ask(url)).body == data
        assert wheel.filename in await site.listed("demo")
        assert (await site.operate("/api/v1/purge", {"project": "demo"})).status == 200
        assert wheel.filename not in await site.listed("demo")
        answer = await site.ask(url)
        assert answer.status == 404
        assert "purged" in answer.sentence
    async with serving(pypi.simple, tmp_path) as site:
        assert wheel.filename not in await site.listed("demo")


async def test_bytes_without_a_record_are_not_listed_and_go(pypi, sdist, tmp_path):
    """A crash between storing the wheel and recording it (T4)."""
    from buildthrough.proxy.publication import put_bytes

    async with serving(pypi.simple, tmp_path) as site:
        digest = await put_bytes(site.store.built, b"a wheel without its sidecar")
        assert list(await site.listed("demo")) == [SDIST]
    async with serving(pypi.simple, tmp_path) as site:

        async def is_gone():
            return await site.store.built.open(digest) is None

        await until(is_gone)  # it is swept behind the start


async def test_a_new_wheel_is_listed_at_once_whatever_the_ttl(pypi, sdist, tmp_path):
    async with serving(pypi.simple, tmp_path, upstream__page_ttl=3600) as site:
        before = await site.ask("/simple/demo/", Accept=JSON)
        wheel = await site.publish(sdist)
        after = await site.ask("/simple/demo/", Accept=JSON, If_None_Match=before.headers["ETag"])
        assert after.status == 200
        assert wheel.filename.encode() in after.body
        assert pypi.count("/simple/demo/") == 1


async def test_a_plus_in_the_name_in_both_spellings(pypi, site):
    sdist = pypi.add("demo", "demo-1.0+local.1.tar.gz", pure_sdist("demo", "1.0+local.1").data)
    wheel = await site.publish(sdist)
    assert "+" in wheel.filename
    listed = (await site.listed("demo"))[wheel.filename]["url"]
    for url in (listed, url_of(wheel), url_of(wheel).replace("+", "%2B"), url_of(wheel).replace("+", "%2b") + "?x"):
        answer = await site.ask(url)
        assert (answer.status, hashlib.sha256(answer.body).hexdigest()) == (200, wheel.sha256), url
    assert (await site.ask(url_of(wheel).replace("+", "%252B"))).status == 404
    assert (await site.ask(url_of(wheel).replace("+", "%20"))).status == 404
