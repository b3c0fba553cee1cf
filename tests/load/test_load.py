"""Hundreds of clients at once, on what is kept and what is not: no error, and nothing grows.

``LOAD_SECONDS`` (15) and ``LOAD_CLIENTS`` (500) say how long and how many; `make load-test` takes 300 seconds. From two
minutes on memory must be flat in the second half. Latencies are printed, not judged.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.server import Server
from tests.fakes.dial import offline_environment
from tests.load.process import Watch, descriptors, resident, settled, traceback_in

SECONDS = float(os.environ.get("LOAD_SECONDS", "15"))
CLIENTS = int(os.environ.get("LOAD_CLIENTS", "500"))
PROCESSES = 2
ROOT = Path(__file__).parents[2]
FLAT_FROM = 120
"""Seconds from which on a run is long enough for memory to be judged."""

pytestmark = [pytest.mark.load, pytest.mark.alone, pytest.mark.timeout(SECONDS * 2 + 300)]


@contextmanager
def index(manifest):
    command = [sys.executable, "-m", "tests.load.index", str(SECONDS), str(manifest)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def clients(url, manifest, seconds, count):
    """Run all clients to their end and return their reports."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.load.clients", url, str(seconds), str(count), str(number * 1001), manifest],
            cwd=ROOT,
            env=offline_environment(),
            stdout=subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]
    outputs = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * PROCESSES
    return [json.loads(output) for output in outputs]


def test_many_clients_at_once(tmp_path):
    manifest = tmp_path / "manifest.json"
    with index(manifest) as simple:
        server = Server(
            simple,
            environment={
                "BUILDTHROUGH_UPSTREAM__PAGE_TTL": "5",
                "BUILDTHROUGH_STORAGE__MEMORY_BYTES": "16 MiB",  # pushed out all the time
                "BUILDTHROUGH_BUILD__ENABLED": "false",
                "BUILDTHROUGH_UPSTREAM__PATIENCE_SECONDS": "100",  # nobody is told to try again
            },
        )
        try:
            server.start()
            clients(server.url, manifest, 2, 10)
            pid = server.process.pid
            before = settled(pid, 0, 4)
            at_rest = resident(pid)
            with Watch(pid, server.url) as watch:
                reports = clients(server.url, manifest, SECONDS, CLIENTS // PROCESSES)
            after = settled(pid, len(before) + 2)
            show(reports, watch, before=before, after=after, at_rest=at_rest, now=resident(pid))
            assert [wrong for report in reports for wrong in report["wrong"]] == []
            assert len(after) <= len(before) + 2, after
            assert max(watch.files) > CLIENTS / 2  # they were there at once
            if SECONDS >= FLAT_FROM:
                half = watch.memory[len(watch.memory) // 2 :]
                first, second = half[: len(half) // 2], half[len(half) // 2 :]
                assert sum(second) / len(second) <= sum(first) / len(first) * 1.05 + 4e6
            assert (trace := traceback_in(server)) == "", trace
            server.stop()
        finally:
            server.close()


def show(reports, watch, *, before, after, at_rest, now):
    took = {"ping": sorted(watch.pings)}
    for kind in sorted(reports[0]["took"]):
        took[kind] = sorted(seconds for report in reports for seconds in report["took"].get(kind, []))
    total, size = (sum(report[key] for report in reports) for key in ("count", "bytes"))
    print(f"\n{CLIENTS} clients, {SECONDS:g} s: {total} done, {size / 1e6:.0f} MB; times in ms")
    for kind, times in took.items():
        parts = [times[min(len(times) - 1, int(len(times) * share))] * 1e3 for share in (0.5, 0.95, 0.99, 1)]
        print(
            f"  {kind:9} {len(times):6}   "
            + "  ".join(f"{name} {part:7.1f}" for name, part in zip(("p50", "p95", "p99", "max"), parts, strict=True))
        )
    samples = " ".join(f"{one / 1e6:.0f}" for one in watch.memory[:: max(1, len(watch.memory) // 12)])
    print(f"  RSS in MB: {at_rest / 1e6:.0f} at rest; {samples}; {now / 1e6:.0f} after")
    print(f"  descriptors: {len(before)} before, {max(watch.files)} most, {len(after)} after", flush=True)


def test_the_count_of_descriptors_sees_one_more():
    before = descriptors(os.getpid())
    with Path(__file__).open():
        assert len(descriptors(os.getpid())) == len(before) + 1
