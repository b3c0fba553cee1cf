"""A file that breaks off in its middle, or whose client leaves, is not counted as a success."""

from __future__ import annotations

import asyncio
import os
import re

import aiohttp
import pytest
from tests.fakes.faults import Fault
from tests.fakes.waiting import until

DATA = os.urandom(3_000_000)


async def statuses(site) -> dict[str, int]:
    """Return how many requests for files there were, by the status that was counted."""
    told = (await site.ask("/metrics")).body.decode()
    lines = [line for line in told.splitlines() if "_created" not in line and 'route="/files/' in line]
    found = [re.search(r'status="(\d+)"\S* ([\d.]+)$', line) for line in lines]
    return {match[1]: int(float(match[2])) for match in found if match is not None}


async def counted(site, status: str, times: int = 1) -> None:
    async def is_counted():
        return (await statuses(site)).get(status) == times

    await until(is_counted)


async def test_wrong_bytes_are_counted_as_upstreams_fault(pypi, site):
    file = pypi.add("demo", "demo-1.0.tar.gz", DATA)
    pypi.fault(f"/{file.path}", Fault(body=bytes(len(DATA))))
    with pytest.raises(aiohttp.ClientError):
        await site.ask(f"/files/demo/{file.path}")
    await counted(site, "502")
    assert "200" not in await statuses(site)


async def test_a_client_that_leaves_is_counted_as_one(pypi, site):
    file = pypi.add("demo", "demo-1.0.tar.gz", DATA * 5)
    for times, _ in enumerate(("while it arrives", "from the store"), 1):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
        writer.write(f"GET /files/demo/{file.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.readexactly(500)
        writer.transport.abort()
        await counted(site, "499", times)
        assert "200" not in await statuses(site)
