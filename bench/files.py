"""Cached files by sendfile against the bare handler's; and memory while a big file passes for the first time."""

from __future__ import annotations

import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fakes.pypi import FakePyPI, Stream

from bench.tools import bare, compare, running

if TYPE_CHECKING:
    from tests.e2e.server import Server

SIZES = {"20 MB": 20_000_000, "200 MB": 200_000_000}
BIG = 2 * 2**30


def main(*, rounds: int = 5, seconds: int = 4) -> None:
    """Print a line a size, then the memory."""
    with FakePyPI() as pypi:
        for label, size in SIZES.items():
            pypi.add(f"f{label.split()[0]}", f"f{label.split()[0]}-1.0.tar.gz", bytes(size))
        pypi.add("huge", "huge-1.0.tar.gz", Stream(size=BIG))
        with running(pypi) as server:
            _throughput(server, rounds=rounds, seconds=seconds)
            _memory(server)


def _throughput(server: Server, *, rounds: int, seconds: int) -> None:
    files = {f"f{label.split()[0]}": bytes(size) for label, size in SIZES.items()}
    with bare({}, files) as limit:
        print(f"{'file':>8} {'ours MB/s':>10} {'bare MB/s':>10} {'ratio':>6}   wanted >= 0.8")
        for name, data in files.items():
            url = server.listed(name)[f"{name}-1.0.tar.gz"]["url"]
            assert server.ask(url, timeout=120).body == data
            ours, theirs = compare(url, f"{limit}/file/{name}", rounds=rounds, seconds=seconds, connections=2)
            scale = len(data) / 1e6
            print(f"{scale:>5.0f} MB {ours * scale:>10.0f} {theirs * scale:>10.0f} {ours / theirs:>6.2f}", flush=True)


def _memory(server: Server) -> None:
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status")
    url = server.listed("huge")["huge-1.0.tar.gz"]["url"]
    before, seen, done = _resident(status), [], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            seen.append(_resident(status))

    watching = threading.Thread(target=watch)
    watching.start()
    began = time.monotonic()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    got = 0
    with opener.open(url, timeout=300) as answer:
        while piece := answer.read(2**20):
            got += len(piece)
    done.set()
    watching.join()
    assert got == BIG, got
    took = time.monotonic() - began
    print(f"2 GB file, cold: {got / took / 1e6:.0f} MB/s; resident {before} MB before, {max(seen)} MB at most")


def _resident(status: Path) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024
