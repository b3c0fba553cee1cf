"""Starting what is measured, and wrk."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.pypi import FakePyPI

JSON = "application/vnd.pypi.simple.v1+json"
ROOT = Path(__file__).parents[1]


@contextmanager
def running(pypi: FakePyPI) -> Iterator[Server]:
    """Run the server in front of the fake index; pages stay fresh for an hour."""
    server = Server(pypi.simple, environment={"BUILDTHROUGH_UPSTREAM__PAGE_TTL": "3600"})
    try:
        yield server.start()
        server.stop()
    finally:
        server.close()


@contextmanager
def bare(pages: dict[str, bytes], files: dict[str, bytes]) -> Iterator[str]:
    """Run the bare handler with these bytes; gives its URL."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for kind, contents in (("page", pages), ("file", files)):
            (Path(folder) / kind).mkdir()
            for name, data in contents.items():
                (Path(folder) / kind / name).write_bytes(data)
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.bare", folder], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()
            process.communicate()


def wrk(url: str, *, seconds: int = 3, connections: int = 8) -> float:
    """Return requests per second. Raise where any was answered otherwise than 2xx."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-H", f"Accept: {JSON}", url]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in printed or "Socket errors" in printed:
        raise RuntimeError(printed)
    found = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    assert found is not None, printed
    return float(found[1])


def compare(ours: str, theirs: str, *, rounds: int, seconds: int, connections: int = 8) -> tuple[float, float]:
    """Return the medians of requests per second, ours and theirs, measured in turn."""
    for url in (ours, theirs):
        wrk(url, seconds=1, connections=connections)
    figures: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        figures[0].append(wrk(ours, seconds=seconds, connections=connections))
        figures[1].append(wrk(theirs, seconds=seconds, connections=connections))
    return statistics.median(figures[0]), statistics.median(figures[1])


def sampling(url: str, *, seconds: float, rate: float) -> subprocess.Popen[str]:
    """Begin to sample latencies; `latencies` collects them."""
    command = [sys.executable, "-m", "bench.sample", url, str(seconds), str(rate)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def latencies(process: subprocess.Popen[str]) -> list[float]:
    """Return what was sampled, in milliseconds, sorted."""
    printed, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError("sampling failed")
    return sorted(1000 * value for value in json.loads(printed))


def percentile(values: list[float], percent: float) -> float:
    """Return a percentile of sorted values."""
    return values[min(len(values) - 1, int(len(values) * percent / 100))]


def big_page(pypi: FakePyPI, project: str, size: int) -> None:
    """List so many files that the JSON page has about so many bytes."""
    for n in range(max(1, size // 690)):
        pypi.add(project, f"{project}-{n // 20}.{n % 20}-py3-none-any.whl", b"%d" % n, metadata=b"Name: x\n")
