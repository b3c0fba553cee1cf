"""Fifty `uv pip install` at once of the same forty wheels, each with an empty cache of its own."""

from __future__ import annotations

import os
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
from bench.report import DIRECT

if TYPE_CHECKING:
    from bench.peer import Peer
    from bench.report import Report, Table

WHEELS = 40
CLIENTS = 50
LIMIT = 30
"""Seconds."""
MEMORY = Path("/dev/shm")  # noqa: S108 - a file system in memory, so that no disk is measured
WORK = (MEMORY if os.access(MEMORY, os.W_OK) else lineup.WORK) / f"bench-installs-{os.getuid()}"
UV = Path(sys.executable).with_name("uv")
COST = "cached: processor seconds of the server"


def main(report: Report, *, quick: bool = False) -> None:
    """Measure: wheels not cached yet in the first column, cached in the second."""
    rounds = 1 if quick else 2
    table = report.table(f"{CLIENTS} at once: uv pip install of {WHEELS} wheels", "seconds until all are done")
    with lineup.upstream() as upstream, lineup.running(upstream) as running:
        for n in range(WHEELS):
            ask(f"{upstream}/simple/small{n}/")
        for number in range(rounds + 1):
            if number < 2:
                _direct(table, upstream, "cached" if number else "cold")
            for peer in list(running.peers):
                if number < 2 or isinstance(peer, (Ours, Cache)):
                    _through(table, running, peer, "cached" if number else "cold")
        report.missing |= running.missing
        report.versions |= running.versions
    report.at_most(
        "50 installs, cached: time against nginx", table.ratio((Ours.name, "cached"), (Cache.name, "cached")), 1.1
    )


def _direct(table: Table, upstream: str, column: str) -> None:
    try:
        table.add(DIRECT, column, installed(f"{upstream}/simple/"))
    except Broken as broken:
        table.say(DIRECT, column, f"failed: {broken}")


def _through(table: Table, running: lineup.Lineup, peer: Peer, column: str) -> None:
    before = peer.process.seconds_of_cpu()
    try:
        table.add(peer.name, column, installed(peer.index))
    except Broken as broken:
        table.say(peer.name, column, f"failed: {broken}")
        running.peers.remove(peer)
        peer.stop()
        return
    if column == "cached":
        table.add(peer.name, COST, peer.process.seconds_of_cpu() - before)


def installed(index: str) -> float:
    """Return the seconds until all have installed everything. Raise `Broken`."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    try:
        running, took = _run(index)
        for n, process in enumerate(running):
            there = len(list((WORK / f"target{n}").glob("small*.dist-info")))
            if process.returncode != 0 or there != WHEELS:
                said = " ".join((WORK / f"log{n}").read_text().split())[-200:]
                raise Broken(f"{there} of {WHEELS} installed: {said}")
        return took
    finally:
        shutil.rmtree(WORK, ignore_errors=True)


def _run(index: str) -> tuple[list[subprocess.Popen[bytes]], float]:
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
    return running, time.perf_counter() - began
