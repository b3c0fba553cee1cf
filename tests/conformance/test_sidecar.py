"""Core metadata beside a wheel (PEP 658, 714)."""

from __future__ import annotations

import hashlib
import io
import zipfile

import pytest
from tests.fakes.faults import Fault
from tests.integration.assembled import JSON

CODINGS = (None, "identity", "gzip, deflate", "zstd,gzip,deflate")


async def test_it_is_the_wheels_own_and_has_the_digest_of_the_page(site, sdist, upstream_wheel, wheel):
    listed = await site.listed("demo")
    for name in (upstream_wheel.filename, wheel.filename):
        entry = listed[name]
        data = (await site.ask(entry["url"])).body
        sidecar = (await site.ask(entry["url"] + ".metadata")).body
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            (inside,) = [one for one in archive.namelist() if one.endswith(".dist-info/METADATA")]
            assert archive.read(inside) == sidecar
        assert hashlib.sha256(sidecar).hexdigest() == entry["core-metadata"]["sha256"]
        assert hashlib.sha256(data).hexdigest() == entry["hashes"]["sha256"]
        assert len(data) == entry["size"]


async def test_files_and_metadata_leave_without_a_coding(site, sdist, upstream_wheel, wheel):
    for entry in (await site.listed("demo")).values():
        urls = [entry["url"]] + ([entry["url"] + ".metadata"] if entry["core-metadata"] else [])
        for url in urls:
            for coding in CODINGS:
                answer = await site.ask(url, **({} if coding is None else {"Accept_Encoding": coding}))
                digest = entry["core-metadata"]["sha256"] if url.endswith(".metadata") else entry["hashes"]["sha256"]
                assert answer.status == 200
                assert "Content-Encoding" not in answer.headers
                assert hashlib.sha256(answer.body).hexdigest() == digest


async def test_upstreams_metadata_with_another_digest_is_not_delivered(pypi, site, upstream_wheel):
    url = f"/files/demo/{upstream_wheel.path}.metadata"
    pypi.fault("/packages/*.metadata", Fault(body=b"Metadata-Version: 2.1\nName: other\n"))
    assert (await site.ask(url)).status == 502
    pypi.heal()
    assert (await site.ask(url)).body == upstream_wheel.metadata


async def test_an_sdist_has_none(pypi, site, sdist):
    (entry,) = (await site.page("demo"))["files"]
    assert entry["core-metadata"] is False
    assert (await site.ask(f"/files/demo/{sdist.path}.metadata")).status == 404


@pytest.mark.parametrize("lost", ["wheel", "metadata"])
async def test_a_wheel_is_listed_only_while_both_are_there(site, sdist, wheel, lost):
    """A client that is shown metadata and gets none gives up: it tries neither the wheel nor the sdist."""
    blob = await site.store.built.open(wheel.sha256 if lost == "wheel" else wheel.metadata_sha256)
    blob.path.unlink()
    suffix = ".metadata" if lost == "metadata" else ""
    assert (await site.ask(f"/built/demo/{wheel.sha256}/{wheel.filename}{suffix}")).status == 404
    answer = await site.ask("/simple/demo/", Accept=JSON)
    assert [entry["filename"] for entry in answer.json["files"]] == [sdist.filename]
    other = "" if lost == "metadata" else ".metadata"
    assert (await site.ask(f"/built/demo/{wheel.sha256}/{wheel.filename}{other}")).status == 404


async def test_both_go_in_one_purge(site, sdist, wheel):
    url = f"/built/demo/{wheel.sha256}/{wheel.filename}"
    assert (await site.operate("/api/v1/purge", {"project": "demo"})).status == 200
    assert wheel.filename not in await site.listed("demo")
    assert [(await site.ask(url + suffix)).status for suffix in ("", ".metadata")] == [404, 404]
