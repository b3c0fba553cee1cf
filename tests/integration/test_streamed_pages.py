"""A long page that is new here leaves while it arrives: the same bytes, cut where upstream's are, kept in the end."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp
import pytest
from tests.fakes.faults import Fault, Gate
from tests.fakes.sdists import pure_sdist
from tests.integration.assembled import HTML, JSON, serving

from buildthrough.proxy.coding import decode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.pypi import FakePyPI
    from tests.integration.assembled import Site

CACHE = "X-Buildthrough-Cache"
FILES = 1500
HALF = 600_000
NEARLY_ALL = 1_000_000


@pytest.fixture
def long(pypi: FakePyPI) -> FakePyPI:
    """List so many files that the page has a megabyte."""
    for number in range(FILES):
        name = f"long-{number // 20}.{number % 20}-py3-none-any.whl"
        pypi.add(
            "long",
            name,
            b"%d" % number,
            metadata=b"Name: long\n",
            yanked="broken \u00e9\u4e2d" if number == 7 else None,
        )
    pypi.gzip = False
    return pypi


async def whole(site: Site, **headers: str) -> bytes:
    answer = await site.ask("/simple/long/", Accept=JSON, **headers)
    assert answer.status == 200
    return decode(answer.body, answer.headers.get("Content-Encoding", ""), 1 << 30)


@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
async def test_it_begins_to_leave_before_all_of_it_has_come(long: FakePyPI, site: Site, coding: str) -> None:
    gate = Gate()
    long.fault("/simple/long/", Fault(times=1, gate=gate, gate_at=HALF))
    headers = {"Accept": JSON, "Accept-Encoding": coding}
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(f"{site.url}simple/long/", headers=headers) as answer,
    ):
        first = await answer.content.readany()
        assert first
        assert answer.status == 200
        assert answer.headers[CACHE] == "miss"
        assert answer.headers["Content-Type"] == JSON
        assert answer.headers.get("Content-Encoding", "identity") == coding
        assert answer.headers["X-PyPI-Last-Serial"]
        assert "ETag" not in answer.headers
        assert "Content-Length" not in answer.headers
        gate.open()
        body = first + await answer.content.read()
    streamed = decode(body, coding, 1 << 30)
    assert {one["filename"] for one in json.loads(streamed)["files"]} == set(long.projects["long"].files)
    assert all(one["url"].startswith("../../files/long/packages/") for one in json.loads(streamed)["files"])
    kept = await site.ask("/simple/long/", Accept=JSON, Accept_Encoding=coding)
    assert kept.headers["ETag"]
    assert decode(kept.body, coding, 1 << 30) == streamed


async def test_the_tag_of_what_was_streamed_is_that_of_its_bytes(long: FakePyPI, tmp_path: Path) -> None:
    async with serving(long.simple, tmp_path / "streamed", upstream__page_ttl=60) as site:
        await whole(site)
        streamed = await site.ask("/simple/long/", Accept=JSON)
    async with serving(long.simple, tmp_path / "whole", upstream__page_ttl=60) as site:
        await site.ask("/simple/long/", "HEAD", Accept=JSON)
        made = await site.ask("/simple/long/", Accept=JSON)
    assert streamed.headers["ETag"] == made.headers["ETag"]
    assert streamed.body == made.body


async def test_others_who_ask_meanwhile_get_it_whole_and_upstream_is_asked_once(long: FakePyPI, tmp_path: Path) -> None:
    async with serving(long.simple, tmp_path, upstream__page_ttl=60) as site:
        bodies = await asyncio.gather(*(whole(site, Accept_Encoding="gzip") for _ in range(20)))
        assert len(set(bodies)) == 1
        assert len(long.asked("/simple/long/")) == 1


async def test_a_client_that_leaves_ends_nothing(long: FakePyPI, tmp_path: Path) -> None:
    gate = Gate()
    async with serving(long.simple, tmp_path, upstream__page_ttl=60) as site:
        long.fault("/simple/long/", Fault(times=1, gate=gate, gate_at=HALF))
        async with aiohttp.ClientSession() as session:
            answer = await session.get(f"{site.url}simple/long/", headers={"Accept": JSON})
            await answer.content.readany()
            answer.close()
        gate.open()
        assert len(json.loads(await whole(site))["files"]) == FILES
        assert len(long.asked("/simple/long/")) == 1


async def test_where_upstream_breaks_off_once_the_rest_follows(long: FakePyPI, tmp_path: Path) -> None:
    async with serving(long.simple, tmp_path, upstream__page_ttl=60, upstream__retries=1) as site:
        long.fault("/simple/long/", Fault(times=1, cut_at=HALF))
        assert len(json.loads(await whole(site))["files"]) == FILES
        assert len(long.asked("/simple/long/")) == 2


async def test_where_upstream_goes_on_with_another_page_the_connection_is_cut(long: FakePyPI, tmp_path: Path) -> None:
    gate = Gate()
    async with serving(long.simple, tmp_path, upstream__page_ttl=60, upstream__retries=1) as site:
        long.fault("/simple/long/", Fault(times=1, cut_at=HALF, gate=gate, gate_at=HALF - 1000))
        async with site.session.get(f"{site.url}simple/long/", headers={"Accept": JSON}) as begun:
            long.yank("long-0.1-py3-none-any.whl", "changed meanwhile")
            gate.open()
            with pytest.raises(aiohttp.ClientPayloadError):
                await begun.read()
        entries = {one["filename"]: one for one in json.loads(await whole(site))["files"]}
        assert entries["long-0.1-py3-none-any.whl"]["yanked"] == "changed meanwhile"


@pytest.mark.parametrize(
    "fault",
    [Fault(cut_at=HALF), Fault(cut_at=NEARLY_ALL), Fault(short=100), None],
    ids=["cut", "cut near its end", "not the JSON of a page", "silent"],
)
async def test_a_late_fault_cuts_the_connection_and_is_not_kept(
    long: FakePyPI, tmp_path: Path, fault: Fault | None
) -> None:
    gate = Gate()
    silence = {"upstream__read_seconds": 2} if fault is None else {}
    async with serving(long.simple, tmp_path, upstream__page_ttl=60, **silence) as site:
        long.fault("/simple/long/", replace(fault or Fault(), gate=gate, gate_at=HALF - 1000))
        async with site.session.get(f"{site.url}simple/long/", headers={"Accept": JSON}) as begun:
            if fault is not None:
                gate.open()
            with pytest.raises(aiohttp.ClientPayloadError):
                await begun.read()
        gate.open()
        long.heal()
        answer = await site.fresh("/simple/long/", Accept=JSON, Accept_Encoding="identity")
        assert len(answer.json["files"]) == FILES


@pytest.mark.parametrize("accept", [HTML, "text/html"])
async def test_html_and_head_are_answered_whole(long: FakePyPI, site: Site, accept: str) -> None:
    answer = await site.ask("/simple/long/", Accept=accept)
    assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(answer.body)))
    head = await site.ask("/simple/long/", "HEAD", Accept=JSON)
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(await whole(site))


async def test_http_1_0_gets_it_whole(long: FakePyPI, site: Site) -> None:
    head, _, body = (await site.raw(f"GET /simple/long/ HTTP/1.0\r\nAccept: {JSON}\r\n\r\n".encode())).partition(
        b"\r\n\r\n"
    )
    assert b"chunked" not in head.lower()
    assert len(json.loads(body)["files"]) == FILES


async def test_where_wheels_were_built_the_page_is_made_whole(long: FakePyPI, tmp_path: Path) -> None:
    sdist = pure_sdist("long", "99.0")
    file = long.add("long", sdist.filename, sdist.data)
    async with serving(long.simple, tmp_path, upstream__page_ttl=60) as site:
        await site.publish(file)
        names = [one["filename"] for one in json.loads(await whole(site))["files"]]
        assert len(names) == FILES + 2
        assert names[-1].endswith(".whl")


async def test_a_gzipped_page_is_streamed_too(long: FakePyPI, site: Site) -> None:
    long.gzip = True
    answer = await site.ask("/simple/long/", Accept=JSON, Accept_Encoding="gzip")
    assert "ETag" not in answer.headers
    assert len(json.loads(gzip.decompress(answer.body))["files"]) == FILES
