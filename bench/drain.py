"""Clients that throw away what they get: ``python -m bench.drain URL SIZE CLIENTS [SECONDS]`` prints JSON.

Without seconds each client asks once, over a connection that closes, and the time until the last has all is told;
with seconds each asks again and again. The kernel is told to drop the bytes (MSG_TRUNC), so that the clients cost
next to nothing and the server is what is measured. A process of its own.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench.peer import ROOT
from bench.process import Broken, environment

PIECE = 4 << 20
MOST_HEAD = 65_536


@dataclass(frozen=True, slots=True)
class Drained:
    """What came."""

    bytes: int
    seconds: float
    first: float
    """Seconds until the first client had everything."""

    @property
    def rate(self) -> float:
        """Megabytes (10^6) a second."""
        return self.bytes / self.seconds / 1e6


def drained(url: str, size: int, *, clients: int = 1, seconds: float | None = None, limit: float = 120) -> Drained:
    """Run the clients. Raise `Broken` where one does not get all of it, or not within the limit (seconds)."""
    command = [sys.executable, "-m", "bench.drain", url, str(size), str(clients), *([str(seconds)] if seconds else [])]
    try:
        ended = subprocess.run(
            command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        raise Broken(f"more than {limit:.0f} s") from None
    if ended.returncode != 0:
        raise Broken(ended.stderr.strip().rpartition("\n")[2])
    return Drained(**json.loads(ended.stdout))


@dataclass(slots=True)
class Client:
    """One connection after another."""

    url: str
    size: int
    closing: bool
    head: bytes | None = b""
    """What came of the head; None once it is complete."""
    got: int = 0
    """Bytes of the body of this answer."""
    total: int = 0
    chunked: bool = False
    sock: socket.socket = field(default_factory=socket.socket)

    def connect(self) -> None:
        """Open the connection."""
        parts = urlsplit(self.url)
        self.sock = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=60)

    def ask(self) -> None:
        """Send the request."""
        parts = urlsplit(self.url)
        lines = [f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Accept: */*", "Accept-Encoding: identity"]
        lines += ["Connection: close"] if self.closing else []
        self.head, self.got = b"", 0
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode())

    def read(self, buffer: bytearray) -> bool:
        """Read what is there; returns whether the answer is complete. Raise `Broken` if it never will be."""
        if self.head is not None:
            return self._read_head()
        wanted = PIECE if self.chunked else min(PIECE, self.size - self.got)
        count = self.sock.recv_into(buffer, wanted, socket.MSG_TRUNC)
        return self._took(count)

    def _took(self, count: int) -> bool:
        self.got += count
        self.total += count
        if count == 0 and not (self.chunked and self.got >= self.size):
            raise Broken(f"the connection ended after {self.got} of {self.size} bytes")
        return count == 0 if self.chunked else self.got >= self.size

    def _read_head(self) -> bool:
        assert self.head is not None
        self.head += self.sock.recv(MOST_HEAD)
        head, end, rest = self.head.partition(b"\r\n\r\n")
        if not end:
            if not self.head:
                raise Broken("the connection ended before the head")
            return False
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
            raise Broken(head.partition(b"\r\n")[0].decode())
        lines = [line.lower().replace(b" ", b"") for line in head.split(b"\r\n")]
        self.chunked = b"content-length:%d" % self.size not in lines  # framing is drained as well, until the end
        if self.chunked and not self.closing:
            raise Broken("tells another length, or none")
        self.head = None
        return bool(rest) and self._took(len(rest))


def drain(url: str, size: int, clients: int, seconds: float | None) -> Drained:
    """Be the clients."""
    selector = selectors.DefaultSelector()
    buffer = bytearray(PIECE)
    all_clients = [Client(url, size, seconds is None) for _ in range(clients)]
    for client in all_clients:
        client.connect()
        selector.register(client.sock, selectors.EVENT_READ, client)
    began, first, open_ones = time.perf_counter(), 0.0, clients
    for client in all_clients:
        client.ask()
    while open_ones:
        for key, _ in selector.select(60):
            client = key.data
            if client.read(buffer):
                first = first or time.perf_counter() - began
                if seconds is None:
                    selector.unregister(client.sock)
                    client.sock.close()
                    open_ones -= 1
                else:
                    client.ask()
        if seconds is not None and time.perf_counter() - began > seconds:
            break
    took = time.perf_counter() - began
    return Drained(sum(client.total for client in all_clients), took, first)


if __name__ == "__main__":
    try:
        result = drain(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]) if sys.argv[4:] else None)
    except (Broken, OSError) as broken:
        sys.exit(str(broken))
    print(json.dumps({"bytes": result.bytes, "seconds": result.seconds, "first": result.first}))
