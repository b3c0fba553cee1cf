"""What nobody has asked for yet, from an upstream that is far away: pages, files, and how long others wait."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench import lineup, shapes
from bench.asking import Answer, ask
from bench.drain import drained
from bench.peers.nginx import Cache
from bench.peers.ours import Ours
from bench.process import Broken
from bench.report import DIRECT
from bench.sample import Sampler

if TYPE_CHECKING:
    from bench.peer import Peer
    from bench.report import Report, Table

GZIP = {"Accept-Encoding": "gzip"}
FILE, SIZE = "file20", 20_000_000
FILE_COLUMN = "file of 20 MB"
CALM = 1.5
"""Seconds of sampling at rest before and after what disturbs."""


@dataclass(slots=True)
class Cold:
    """A run in progress."""

    upstream: str
    running: lineup.Lineup
    rounds: int
    table: Table
    waits: Table
    allowed: dict[str, list[float]] = field(default_factory=dict)
    """By project: our seconds, less what is allowed."""

    def turns(self, number: int) -> list[Peer]:
        """Return who is measured in this round: ours and nginx in each, the others in the first."""
        return [peer for peer in self.running.peers if number == 0 or isinstance(peer, (Ours, Cache))]

    def page(self, shape: shapes.Shape, number: int) -> None:
        """Ask for a cold page directly and through each."""
        project = f"{shape.name}-x{number}"
        direct_url = f"{self.upstream}/simple/{project}/"
        ask(direct_url, GZIP)  # makes it
        direct = ask(direct_url, GZIP)
        self.table.add(DIRECT, shape.name, direct.seconds)
        for peer in self.turns(number):
            try:
                answer = (
                    self._disturbing(peer, project)
                    if isinstance(peer, (Ours, Cache))
                    else ask(peer.page(project), GZIP)
                )
                shapes.checked(shape, answer.files())
            except (Broken, OSError, ValueError) as broken:
                self.table.say(peer.name, shape.name, f"failed: {broken}")
                continue
            self.table.add(peer.name, shape.name, answer.seconds)
            if isinstance(peer, Ours):
                self.allowed.setdefault(shape.name, []).append(answer.seconds - 1.25 * direct.seconds)

    def _disturbing(self, peer: Peer, project: str) -> Answer:
        sampler = Sampler(peer.page(shapes.SIX.name), seconds=2 * CALM)
        answer = ask(peer.page(project), GZIP)
        self.waits.add(peer.name, project.partition("-x")[0], sampler.collect().worst)
        return answer

    def file(self, number: int) -> None:
        """Ask for a cold file directly and through each."""
        project = f"{FILE}-x{number}"
        (url,) = ask(f"{self.upstream}/simple/{project}/").files().values()
        self.table.add(DIRECT, FILE_COLUMN, drained(url, SIZE).seconds)
        for peer in self.turns(number):
            try:
                (url,) = ask(peer.page(project)).files().values()
                self.table.add(peer.name, FILE_COLUMN, drained(url, SIZE).seconds)
            except (Broken, OSError, ValueError) as broken:
                self.table.say(peer.name, FILE_COLUMN, f"failed: {broken}")


def main(report: Report, *, quick: bool = False) -> None:
    """Measure, and judge."""
    rounds = 2 if quick else 5
    with lineup.upstream(far=True) as upstream, lineup.running(upstream) as running:
        table = report.table("Not cached yet, upstream 80 ms and 20 MB/s away", "seconds to the last byte")
        waits = report.table(
            "Others while a cold page comes", "worst wait in ms for the small cached page, asked for 200 times a second"
        )
        cold = Cold(upstream, running, rounds, table, waits)
        ask(f"{upstream}/simple/{shapes.SIX.name}/")
        for peer in running.peers:
            ask(peer.page(shapes.SIX.name))
            if isinstance(peer, (Ours, Cache)):
                for _ in range(rounds):
                    waits.add(peer.name, "at rest", Sampler(peer.page(shapes.SIX.name), seconds=CALM).collect().worst)
        for number in range(rounds):
            for shape in (shapes.NUMPY, shapes.PYDANTIC_CORE):
                cold.page(shape, number)
            cold.file(number)
        report.missing |= running.missing
        report.versions |= running.versions
    _judge(report, cold)


def _judge(report: Report, cold: Cold) -> None:
    for name, over in cold.allowed.items():
        report.at_most(f"{name}, cold: milliseconds over 1.25 times a direct fetch", 1000 * statistics.median(over), 50)
        report.at_most(f"{name}, cold: worst wait of others, ms", cold.waits.median(Ours.name, name), 20)
    ratio = cold.table.ratio((Ours.name, FILE_COLUMN), (DIRECT, FILE_COLUMN))
    report.at_most("file of 20 MB, cold: against a direct fetch", ratio, 1.1)
