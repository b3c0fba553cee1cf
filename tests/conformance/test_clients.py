"""What is common to all clients: one page, whoever asks; a User-Agent is a hint and nothing else."""

from __future__ import annotations

import json

import pytest
from tests.integration.assembled import HTML, JSON, PIP

UV = PIP.replace("pip/26.3", "uv/0.13.8")
AGENTS = [
    None,
    "",
    PIP,
    UV,
    PIP.replace('"lib": "glibc", "version": "2.36"', '"lib": "musl", "version": "1.2"'),
    "poetry/2.5.1 CPython/3.11.7 Linux/6.18",
    "pdm/2.29.3 CPython/3.11.7 Linux/6.18",
    "curl/8.5.0",
    "pip/26.3 {not json",
    "pip/26.3 " + json.dumps({"cpu": None, "distro": [], "implementation": 7, "python": {"a": "b"}}),
    "uv/0.13.8 " + "[" * 50_000,
    "x" * 100_000,
]


@pytest.mark.parametrize("accept", [JSON, HTML])
async def test_the_page_is_the_same_whoever_asks(site, sdist, wheel, accept):
    answers = [
        await site.ask("/simple/demo/", Accept=accept, **({} if agent is None else {"User_Agent": agent}))
        for agent in AGENTS
    ]
    assert {(one.status, one.body, one.headers["ETag"]) for one in answers} == {
        (200, answers[0].body, answers[0].headers["ETag"])
    }
    assert "user-agent" not in answers[0].headers["Vary"].lower()


@pytest.mark.parametrize("agent", AGENTS)
async def test_any_client_gets_the_sdist(site, sdist, agent):
    answer = await site.ask(f"/files/demo/{sdist.path}", **({} if agent is None else {"User_Agent": agent}))
    assert (answer.status, answer.body) == (200, sdist.content.block)


async def test_the_host_of_the_index_is_the_host_of_its_files(site, sdist, upstream_wheel, wheel):
    """Credentials that a client has for the index reach the files too, and no other host sees them."""
    for entry in (await site.page("demo"))["files"]:
        assert entry["url"].startswith("../../")


async def test_a_question_is_answered_at_once_and_a_miss_is_the_download_of_an_sdist(site, sdist):
    """HEAD, pages and metadata start nothing."""
    await site.ask("/simple/demo/", Accept=JSON, User_Agent=PIP)
    await site.ask(f"/files/demo/{sdist.path}", "HEAD", User_Agent=PIP)
    assert "buildthrough_sdist_downloads_total{" not in (await site.ask("/metrics")).body.decode()
    await site.ask(f"/files/demo/{sdist.path}", User_Agent=PIP)
    await site.tells("buildthrough_sdist_downloads_total{")
