"""Fifty `uv pip install` at once of the same forty wheels, each with an empty cache of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench import lineup
from bench.asking import ask
from bench.peers.nginx import Cache
from bench.peers.ours import Ours
from bench.process import Broken, environment

if TYPE_CHECKING:
    from bench.report import Report

WHEELS = 40
CLIENTS = 50
LIMIT = 45
"""Seconds."""
WORK = lineup.WORK / "installs"
UV = Path(sys.executable).with_name("uv")
LIMIT_ROW = "upstream itself, no cache between"


def main(report: Report, *, quick: bool = False) -> None:
    """Measure: wheels not cached yet in the first column, cached in the second."""
    rounds = 1 if quick else 2
    table = report.table(f"{CLIENTS} at once: uv pip install of {WHEELS} wheels", "seconds until all are done")
    with lineup.upstream() as upstream, lineup.running(upstream) as running:
        for n in range(WHEELS):
            ask(f"{upstream}/simple/small{n}/")
        indexes = {LIMIT_ROW: f"{upstream}/simple/"} | {peer.name: peer.index for peer in running.peers}
        for number in range(rounds + 1):
            for name, index in list(indexes.items()):
                if number > 1 and name not in {LIMIT_ROW, Ours.name, Cache.name}:
                    continue
                column = "cached" if number else "cold"
                try:
                    table.add(name, column, installed(index))
                except Broken as broken:
                    table.say(name, column, f"failed: {broken}")
                    del indexes[name]
        report.missing |= running.missing
        report.versions |= {peer.name: peer.version() for peer in running.peers}
    report.at_most(
        "50 installs, cached: time against nginx", table.ratio((Ours.name, "cached"), (Cache.name, "cached")), 1.1
    )


def installed(index: str) -> float:
    """Return the seconds until all have installed everything. Raise `Broken`."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    names = [f"small{n}" for n in range(WHEELS)]
    began = time.perf_counter()
    running = []
    for n in range(CLIENTS):
        command = [
            str(UV), "pip", "install", "--quiet", "--no-config", "--python", sys.executable, "--default-index", index,
            "--cache-dir", str(WORK / f"cache{n}"), "--target", str(WORK / f"target{n}"), *names,
        ]  # fmt: skip
        with (WORK / f"log{n}").open("wb") as log:
            running.append(subprocess.Popen(command, env=environment(), stdout=log, stderr=log))
    try:
        for process in running:
            process.wait(max(0.1, began + LIMIT - time.perf_counter()))
    except subprocess.TimeoutExpired:
        raise Broken(f"more than {LIMIT} s") from None
    finally:
        for process in running:
            process.kill()
            process.wait()
    took = time.perf_counter() - began
    for n, process in enumerate(running):
        there = len(list((WORK / f"target{n}").glob("small*.dist-info")))
        if process.returncode != 0 or there != WHEELS:
            said = " ".join((WORK / f"log{n}").read_text().split())[-200:]
            raise Broken(f"{there} of {WHEELS} installed: {said}")
    return took
