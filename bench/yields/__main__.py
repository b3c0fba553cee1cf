"""``python -m bench.yields [--no-plain] [--once] [--write] [PROJECT ...]``: needs PyPI."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.e2e.server import Server

from bench.peer import CACHE, ROOT
from bench.yields import corpus
from bench.yields.outcome import Outcome, load, store
from bench.yields.page import written
from bench.yields.run import measure
from bench.yields.shell import Shell, shell

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = CACHE / "yield.json"
BUILDER = CACHE / "root" / "data-targets" / "same"
"""The root file system that `make yield` makes; without it, builds see this machine's own libraries."""
PAGE = ROOT / "docs" / "build-yield.md"


def main(arguments: list[str]) -> int:
    """Measure, keep what was measured, print it."""
    parser = argparse.ArgumentParser(prog="python -m bench.yields")
    parser.add_argument("--no-plain", action="store_true", help="without plain pip wheel beside it")
    parser.add_argument("--once", action="store_true", help="without building each a second time")
    parser.add_argument("--at-once", type=int, default=2, metavar="N", help="rows at the same time (default 2)")
    parser.add_argument("--write", action="store_true", help="write docs/build-yield.md")
    parser.add_argument("--again", action="store_true", help="measure nothing: print what was measured last")
    parser.add_argument(
        "--remark", default="", metavar="TEXT", help="what else the page has to say of how it was measured"
    )
    parser.add_argument("projects", nargs="*", metavar="PROJECT", help="only these; what else was measured is kept")
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    rows = corpus.read(frozenset(chosen.projects))
    known = {(each.name, each.version): each for each in load(RESULTS)} if RESULTS.exists() else {}
    if not chosen.again:
        if not chosen.projects:
            known = {}
        for outcome in _measured(rows, plain=not chosen.no_plain, twice=not chosen.once, at_once=chosen.at_once):
            known[outcome.name, outcome.version] = outcome
            store(RESULTS, list(known.values()))
    outcomes = [known[key] for row in corpus.read() if (key := (row.name, row.version)) in known]
    page = written(outcomes, f"{_machine()} {chosen.remark}".strip())
    print(page)
    if chosen.write:
        PAGE.write_text(page)
    return 0


def _measured(rows: list[corpus.Row], *, plain: bool, twice: bool, at_once: int) -> list[Outcome]:
    environment = {
        "PATH": os.environ["PATH"],
        "BUILDTHROUGH_BUILD__VERSION_MANAGERS": "false",  # the system's Python is the one that is compared
        **({"BUILDTHROUGH_BUILD__ROOTS": f'["{BUILDER}"]'} if BUILDER.is_dir() else {}),
    }
    server = Server(None, network=True, environment=environment)
    try:
        server.start()
        port = urlsplit(server.url).port
        assert port is not None
        with shell(server.folder / "clients", _pip(), port) as opened, ThreadPoolExecutor(at_once) as threads:
            return list(threads.map(partial(_one, server=server, opened=opened, plain=plain, twice=twice), rows))
    finally:
        server.close()


def _one(row: corpus.Row, *, server: Server, opened: Shell, plain: bool, twice: bool) -> Outcome:
    outcome = measure(row, server, opened, plain=plain, twice=twice)
    ours = outcome.ours
    there = "" if outcome.plain is None else f"; pip wheel: {outcome.plain.wheel or outcome.plain.line}"
    print(f"{row.name} {row.version}: {ours.wheel or f'{ours.fault}: {ours.line}'}{there}", file=sys.stderr, flush=True)
    return outcome


def _pip() -> Path:
    folder = CACHE / "pip"
    if not (folder / "pip").is_dir():
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "--quiet",
                "install",
                "--only-binary",
                ":all:",
                "--target",
                str(folder),
                "pip",
            ],
            check=True,
        )
    return folder


def _machine() -> str:
    return f"Measured on {os.cpu_count()} cores, {platform.system()} {platform.machine()}."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
