"""Memory after a thousand projects, and the time from the start until ready, without and with what was kept."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from bench import lineup, shapes
from bench.asking import ask
from bench.drain import drained
from bench.peers.ours import Ours
from bench.process import Broken

if TYPE_CHECKING:
    from bench.peer import Peer
    from bench.report import Report, Table

PROJECTS, LARGE = 1_000, 50
HUGE = 2_000
"""Megabytes of a file that passes for the first time."""
GZIP = {"Accept-Encoding": "gzip"}
AFTER, READY, AGAIN, PASSING = (
    "with these projects",
    "start",
    "start again",
    f"most while {HUGE / 1000:.0f} GB pass",
)


def main(report: Report, *, quick: bool = False) -> None:
    """Measure, and judge."""
    projects, large = (100, 5) if quick else (PROJECTS, LARGE)
    resident = report.table(
        "Resident memory", f"megabytes, all processes of each; {projects} projects, {large} of them as large as numpy"
    )
    started = report.table(
        "From the start until it answers", "seconds; on an empty folder, and on the folder of these projects"
    )
    names = [f"{(shapes.NUMPY if n < large else shapes.SIX).name}-x{n}" for n in range(projects)]
    with lineup.upstream() as upstream, lineup.running(upstream) as running:
        for peer in list(running.peers):
            started.add(peer.name, READY, peer.started)
            resident.add(peer.name, READY, peer.process.resident())
            try:
                _asked(peer, names)
            except (Broken, OSError) as broken:
                running.fails(peer, broken)
                continue
            resident.add(peer.name, AFTER, peer.process.resident())
            if isinstance(peer, Ours) and not quick:
                resident.add(peer.name, PASSING, _passing(peer))
            for _ in range(1 if quick else 3):
                peer.stop()
                peer.restart(upstream)
                started.add(peer.name, AGAIN, peer.started)
            peer.stop()
        report.missing |= running.missing
        report.versions |= running.versions
    _judge(report, resident, started, projects)


def _asked(peer: Peer, names: list[str]) -> None:
    for name in names:
        if ask(peer.page(name), GZIP).status != 200:
            raise Broken(f"does not answer for {name}")


def _passing(peer: Peer) -> float:
    (url,) = ask(peer.page(f"file{HUGE}")).files().values()
    seen, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            seen.append(peer.process.resident())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        drained(url, HUGE * 1_000_000)
    finally:
        done.set()
        watching.join()
    time.sleep(0.1)
    return max(seen)


def _judge(report: Report, resident: Table, started: Table, projects: int) -> None:
    report.at_most(f"megabytes resident after {projects:,} projects", resident.median(Ours.name, AFTER), 200)
    for column in (READY, AGAIN):
        report.at_most(f"{column} to ready, seconds", started.median(Ours.name, column), 1)
