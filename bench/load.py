"""Requests per second: wrk, or one after another where a peer is too slow for that."""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.asking import ACCEPT, ask
from bench.process import Broken

if TYPE_CHECKING:
    from collections.abc import Mapping

SLOW = 0.15
"""Seconds of one answer from which on wrk's sixteen connections would only wait for each other."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What was measured."""

    requests: float
    """A second."""
    bytes: float
    """A second, as read by wrk; 0 where it was not wrk."""


def wrk(
    url: str, headers: Mapping[str, str], *, seconds: float, connections: int = 16, status: str = "2xx or 3xx"
) -> Rate:
    """Return what one thread of wrk reaches. Raise `Broken` where anything was answered otherwise."""
    chosen = [part for key, value in headers.items() for part in ("-H", f"{key}: {value}")]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "60s", *chosen, url]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in printed or "Socket errors" in printed:
        raise Broken(f"wrk saw answers other than {status}: {' '.join(printed.split())[-200:]}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    passed = re.search(r"Transfer/sec:\s+([\d.]+)([KMG]?)B", printed)
    assert found is not None, printed
    assert passed is not None, printed
    scale = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}[passed[2]]
    return Rate(float(found[1]), float(passed[1]) * scale)


def rate(url: str, headers: Mapping[str, str], *, seconds: float) -> float:
    """Return requests per second: by wrk, or one at a time where an answer takes longer than `SLOW`."""
    wanted = {"Accept": ACCEPT, **headers}
    first = ask(url, wanted)
    if first.seconds < SLOW:
        return wrk(url, wanted, seconds=seconds).requests
    if first.seconds >= seconds:
        return 1 / first.seconds
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        ask(url, wanted)
        count += 1
    return count / (time.perf_counter() - began)
