"""Pages outlive a restart and a small memory, and are asked for again with their ETag."""

from __future__ import annotations

import os

import pytest
from tests.integration.assembled import JSON, serving


@pytest.fixture
def projects(pypi) -> list[str]:
    names = [f"p{n}" for n in range(6)]
    for name in names:
        for minor in range(20):
            pypi.add(name, f"{name}-1.{minor}.tar.gz", os.urandom(16))
    return names


async def test_a_restart_asks_with_the_etag_and_gives_the_same_answer(pypi, projects, tmp_path):
    async with serving(pypi.simple, tmp_path) as site:
        before = await site.ask("/simple/p0/", Accept=JSON)
    async with serving(pypi.simple, tmp_path) as site:
        after = await site.ask("/simple/p0/", Accept=JSON, If_None_Match=before.headers["ETag"])
    assert after.status == 304
    assert after.headers["X-PyPI-Last-Serial"] == before.headers["X-PyPI-Last-Serial"]
    assert ["If-None-Match" in seen.headers for seen in pypi.asked("/simple/p0/")] == [False, True]


async def test_a_restart_within_the_ttl_asks_nothing(pypi, projects, tmp_path):
    async with serving(pypi.simple, tmp_path, upstream__page_ttl=3600) as site:
        before = await site.ask("/simple/p0/", Accept=JSON)
    async with serving(pypi.simple, tmp_path, upstream__page_ttl=3600) as site:
        assert (await site.ask("/simple/p0/", Accept=JSON)).body == before.body
    assert pypi.count("/simple/p0/") == 1


async def test_a_small_memory_is_only_slower(pypi, projects, tmp_path):
    async with serving(pypi.simple, tmp_path, upstream__page_ttl=3600, storage__memory_bytes=20_000) as site:
        first = {name: (await site.ask(f"/simple/{name}/", Accept=JSON)).body for name in projects}
        for _ in range(2):
            for name in projects:
                assert (await site.ask(f"/simple/{name}/", Accept=JSON)).body == first[name]
        await site.tells('buildthrough_pages_total{reason="stored"} 12.0')
    assert pypi.count("/simple/p*/") == len(projects)


async def test_a_damaged_store_is_made_anew(pypi, projects, tmp_path):
    async with serving(pypi.simple, tmp_path) as site:
        before = await site.ask("/simple/p0/", Accept=JSON)
    for path in (tmp_path / "data" / "pages").rglob("*"):
        if path.is_file():
            path.write_bytes(b"nonsense" * 1000)
    async with serving(pypi.simple, tmp_path) as site:
        assert (await site.ask("/simple/p0/", Accept=JSON)).body == before.body


async def test_a_change_upstream_while_the_server_was_away_is_seen(pypi, projects, tmp_path):
    async with serving(pypi.simple, tmp_path) as site:
        await site.ask("/simple/p0/", Accept=JSON)
    pypi.yank("p0-1.0.tar.gz", "bad")
    async with serving(pypi.simple, tmp_path) as site:
        assert (await site.listed("p0"))["p0-1.0.tar.gz"]["yanked"] == "bad"


async def test_an_upstream_without_etags_is_asked_each_time(tmp_path):
    from tests.fakes.pypi import FakePyPI

    with FakePyPI(etags=False) as pypi:
        pypi.add("demo", "demo-1.0.tar.gz", b"x")
        async with serving(pypi.simple, tmp_path) as site:
            first = await site.ask("/simple/demo/", Accept=JSON)
            again = await site.ask("/simple/demo/", Accept=JSON, If_None_Match=first.headers["ETag"])
            assert again.status == 304
            pypi.yank("demo-1.0.tar.gz")
            assert (await site.listed("demo"))["demo-1.0.tar.gz"]["yanked"] is True
