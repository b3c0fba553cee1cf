"""How long other requests wait while a cold page of 10 MB is asked for. Wanted: at most 50 ms."""

from __future__ import annotations

import time
import urllib.request

from tests.fakes.pypi import FakePyPI

from bench.tools import JSON, big_page, latencies, percentile, running, sampling


def main(*, rounds: int = 3) -> None:
    """Print the worst latencies of a small cached page, at rest and during the cold page."""
    with FakePyPI(gzip=False) as pypi:
        big_page(pypi, "small", 25_000)
        for n in range(rounds):
            big_page(pypi, f"big{n}", 10_000_000)
            request = urllib.request.Request(f"{pypi.simple}big{n}/", headers={"Accept": JSON})
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
                answer.read()  # rendered now, so that the fake's work is not measured
        with running(pypi) as server:
            small = f"{server.url}/simple/small/"
            server.ask(small, Accept=JSON)
            rest = latencies(sampling(small, seconds=3, rate=200))
            print(f"at rest:       p99 {percentile(rest, 99):6.1f} ms, worst {rest[-1]:6.1f} ms")
            for n in range(rounds):
                sampler = sampling(small, seconds=5, rate=200)
                time.sleep(2)
                began = time.monotonic()
                size = len(server.ask(f"/simple/big{n}/", Accept=JSON, timeout=120).body)
                took = time.monotonic() - began
                busy = latencies(sampler)
                print(
                    f"cold {size / 1e6:4.1f} MB:  p99 {percentile(busy, 99):6.1f} ms, worst {busy[-1]:6.1f} ms"
                    f"   (wanted <= 50; the page took {took:.1f} s)",
                    flush=True,
                )
