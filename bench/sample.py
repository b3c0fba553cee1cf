"""Ask for one URL at a fixed rate and tell latencies: ``python -m bench.sample URL SECONDS RATE`` prints JSON.

A process of its own with one connection and no event loop, so that nothing else is measured. Requests are due by the
clock: a late answer does not hide those that it delays.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.asking import JSON
from bench.peer import ROOT
from bench.process import Broken, environment


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds, sorted."""

    values: list[float]

    @property
    def worst(self) -> float:
        """The longest."""
        return self.values[-1]

    def percentile(self, percent: float) -> float:
        """Return a percentile."""
        return self.values[min(len(self.values) - 1, int(len(self.values) * percent / 100))]


class Sampler:
    """A sampling process; `collect` waits for its end."""

    def __init__(self, url: str, *, seconds: float, rate: float = 200) -> None:
        command = [sys.executable, "-m", "bench.sample", url, str(seconds), str(rate)]
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it has begun

    def collect(self) -> Latencies:
        """Return all latencies. Raise `Broken` where an answer was not as wanted."""
        printed, _ = self._process.communicate()
        if self._process.returncode != 0:
            raise Broken("sampling failed")
        return Latencies(sorted(1000 * value for value in json.loads(printed)))


def sample(url: str, seconds: float, rate: float) -> list[float]:
    """Return latencies in seconds."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    headers = {"Accept": JSON, "Accept-Encoding": "gzip"}

    def one() -> None:
        connection.request("GET", parts.path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            sys.exit(f"{url} answers {answer.status}")

    with contextlib.suppress(PermissionError):
        os.nice(-10)  # what waits for a processor here is the clock, not the server
    one()
    print("begun", flush=True)
    latencies, began = [], time.perf_counter()
    for n in range(int(seconds * rate)):
        due = began + n / rate
        if (early := due - time.perf_counter()) > 0:
            time.sleep(early)
        one()
        latencies.append(time.perf_counter() - due)
    return latencies


if __name__ == "__main__":
    print(json.dumps(sample(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))))
