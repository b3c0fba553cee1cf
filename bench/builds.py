"""What builds cost the index: p99 of a small cached page at rest and while both slots compile. Wanted: under twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.clients import pip_user_agent
from tests.e2e.server import Server, wait_for
from tests.fakes.dial import offline_environment
from tests.fakes.pypi import FakePyPI
from tests.fakes.sdists import intree_sdist

from bench.peers.ours import Ours
from bench.sample import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.report import Report

BUILDS = 6
C_FUNCTIONS = 20_000
AT_REST, COMPILING = "at rest", "while two builds compile"


def main(report: Report, *, quick: bool = False) -> None:
    """Measure before the fake index of the tests, which has sdists that can be built, and judge."""
    table = report.table("A small cached page, asked for 100 times a second", "milliseconds, 99th percentile")
    with FakePyPI() as pypi:
        for n in range(40):
            pypi.add("small", f"small-{n}.0-py3-none-any.whl", b"%d" % n, metadata=b"Name: small")
        for n in range(BUILDS):
            sdist = intree_sdist(f"heavy{n}", "1.0", c_extension=True, c_functions=C_FUNCTIONS)
            pypi.add(sdist.project, sdist.filename, sdist.data)
        server = Server(pypi.simple, environment={"BUILDTHROUGH_UPSTREAM__PAGE_TTL": "3600"})
        try:
            _measure(server.start(), table.add, seconds=5 if quick else 15)
            server.stop()
        finally:
            server.close()
    ratio = table.ratio((Ours.name, COMPILING), (Ours.name, AT_REST))
    report.at_most("99th percentile of a page while builds compile, against at rest", ratio, 2)


def _measure(server: Server, add: Callable[[str, str, float], None], *, seconds: float) -> None:
    agent = pip_user_agent(offline_environment())
    url = f"{server.url}/simple/small/"
    add(Ours.name, AT_REST, Sampler(url, seconds=seconds, rate=100).collect().percentile(99))
    for n in range(BUILDS):
        server.download(f"heavy{n}", f"heavy{n}-1.0.tar.gz", user_agent=agent)
    wait_for(lambda: sum(build["state"] == "RUNNING" for build in server.builds()) >= 2, "two builds", 60)
    add(Ours.name, COMPILING, Sampler(url, seconds=seconds, rate=100).collect().percentile(99))
