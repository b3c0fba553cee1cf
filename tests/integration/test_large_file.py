"""A file far larger than what the server may grow by passes, cold and kept, and clients that read nothing wait."""

from __future__ import annotations

import hashlib
import socket
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tests.e2e.server import Server
from tests.fakes.pypi import FakePyPI, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 512 << 20  # `bench files` does it with 2 GB
GROWTH = 64 << 20
NAME = "huge-1.0.tar.gz"


@pytest.fixture
def server(pypi: FakePyPI) -> Iterator[Server]:
    pypi.add("huge", NAME, Stream(size=SIZE, block=hashlib.shake_128(b"huge").digest(1 << 20)))
    server = Server(pypi.simple, environment={"BUILDTHROUGH_BUILD__ENABLED": "false"})
    try:
        yield server.start()
        server.stop()
    finally:
        server.close()


def digest_of(url: str) -> str:
    """Download and forget."""
    digest = hashlib.sha256()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=120) as answer:
        while piece := answer.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def peak(server: Server) -> int:
    """Return the most memory that was resident since the last reset, in bytes."""
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


def reset_peak(server: Server) -> None:
    assert server.process is not None
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")


def test_a_large_file_passes_in_constant_memory(pypi: FakePyPI, server: Server) -> None:
    url = server.listed("huge")[NAME]["url"]
    reset_peak(server)
    before = peak(server)
    address = urlsplit(url)
    assert address.hostname is not None
    with ExitStack() as deaf:
        # Clients that take nothing: of the whole, of what comes last, of what is far ahead.
        for wanted in ("0-", f"{SIZE - 1_000_000}-", f"{SIZE // 2}-", f"{SIZE // 4}-{SIZE // 2}") * 10:
            client = deaf.enter_context(socket.create_connection((address.hostname, address.port or 80)))
            client.sendall(f"GET {address.path} HTTP/1.1\r\nHost: x\r\nRange: bytes={wanted}\r\n\r\n".encode())
        for _ in ("while it arrives", "from the store"):
            assert digest_of(url) == pypi.file(NAME).sha256
        growth = peak(server) - before
    assert [asked.headers.get("Range") for asked in pypi.asked(f"/packages/*{NAME}")].count(None) == 1
    assert growth < GROWTH, growth >> 20
