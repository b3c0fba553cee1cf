"""Whoever comes to a download after it failed is told so, and does not read what is gone."""

from __future__ import annotations

import hashlib

import pytest
from tests.fakes.upstream import FakeUpstream

from buildthrough.proxy.blobs import LocalBlobs
from buildthrough.proxy.download import Download, Ways
from buildthrough.proxy.errors import UpstreamInvalid
from buildthrough.proxy.places import Places
from buildthrough.proxy.reading import Reading
from buildthrough.proxy.resource import Resource

URL = "http://example.org/demo-1.0.tar.gz"


async def test_a_reader_that_begins_after_the_release_gets_the_fault(tmp_path):
    upstream, blobs = FakeUpstream(), await LocalBlobs.opened(tmp_path)
    upstream.files[URL] = bytes(500_000)
    hashes = {"sha256": hashlib.sha256(b"something else").hexdigest()}
    places = Places(each=1, total=1)
    ways = Ways(upstream=upstream, max_bytes=1 << 30, aside=places, passing=places)
    download = Download(Resource(key="k", url=URL, hashes=hashes, size=None), blobs.writer(), ways)
    with pytest.raises(UpstreamInvalid):
        await download.fetch()
    await download.release()
    with pytest.raises(UpstreamInvalid):
        await download.begun()
    with pytest.raises(UpstreamInvalid):
        await anext(Reading(download).pieces())
    assert list(tmp_path.rglob("tmp*")) == []


async def test_dropped_bytes_cannot_be_read(tmp_path):
    writer = (await LocalBlobs.opened(tmp_path)).writer()
    await writer.write(b"x")
    await writer.close()
    with pytest.raises(ValueError, match="dropped"):
        await writer.read(0, 1)
