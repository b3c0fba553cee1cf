"""The dial guard refuses what it should and lets loopback pass."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys

import aiohttp
import pytest
from tests.fakes.dial import DialledOutError, is_local


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        (None, True),
        (b"localhost", True),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
        ("example.org", False),
        ("localhost.example.org", False),
    ],
)
def test_what_is_local(host, local):
    assert is_local(host) is local


@pytest.mark.parametrize("verb", ["connect", "connect_ex"])
def test_connecting_out_is_refused_and_named(verb):
    with socket.socket() as dialler, pytest.raises(DialledOutError, match=r"192\.0\.2\.1"):
        getattr(dialler, verb)(("192.0.2.1", 80))


def test_sending_out_is_refused():
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        with pytest.raises(DialledOutError):
            sender.sendto(b"x", ("192.0.2.1", 53))
        with pytest.raises(DialledOutError):
            sender.sendmsg([b"x"], [], 0, ("192.0.2.1", 53))


def test_resolving_is_refused():
    with pytest.raises(DialledOutError, match=r"example\.org"):
        socket.getaddrinfo("example.org", 80)


async def test_aiohttp_is_refused():
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get("http://192.0.2.1/")
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get("http://example.org/")


async def test_loopback_passes(pypi):
    async with aiohttp.ClientSession() as session, session.get(pypi.simple) as answer:
        assert answer.status == 200
    _, writer = await asyncio.open_connection("localhost", int(pypi.url.rpartition(":")[2]))
    writer.close()
    await writer.wait_closed()


def test_a_subprocess_fails_at_once(offline):
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--retries", "0", "--no-deps", "surely-not-there"],
        env=offline,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "surely-not-there" in done.stderr
