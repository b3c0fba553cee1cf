"""What the sandbox costs: a package of our own that compiles for some seconds, built in it and without any isolation.

Both unpack the sdist, make a virtual environment with uv and call the hooks by pyproject_hooks, on file systems in
memory; the build in the sandbox is the whole one, with its dialogue and the check of the wheel. Rounds are paired.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uv
from tests.sandbox.workbench import package, workbench

from bench.peers.ours import Ours

if TYPE_CHECKING:
    from tests.fakes.sdists import Sdist
    from tests.sandbox.workbench import Workbench

    from bench.report import Report

PLAIN, SANDBOXED = "a build of some 3 s without isolation", "the same in the sandbox"
SHARE, SECONDS = 0.05, 0.05
"""What may be added: a share of the time, and seconds once."""
_PLAIN = """
import os, pathlib, subprocess, sys, tarfile
from build import ProjectBuilder
sdist, uv, python, folder = sys.argv[1:]
with tarfile.open(sdist) as archive:
    archive.extractall(folder, filter="data")
source = next(path for path in pathlib.Path(folder).iterdir() if path.is_dir())
environment = os.path.join(folder, "env")
options = ("--quiet", "--no-cache", "--no-config", "--no-project", "--offline", "--no-python-downloads")
subprocess.run([uv, "venv", *options, "--python", python, environment], check=True)
def run(command, cwd=None, extra_environ=None):
    subprocess.run(command, cwd=cwd, env={**os.environ, **(extra_environ or {})}, check=True, stdout=subprocess.DEVNULL)
builder = ProjectBuilder(source, os.path.join(environment, "bin", "python"), run)
builder.get_requires_for_build("wheel")
builder.build("wheel", os.path.join(folder, "out"))
"""


def main(report: Report, *, quick: bool = False) -> None:
    """Measure in pairs, and judge what is beyond the share and the seconds that may be added."""
    table = report.table("The sandbox's overhead", "seconds")
    sdist = package("takes-its-time")
    beyond: list[float] = []
    with workbench() as bench:
        _sandboxed(bench, sdist)
        for number in range(3 if quick else 15):
            ways = (_plainly, _sandboxed) if number % 2 else (_sandboxed, _plainly)
            took = {way: way(bench, sdist) for way in ways}
            table.add(Ours.name, PLAIN, took[_plainly])
            table.add(Ours.name, SANDBOXED, took[_sandboxed])
            beyond.append(took[_sandboxed] - took[_plainly] * (1 + SHARE) - SECONDS)
    ratio = table.ratio((Ours.name, SANDBOXED), (Ours.name, PLAIN))
    report.at_most("a build of some 3 s in the sandbox, against one without", ratio, 1 + SHARE + SECONDS / 3)
    report.at_most("milliseconds beyond 5 % + 50 ms", 1000 * sorted(beyond)[len(beyond) // 2], 0)


def _sandboxed(bench: Workbench, sdist: Sdist) -> float:
    began = time.monotonic()
    asyncio.run(bench.build(sdist, wall_seconds=600, silence_seconds=300))
    return time.monotonic() - began


def _plainly(bench: Workbench, sdist: Sdist) -> float:
    python = str(bench.target.interpreter.executable)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:  # in memory, as the sandbox's folders are
        path = Path(folder, sdist.filename)
        path.write_bytes(sdist.data)
        began = time.monotonic()
        argv = [sys.executable, "-c", _PLAIN, str(path), uv.find_uv_bin(), python, folder]
        subprocess.run(argv, check=True, env={"PATH": os.environ["PATH"], "TMPDIR": folder})
        return time.monotonic() - began
