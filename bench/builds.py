"""What builds cost the index: p99 of a cached page at rest and while both slots compile. Wanted: under twice."""

from __future__ import annotations

from tests.e2e.clients import pip_user_agent
from tests.e2e.server import wait_for
from tests.fakes.dial import offline_environment
from tests.fakes.pypi import FakePyPI
from tests.fakes.sdists import intree_sdist

from bench.tools import JSON, big_page, latencies, percentile, running, sampling

BUILDS = 6
C_FUNCTIONS = 20_000


def main(*, seconds: float = 15, rate: float = 100) -> None:
    """Print percentiles at rest, under load, and their ratio."""
    with FakePyPI() as pypi:
        big_page(pypi, "small", 25_000)
        for n in range(BUILDS):
            sdist = intree_sdist(f"heavy{n}", "1.0", c_extension=True, c_functions=C_FUNCTIONS)
            pypi.add(sdist.project, sdist.filename, sdist.data)
        agent = pip_user_agent(offline_environment())
        with running(pypi) as server:
            url = f"{server.url}/simple/small/"
            server.ask(url, Accept=JSON)
            rest = latencies(sampling(url, seconds=seconds, rate=rate))
            for n in range(BUILDS):
                server.download(f"heavy{n}", f"heavy{n}-1.0.tar.gz", user_agent=agent)
            wait_for(lambda: sum(build["state"] == "RUNNING" for build in server.builds()) >= 2, "two builds", 60)
            busy = latencies(sampling(url, seconds=seconds, rate=rate))
            still = sum(build["state"] == "RUNNING" for build in server.builds())
            for label, values in (("at rest", rest), ("compiling", busy)):
                print(f"{label:>10}: p50 {percentile(values, 50):6.2f} ms, p99 {percentile(values, 99):6.2f} ms")
            ratio = percentile(busy, 99) / percentile(rest, 99)
            print(f"ratio of p99 {ratio:.2f} (wanted < 2); {still} builds still running at the end", flush=True)
