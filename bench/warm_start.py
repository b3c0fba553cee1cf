"""How long a build takes from when a worker takes it up until the first code of the package runs, everything at hand.

    python -m bench.warm_start [builds]

Runs the real server in front of an index on this machine, has one small setup.py package built to warm up, then others
one after another, and prints the mean of each stage from the server's own metrics, and the processor time of all.
To be at most half a second up to the hook on a machine that does nothing else.
"""

from __future__ import annotations

import re
import resource
import sys

from tests.e2e.server import Server
from tests.fakes import uids
from tests.fakes.pypi import FakePyPI
from tests.fakes.sdists import legacy_sdist
from tests.sandbox.workbench import WHEELS

BEFORE_THE_HOOK = ("fetch", "start", "unpack", "plan", "requires", "install")
_FIGURE = re.compile(r'^buildthrough_build_stage_seconds_(sum|count)\{stage="(\w+)"\} (\S+)$', re.MULTILINE)


def figures(server: Server) -> dict[tuple[str, str], float]:
    """Return the sum and the count of each stage's seconds."""
    told = server.ask("/metrics").body.decode()
    return {(stage, which): float(value) for which, stage, value in _FIGURE.findall(told)}


def build(server: Server, pypi: FakePyPI, number: int) -> None:
    """Have a package built that was never asked for, and wait."""
    sdist = legacy_sdist(f"legacy{number}")
    pypi.add(sdist.project, sdist.filename, sdist.data)
    asked = server.operate("/api/v1/builds", name=sdist.project, version="1.0")
    assert asked.status == 202, asked.body
    server.wait_for_build(sdist.project, "SUCCEEDED")


def main() -> None:
    """Measure and print."""
    builds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with FakePyPI() as pypi:
        for wheel in WHEELS.glob("*.whl"):
            pypi.add(wheel.name.partition("-")[0], wheel.name, wheel.read_bytes())
        server = Server(pypi.simple, environment={"BUILDTHROUGH_BUILD__SLOT_UID_BASE": str(uids.BASE + 300)})
        try:
            server.start()
            build(server, pypi, 0)
            before = figures(server)
            for number in range(1, builds + 1):
                build(server, pypi, number)
            after = figures(server)
            server.stop()
        finally:
            server.close()
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    report({key: after[key] - before.get(key, 0.0) for key in after}, builds, spent.ru_utime + spent.ru_stime)


def report(measured: dict[tuple[str, str], float], builds: int, processor: float) -> None:
    """Print the mean seconds of each stage, and of what comes before the hook."""
    means = {stage: measured[stage, "sum"] / builds for stage, which in measured if which == "sum"}
    for stage, seconds in means.items():
        print(f"{stage:10} {seconds:6.3f} s{'' if stage in BEFORE_THE_HOOK else '   (after the first hook began)'}")
    print(f"{'to hook':10} {sum(means.get(stage, 0.0) for stage in BEFORE_THE_HOOK):6.3f} s, of {builds} builds")
    print(f"processor time of the server and all builds: {processor:.1f} s")


if __name__ == "__main__":
    main()
