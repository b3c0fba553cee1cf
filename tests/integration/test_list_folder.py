"""The project list lies on the disk: kept over a restart, the same in every coding, and no damage to it hurts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.fakes.faults import Fault
from tests.fakes.waiting import until
from tests.integration.assembled import HTML, JSON, serving

from buildthrough.proxy.coding import decode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.pypi import FakePyPI
    from tests.integration.assembled import Answer, Site

PROJECTS = 3000


@pytest.fixture
def many(pypi: FakePyPI) -> FakePyPI:
    """List many projects."""
    for number in range(PROJECTS):
        pypi.add_project(f"project-{number}")
    return pypi


def text(answer: Answer) -> bytes:
    return decode(answer.body, answer.headers.get("Content-Encoding", ""), 1 << 30)


async def listed(site: Site, accept: str = JSON, coding: str = "identity", **headers: str) -> Answer:
    answer = await site.ask("/simple/", Accept=accept, Accept_Encoding=coding, **headers)
    assert answer.status in {200, 304}, answer
    return answer


@pytest.mark.parametrize("accept", [JSON, HTML])
async def test_each_coding_is_the_same_list_with_a_tag_of_its_own(many: FakePyPI, site: Site, accept: str) -> None:
    answers = [await listed(site, accept, coding) for coding in ("identity", "gzip", "zstd")]
    assert len({text(one) for one in answers}) == 1
    assert len({one.headers["ETag"] for one in answers}) == 3
    assert [one.headers.get("Content-Encoding") for one in answers] == [None, "gzip", "zstd"]
    for coding, one in zip(("identity", "gzip", "zstd"), answers, strict=True):
        assert (await listed(site, accept, coding, If_None_Match=one.headers["ETag"])).status == 304
        head = await site.ask("/simple/", "HEAD", Accept=accept, Accept_Encoding=coding)
        assert int(head.headers["Content-Length"]) == len(one.body)
    names = (f"project-{number}" for number in range(PROJECTS))
    assert all(f">{name}<" in text(answers[0]).decode() or f'"{name}"' in text(answers[0]).decode() for name in names)


async def test_it_is_kept_over_a_restart(many: FakePyPI, tmp_path: Path) -> None:
    async with serving(many.simple, tmp_path, upstream__page_ttl=3600) as site:
        before = await listed(site)
    async with serving(many.simple, tmp_path, upstream__page_ttl=3600) as site:
        after = await listed(site, coding="gzip")
        assert text(after) == before.body
        assert after.headers["X-Buildthrough-Cache"] == "hit"
        assert after.headers["X-PyPI-Last-Serial"] == before.headers["X-PyPI-Last-Serial"]
        assert len(many.asked("/simple/")) == 1


async def test_it_is_asked_for_with_the_tag_and_a_new_one_takes_its_place(many: FakePyPI, tmp_path: Path) -> None:
    async with serving(many.simple, tmp_path) as site:
        await listed(site)
        assert (await listed(site)).headers["X-Buildthrough-Cache"] == "revalidated"
        many.add_project("newest")
        assert "newest" in {one["name"] for one in (await listed(site)).json["projects"]}
        assert ["If-None-Match" in seen.headers for seen in many.asked("/simple/")] == [False, True, True]
        kept = tmp_path / "data" / "list"
        await until(lambda: len({path.name.partition(".")[0] for path in kept.glob("*.json.*")}) == 1)


@pytest.mark.parametrize("damage", ["all", "source", "rendition", "head", "garbage"])
async def test_what_is_lost_is_asked_for_again(many: FakePyPI, tmp_path: Path, damage: str) -> None:
    async with serving(many.simple, tmp_path, upstream__page_ttl=3600) as site:
        good = await listed(site)
    for path in (tmp_path / "data" / "list").iterdir():
        kind = "source" if path.suffix == ".source" else "head" if path.name == "head.json" else "rendition"
        if damage in {"all", kind}:
            path.unlink()
        elif damage == "garbage" and kind == "head":
            path.write_text(json.dumps({"url": 1}))
    async with serving(many.simple, tmp_path, upstream__page_ttl=3600) as site:
        assert (await listed(site)).body == good.body
        assert text(await listed(site, HTML))


async def test_what_is_no_list_does_not_take_the_place_of_one(many: FakePyPI, tmp_path: Path) -> None:
    many.etags = False
    async with serving(many.simple, tmp_path) as site:
        good = await listed(site)
        body = good.body[: len(good.body) // 2]
        many.fault("/simple/", Fault(body=body, content_type=JSON, times=1))
        stale = await listed(site)
        assert stale.body == good.body
        assert stale.headers["X-Buildthrough-Cache"].startswith("stale")
        assert (await listed(site)).body == good.body
