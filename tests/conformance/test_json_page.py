"""Project pages in JSON: what upstream said, and what is added to it."""

from __future__ import annotations

import json
import re
from urllib.parse import urljoin

import aiohttp
import pytest
from tests.fakes.faults import Fault
from tests.integration.assembled import JSON

SHA = "5d" * 32


def page_of(*files, **keys):
    """Return a page in which no two things are written alike: its bytes must survive."""
    head = {"meta": {"api-version": "1.4", "_last-serial": 7, "later": 1e3}, "name": "demo", "later": [None, 1.5]}
    return json.dumps(head | keys | {"files": list(files)}, indent=1, ensure_ascii=False).encode()


def entry(filename="demo-1.0.tar.gz", **keys):
    return {"filename": filename, "url": f"http://127.0.0.1:1/packages/{filename}", "hashes": {"sha256": SHA}} | keys


def says(pypi, body, **more):
    """Let upstream answer with these bytes."""
    pypi.add_project("demo")
    pypi.fault("/simple/demo/", Fault(body=body, content_type=JSON, **more))


async def ask(site, path="/simple/demo/"):
    return await site.ask(path, Accept=JSON)


@pytest.mark.parametrize(
    "body",
    [
        b'{"files":[],"meta":{"api-version":"1.0"},"name":"demo"}',
        b' {"name": "demo" ,\n\t"meta":{"api-version":"1.4","_x":null},"files":[ ] ,"n":1.5,"e":"\\u00e9\xc3\xa9"}\r\n',
        page_of(versions=[], **{"project-status": {"status": "active"}, "alternate-locations": []}),
    ],
)
async def test_a_page_with_nothing_to_change_is_the_same_bytes(pypi, site, body):
    says(pypi, body)
    assert (await ask(site)).body == body


async def test_only_the_urls_of_files_differ(pypi, site, sdist, upstream_wheel):
    theirs = await site.ask(f"{pypi.simple}demo/", Accept=JSON)
    ours = await ask(site)
    assert ours.body == theirs.body.replace(f"{pypi.url}/packages/".encode(), b"../../files/demo/packages/")


async def test_unknown_keys_nulls_numbers_and_escapes_survive_beside_an_addition(pypi, site, sdist):
    theirs = (await site.ask(f"{pypi.simple}demo/", Accept=JSON)).body
    wheel = await site.publish(sdist)
    ours = (await ask(site)).body
    expected = theirs.replace(f"{pypi.url}/packages/".encode(), b"../../files/demo/packages/")
    (added,) = re.findall(rb',?\{"filename":"%b".*?\}(?=\])' % re.escape(wheel.filename.encode()), ours)
    assert ours.replace(added, b"") == expected
    assert b"1000.0" in ours  # as upstream wrote it
    assert b"\\u00e9\\u4e2d" in ours


async def test_hashes_keep_their_order_and_names(pypi, site):
    hashes = f'{{"zeta":"00","sha256":"{SHA}","md5":"d41d8cd98f00b204e9800998ecf8427e"}}'
    body = page_of(entry(hashes={"X": 1})).replace(b'{\n    "X": 1\n   }', hashes.encode())
    assert hashes.encode() in body
    says(pypi, body)
    assert hashes.encode() in (await ask(site)).body


async def test_the_order_of_files_is_upstreams_and_additions_come_last(pypi, site, sdist):
    names = ["demo-3.0.tar.gz", "demo-1.0.tar.gz", "demo-2.0.tar.gz"]
    wheel = await site.publish(sdist)
    listed = [entry(name, hashes={"sha256": sdist.sha256 if name == sdist.filename else SHA}) for name in names]
    pypi.fault("/simple/demo/", Fault(body=page_of(*listed), content_type=JSON))
    assert [one["filename"] for one in (await ask(site)).json["files"]] == [*names, wheel.filename]


async def test_an_added_wheel_says_all_that_clients_read(site, sdist, wheel):
    entries = {one["filename"]: one for one in (await ask(site)).json["files"]}
    added = entries[wheel.filename]
    assert list(added["hashes"].items()) == [("sha256", wheel.sha256)]
    assert re.fullmatch("[0-9a-f]{64}", wheel.sha256)
    assert added["size"] == wheel.size
    assert added["core-metadata"] == {"sha256": wheel.metadata_sha256}
    assert added["upload-time"] == sdist.upload_time
    assert added["requires-python"] == ">=3.8"
    assert added["yanked"] is False
    assert not {"provenance", "gpg-sig", "dist-info-metadata"} & set(added)


@pytest.mark.parametrize(
    "stated", [{"upload-time": None, "requires-python": None, "size": None, "provenance": None}, {}]
)
async def test_an_added_wheel_has_no_null_whatever_its_sdist_has(pypi, site, sdist, stated):
    """One null of these, and uv refuses the whole page."""
    await site.publish(sdist)
    listed = entry(hashes={"sha256": sdist.sha256}) | stated
    pypi.fault("/simple/demo/", Fault(body=page_of(listed, versions=["1.0"]), content_type=JSON))
    theirs, added = (await ask(site)).json["files"]
    assert {key: theirs[key] for key in stated} == stated  # upstream's own nulls are upstream's
    assert None not in added.values()


async def test_the_version_of_an_added_wheel_is_listed_once(pypi, site, sdist, wheel):
    page = (await ask(site)).json
    assert page["versions"] == ["1.0"]
    listed = entry(hashes={"sha256": sdist.sha256})
    for versions, expected in ([], ["1.0"]), (["0.9"], ["0.9", "1.0"]), (["1.0.0"], ["1.0.0"]):
        pypi.heal()
        pypi.fault("/simple/demo/", Fault(status=200, body=page_of(listed, versions=versions), content_type=JSON))
        assert (await ask(site)).json["versions"] == expected


@pytest.mark.parametrize("key", ["core-metadata", "dist-info-metadata", "data-dist-info-metadata"])
async def test_each_name_of_core_metadata_is_understood_and_none_is_rewritten(pypi, site, upstream_wheel, key):
    listed = entry(upstream_wheel.filename, url=f"{pypi.url}/{upstream_wheel.path}", **{key: True})
    pypi.fault("/simple/demo/", Fault(body=page_of(listed), content_type=JSON))
    (ours,) = (await ask(site)).json["files"]
    assert {one for one in ours if "metadata" in one} == {key}
    sidecar = await site.ask(urljoin(f"{site.url}simple/demo/", ours["url"]) + ".metadata")
    assert (sidecar.status, sidecar.body) == (200, upstream_wheel.metadata)


async def test_an_empty_reason_counts_as_yanked_for_what_we_add(pypi, site, sdist):
    """Not yanked for pip, yanked for uv: upstream's entry is left as it is, ours is careful."""
    await site.publish(sdist)
    listed = entry(hashes={"sha256": sdist.sha256}, yanked="")
    pypi.fault("/simple/demo/", Fault(body=page_of(listed), content_type=JSON))
    theirs, ours = (await ask(site)).json["files"]
    assert theirs["yanked"] == ""
    assert ours["yanked"] is True


@pytest.mark.parametrize("version", ["1.0", "1.4", "1.99"])
async def test_a_newer_minor_version_passes(pypi, site, version):
    body = page_of(meta={"api-version": version})
    says(pypi, body)
    assert (await ask(site)).body == body


@pytest.mark.parametrize("version", ["2.0", "2", "0.9", "10.0"])
async def test_an_unknown_major_version_is_refused(pypi, site, sdist, version):
    before = await ask(site)
    pypi.fault("/simple/*", Fault(status=200, body=page_of(meta={"api-version": version}), content_type=JSON))
    stale = await ask(site)
    assert (stale.status, stale.body) == (200, before.body)
    refused = await site.ask("/simple/other/", Accept=JSON)
    assert refused.status == 502
    assert version in refused.sentence


async def test_an_unknown_major_version_behind_a_long_list_of_files_is_never_a_whole_page(pypi, site):
    """A long page begins to leave before its end is known; then only a broken connection can say so."""
    listed = [entry(f"demo-{number}.tar.gz", later="x" * 500) for number in range(4000)]
    body = json.dumps({"files": listed, "name": "demo", "meta": {"api-version": "2.0"}}).encode()
    says(pypi, body)
    for _ in range(2):
        try:
            assert (await ask(site)).status == 502
        except aiohttp.ClientPayloadError:
            continue


async def test_a_long_page_has_the_headers_of_any_other(pypi, site):
    listed = [entry(f"demo-{number}.tar.gz", later="x" * 500) for number in range(4000)]
    says(pypi, page_of(*listed), headers={"X-PyPI-Last-Serial": "7"})
    answers = [await ask(site) for _ in range(2)]
    for answer in answers:
        assert (answer.status, answer.headers["Content-Type"]) == (200, JSON)
        assert answer.headers["Vary"] == "Accept, Accept-Encoding"
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["X-PyPI-Last-Serial"] == "7"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert len(answer.json["files"]) == 4000
    assert answers[0].body == answers[1].body
    assert answers[1].headers["ETag"].startswith('"')


async def test_what_no_client_uses_yet_passes(pypi, site):
    """PEP 708's keys, wheel variants, names of files that no standard knows."""
    names = [
        "demo-1.0-py3-none-any-x86_64_v3.whl",
        "demo-1.0-py3-none-any-00000000.whl",
        "demo-1.0.whlx",
        "demo 1.0 final.tar.gz",
        "demo-1.0.tar.zst",
        "Demo.Old-1.0-py2.7.egg",
        "demo-1.0.win-amd64-py2.7.exe",
        "démo-1.0.tar.gz",
    ]
    listed = [entry(name, provenance="https://example.org/p", variants={"x": ["y"]}) for name in names]
    tracks = {"api-version": "1.2", "tracks": ["https://example.org/simple/demo/"]}
    elsewhere = {"alternate-locations": ["https://example.org/simple/demo/"]}
    says(pypi, page_of(*listed, meta=tracks, variants={"a": {}}, **elsewhere))
    page = (await ask(site)).json
    assert (page["meta"], page["alternate-locations"]) == (tracks, elsewhere["alternate-locations"])
    assert [one["filename"] for one in page["files"]] == names
    assert all(
        one["provenance"] == "https://example.org/p" and one["variants"] == {"x": ["y"]} for one in page["files"]
    )


async def test_provenance_passes_and_is_never_given_to_our_wheels(pypi, site, sdist):
    wheel = await site.publish(sdist)
    given = "https://example.org/integrity/demo/1.0/demo-1.0.tar.gz/provenance"
    listed = entry(hashes={"sha256": sdist.sha256}, provenance=given, **{"gpg-sig": False})
    pypi.fault("/simple/demo/", Fault(body=page_of(listed), content_type=JSON))
    theirs, ours = (await ask(site)).json["files"]
    assert (theirs["provenance"], theirs["gpg-sig"]) == (given, False)
    assert ours["filename"] == wheel.filename
    assert not {"provenance", "gpg-sig"} & set(ours)


async def test_urls_end_in_the_file_name_and_carry_no_query(pypi, site, upstream_wheel, wheel):
    """The name is taken from the URL by pip, which also puts `.metadata` behind the query where there is one."""
    path = f"{pypi.url}/{upstream_wheel.path}"
    listed = entry(upstream_wheel.filename, url=f"{path}?token=1", hashes={"sha256": upstream_wheel.sha256})
    pypi.fault("/simple/demo/", Fault(body=page_of(listed), content_type=JSON, times=1))
    (ours,) = (await ask(site)).json["files"]
    assert "?" not in ours["url"]
    for one in [ours, *(await ask(site)).json["files"]]:
        assert one["url"].rpartition("/")[2].replace("%2B", "+") == one["filename"]


async def test_a_url_that_does_not_end_in_the_name_stays_upstreams(pypi, site):
    listed = entry("demo-1.0.tar.gz", url="blobs/5d5d")
    says(pypi, page_of(listed))
    (ours,) = (await ask(site)).json["files"]
    assert ours["url"] == f"{pypi.simple}demo/blobs/5d5d"


@pytest.mark.parametrize(
    "url", ["../../packages/{}", "/packages/{}", "//127.0.0.1:PORT/packages/{}", "x/../../../packages/{}"]
)
async def test_relative_urls_are_relative_to_where_upstreams_page_was_found(pypi, site, url):
    """Behind a redirect that is another place than the one that was asked for."""
    data = b"the bytes"
    file = pypi.add("demo", "demo-1.0.tar.gz", data)
    way = url.format(file.path.removeprefix("packages/")).replace("PORT", pypi.simple.split(":")[2].split("/")[0])
    listed = entry(url=way, hashes={"sha256": file.sha256})
    pypi.add_project("moved")
    pypi.fault("/simple/demo/", Fault(redirect=f"{pypi.simple}moved/"))
    pypi.fault("/simple/moved/", Fault(body=page_of(listed), content_type=JSON))
    (ours,) = (await ask(site)).json["files"]
    answer = await site.ask(urljoin(f"{site.url}simple/demo/", ours["url"]))
    assert (answer.status, answer.body) == (200, data)
