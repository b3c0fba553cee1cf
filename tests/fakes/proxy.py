"""A real HTTP proxy on a loopback socket: it forwards plain requests, and tunnels by CONNECT."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from queue import Queue
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@dataclass(slots=True, kw_only=True)
class Forwarder:
    """A proxy that runs."""

    port: int = 0
    authorization: str | None = None
    """What ``Proxy-Authorization`` must be."""
    asked: list[str] = field(default_factory=list)
    """First line of each request that it let through."""
    heads: list[str] = field(default_factory=list)
    """Each request's headers, as they came."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: one request, or one tunnel."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heads.append(head)
            line, _, rest = head.partition("\r\n")
            method, target, _ = line.split()
            if self.authorization is not None and f"Proxy-Authorization: {self.authorization}\r\n" not in rest:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                return
            self.asked.append(f"{method} {target}")
            if method == "CONNECT":
                host, _, port = target.rpartition(":")
                far = await asyncio.open_connection(host, int(port))
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                parts = urlsplit(target)
                far = await asyncio.open_connection(parts.hostname, parts.port or 80)
                kept = [each for each in rest.split("\r\n") if not each.lower().startswith(("proxy-", "connection:"))]
                path = parts._replace(scheme="", netloc="").geturl() or "/"
                first = f"{method} {path} HTTP/1.1\r\nConnection: close\r\n"
                far[1].write((first + "\r\n".join(kept)).encode("latin-1"))
            await asyncio.gather(_pipe(reader, far[1]), _pipe(far[0], writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def forwarding(authorization: str | None = None) -> AsyncIterator[Forwarder]:
    """Run a proxy."""
    forwarder = Forwarder(authorization=authorization)
    server = await asyncio.start_server(forwarder.serve, "127.0.0.1", 0)
    forwarder.port = server.sockets[0].getsockname()[1]
    try:
        yield forwarder
    finally:
        server.close()


@contextmanager
def forwarding_thread(authorization: str | None = None) -> Iterator[Forwarder]:
    """Run a proxy in a thread of its own, for tests that block."""
    ready: Queue[tuple[Forwarder, asyncio.AbstractEventLoop, asyncio.Event]] = Queue()

    async def run() -> None:
        stop = asyncio.Event()
        async with forwarding(authorization) as forwarder:
            ready.put((forwarder, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="proxy", daemon=True)
    thread.start()
    forwarder, loop, stop = ready.get(timeout=10)
    try:
        yield forwarder
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
