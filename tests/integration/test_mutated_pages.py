"""Pages and answers of upstream with random damage: whatever comes, the server says something sensible, and soon."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.faults import Fault
from tests.integration.assembled import HTML, JSON, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.pypi import FakePyPI
    from tests.integration.assembled import Answer, Site

SOON = 60
"""Seconds within which each answer must be there: a hang is what is looked for, not slowness."""
SHA256 = "ab" * 32
ENTRY = {
    "filename": "demo-1.0.tar.gz",
    "url": "https://files.example.org/packages/aa/bb/demo-1.0.tar.gz",
    "hashes": {"sha256": SHA256},
    "requires-python": ">=3.8",
    "size": 1234,
    "upload-time": "2021-03-04T05:06:07.000008Z",
    "yanked": False,
    "core-metadata": {"sha256": SHA256},
    "provenance": None,
}
PAGE: dict[str, Any] = {
    "meta": {"api-version": "1.4", "_last-serial": 17},
    "name": "demo",
    "project-status": {"status": "active"},
    "versions": ["1.0", "2.0"],
    "files": [ENTRY, {**ENTRY, "filename": "demo-2.0-py3-none-any.whl", "url": "../../demo-2.0-py3-none-any.whl"}],
    "projects": [{"name": "demo", "_last-serial": 17}, {"name": "Other_One"}],
    "info": {"name": "demo", "version": "2.0"},
    "urls": [ENTRY],
    "releases": {"1.0": [ENTRY], "2.0": []},
}
"""A project's page, the list of projects and the JSON API's answer in one: each takes no notice of the rest."""
PAGE_IN_HTML = (
    '<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.4"><title>Links for demo</title>'
    f'</head><body><h1>Links for demo</h1><a href="../../packages/aa/bb/demo-1.0.tar.gz#sha256={SHA256}" '
    f'data-requires-python="&gt;=3.8" data-yanked="bad" data-core-metadata="sha256={SHA256}">demo-1.0.tar.gz</a><br/>'
    "\n</body></html>\n<!--SERIAL 17-->"
).encode()
WELL_FORMED = (
    b'HTTP/1.1 200 OK\r\nContent-Type: %s\r\nETag: "abc"\r\nX-PyPI-Last-Serial: 17\r\nContent-Length: %d\r\n\r\n'
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)
PATHS = st.sampled_from(
    [
        *([key] for key in PAGE),
        ["meta", "api-version"],
        ["meta", "_last-serial"],
        ["project-status", "status"],
        ["versions", 0],
        ["files", 0],
        *(["files", 0, key] for key in ENTRY),
        *(["urls", 0, key] for key in ("url", "digests", "filename")),
        ["releases", "1.0"],
        ["releases", "1.0", 0, "url"],
        ["projects", 0],
        ["projects", 0, "name"],
        ["files", 1, "filename"],
        ["files", 1, "url"],
        ["files", 0, "hashes", "sha256"],
    ]
)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=12)), max_size=4)
HEADERS = st.dictionaries(
    st.sampled_from(["Content-Type", "Content-Encoding", "ETag", "X-PyPI-Last-Serial", "Location", "Vary", "Age"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30),
    max_size=3,
)


@st.composite
def json_pages(draw: st.DrawFn) -> bytes:
    """Return the page with some of its values replaced or dropped."""
    page = json.loads(json.dumps(PAGE))
    for path in draw(st.lists(PATHS, max_size=3)):
        at = page
        try:
            for key in path[:-1]:
                at = at[key]
            if draw(st.booleans()):
                at[path[-1]] = draw(VALUES)
            else:
                del at[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier edit took it away
    return json.dumps(page, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


def damaged(data: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """Return the bytes with some cut out and others put in."""
    for where, length, inserted in edits:
        at = int(where * len(data))
        data = data[:at] + inserted + data[at + length :]
    return data


class Running:
    """A server in a thread of its own, so that each example may ask it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, site: Site) -> None:
        self._loop = loop
        self._site = site

    def ask(self, path: str, **headers: str) -> Answer | None:
        """Return the answer, None where the connection was cut. Raise `TimeoutError` where it does not come."""

        async def asked() -> Answer | None:
            try:
                return await asyncio.wait_for(self._site.ask(path, **headers), SOON)
            except aiohttp.ClientPayloadError:
                return None

        return asyncio.run_coroutine_threadsafe(asked(), self._loop).result(SOON + 10)


@contextmanager
def running(pypi: FakePyPI, folder: Path) -> Iterator[Running]:
    ready = threading.Event()
    found: list[Running] = []
    ended: list[asyncio.Event] = []

    async def live() -> None:
        async with serving(pypi.simple, folder, upstream__read_seconds=1, upstream__max_page_bytes=1 << 20) as site:
            end = asyncio.Event()
            found.append(Running(asyncio.get_running_loop(), site))
            ended.append(end)
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    assert ready.wait(SOON)
    try:
        yield found[0]
    finally:
        found[0]._loop.call_soon_threadsafe(ended[0].set)
        thread.join(30)


@pytest.fixture
def server(pypi, tmp_path) -> Iterator[Running]:
    pypi.add_project("demo")
    with running(pypi, tmp_path) as server:
        yield server


def try_all(server: Running, pypi: FakePyPI, fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    """Ask for everything that comes from this page, and look at each answer."""
    caplog.clear()
    pypi.heal()
    pypi.fault("*", Fault(status=404))
    for path in ("/simple/demo/", "/pypi/demo/json"):  # forget it, or only the last good answer would be looked at
        server.ask(path)
    pypi.heal()
    for path in ("/simple/demo/", "/simple/", "/pypi/demo/json"):
        pypi.fault(path, fault)
    given: list[Answer | None] = [
        server.ask("/simple/demo/", Accept=JSON),
        server.ask("/simple/demo/", Accept=HTML, Accept_Encoding="gzip"),
        server.ask("/simple/", Accept=JSON),
        server.ask("/simple/", Accept=HTML, Accept_Encoding="gzip"),
        server.ask("/upstream/simple/demo/", Accept=JSON, Accept_Encoding="zstd"),
        server.ask("/pypi/demo/json"),
        server.ask("/files/demo/packages/aa/bb/demo-1.0.tar.gz"),
        server.ask("/files/demo/packages/aa/bb/demo-1.0.tar.gz.metadata"),
    ]
    for answer in given:
        if answer is None:
            continue
        assert answer.status in {200, 404, 502, 503}, answer
        if answer.status != 200:
            assert answer.body.removesuffix(b"\n").decode().isprintable(), answer
            assert b"Traceback" not in answer.body
            assert len(answer.body) < 500
        elif "json" in answer.headers["Content-Type"] and "Content-Encoding" not in answer.headers:
            json.loads(answer.body)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR or record.exc_info]
    assert not told


FUZZ = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None,
)


@FUZZ
@given(body=st.builds(damaged, json_pages(), EDITS), headers=HEADERS)
def test_damaged_json(server, pypi, caplog, body, headers):
    try_all(server, pypi, Fault(body=body, content_type=JSON, headers=headers), caplog)


@FUZZ
@given(edits=EDITS, headers=HEADERS)
def test_damaged_html(server, pypi, caplog, edits, headers):
    fault = Fault(body=damaged(PAGE_IN_HTML, edits), content_type="text/html", headers=headers)
    try_all(server, pypi, fault, caplog)


@FUZZ
@given(in_json=st.booleans(), edits=EDITS)
def test_damaged_answers(server, pypi, caplog, in_json, edits):
    """The status line, the headers and the body alike."""
    body = json.dumps(PAGE).encode() if in_json else PAGE_IN_HTML
    content_type = JSON if in_json else "text/html"
    raw = WELL_FORMED % (content_type.encode(), len(body)) + body
    try_all(server, pypi, Fault(raw=damaged(raw, edits)), caplog)
