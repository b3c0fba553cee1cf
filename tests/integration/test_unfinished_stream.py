"""Whoever is being sent a page while it arrives is told where taking it in ends in a way that nobody foresaw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.fakes.upstream import FakeUpstream

from buildthrough.proxy.current import CurrentPages
from buildthrough.proxy.errors import UpstreamUnavailable
from buildthrough.proxy.page_stream import PageStream
from buildthrough.proxy.pages import PageStore
from buildthrough.proxy.patience import Patience

if TYPE_CHECKING:
    from pathlib import Path

    from buildthrough.proxy.page_answer import Arrival, PageAnswer

FILE = '{"filename":"demo-1.tar.gz","url":"https://files.example.org/demo-1.tar.gz"}'


class Failing(FakeUpstream):
    """Sends half a long page, and when the gate is opened fails as no upstream should."""

    async def page(self, project: str | None, etag: str | None, arrival: Arrival | None = None) -> PageAnswer | None:
        assert arrival is not None
        arrival.begin("application/json", "https://example.org/simple/demo/", None)
        arrival.piece(b'{"files":[' + ",".join([FILE] * 10_000).encode())
        await self.gate.wait()
        raise RuntimeError("a fault of ours")


async def test_a_fault_of_ours_ends_what_is_sent(tmp_path: Path) -> None:
    upstream = Failing()
    upstream.gate.clear()
    async with PageStore.open(tmp_path) as store:
        pages = CurrentPages(
            upstream=upstream,
            pages=store,
            patience=Patience(unknown=30, known=30),
            page_ttl=60,
            memory_bytes=1 << 20,
        )
        stream = PageStream("demo", "../../files/demo/", "identity")
        assert await pages.get_or_stream("demo", stream) is None
        upstream.gate.set()
        with pytest.raises(UpstreamUnavailable, match="not taken to its end"):
            _ = [chunk async for chunk in stream.chunks()]
        await pages.close()
