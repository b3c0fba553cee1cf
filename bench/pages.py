"""Cached pages of four sizes: gzipped, zstandard, as they are, and not changed since (304)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bench import lineup, shapes
from bench.asking import Answer, ask
from bench.load import rate
from bench.peers.bare import Bare
from bench.peers.devpi import Devpi
from bench.peers.nginx import Cache, GzipCache, Static
from bench.peers.ours import Ours
from bench.peers.proxpi import Proxpi
from bench.peers.simple_repository import SimpleRepository
from bench.process import Broken
from bench.report import Table, number

if TYPE_CHECKING:
    from bench.peer import Peer
    from bench.report import Report

JUDGED = (Ours, Bare)
COSTED = (Ours, Bare, Static)
UNPACKED = (Devpi, SimpleRepository)
"""Those that compress nothing, whatever is accepted: measured once."""
FORMS = {"gzip": "gzip", "zstd": "zstd, gzip;q=0.5", "identity": "identity"}
WHOLE = f"{shapes.SIX.name} with its body (200)"
SMALL, LARGE = shapes.SIX.name, shapes.PYDANTIC_CORE.name


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int = 5
    """Of those whose ratios are judged."""
    others: int = 2
    """Of all others."""
    seconds: float = 1.0
    cost: Table = field(
        default_factory=lambda: Table("What an answer costs", "microseconds of the server's processor time a request")
    )

    def turns(self, peer: Peer, number: int) -> bool:
        """Return whether a peer is measured in this round."""
        return number < (self.rounds if isinstance(peer, JUDGED) else self.others)


def main(report: Report, *, quick: bool = False) -> None:
    """Measure, and judge."""
    effort = Effort(rounds=3, others=1) if quick else Effort()
    with lineup.upstream() as upstream, lineup.running(upstream, (*lineup.CACHES, GzipCache)) as running:
        _warm(running, upstream)
        for peer in _limits(running, upstream):
            running.joins(peer, upstream)
        report.missing |= running.missing
        report.versions |= running.versions
        tables = {form: _measured(report, running, form, effort) for form in FORMS}
        unchanged = _unchanged(report, running, effort)
        report.tables.append(effort.cost)
    _judge(report, tables, unchanged)


def _warm(running: lineup.Lineup, upstream: str) -> None:
    """Have every page made, and cached by each; who answers with another number of files is out."""
    for shape in shapes.SHAPES.values():
        ask(f"{upstream}/simple/{shape.name}/")
        for peer in list(running.peers):
            try:
                shapes.checked(shape, ask(peer.page(shape.name)).files())
            except (Broken, OSError, ValueError) as broken:
                running.fails(peer, broken)


def _limits(running: lineup.Lineup, upstream: str) -> list[Peer]:
    """Return the bare handler and nginx with ready files: the very page of ours, where it runs, else upstream's."""
    ours = next((peer for peer in running.peers if isinstance(peer, Ours)), None)
    static, bare = lineup.fresh(Static), lineup.fresh(Bare)
    assert isinstance(static, Static)
    assert isinstance(bare, Bare)
    for name in shapes.SHAPES:
        url = ours.page(name) if ours else f"{upstream}/simple/{name}/"
        plain = ask(url).wire
        packed = shapes.compressed(plain)
        static.put(name, plain, packed)
        zstd = ask(url, {"Accept-Encoding": FORMS["zstd"]})
        more = {"zstd": zstd.wire} if zstd.coding == "zstd" else {}
        bare.put(name, identity=plain, gzip=packed, **more)
    return [static, bare]


def _measured(report: Report, running: lineup.Lineup, form: str, effort: Effort) -> Table:
    table = report.table(f"Cached page, {form} accepted", "requests a second; kilobytes on the wire")
    accept = {"Accept-Encoding": FORMS[form]}
    for shape in shapes.SHAPES.values():
        chosen = []
        for peer in running.peers:
            answer = ask(peer.page(shape.name), accept)
            if form in {answer.coding, "gzip"}:  # whoever does not compress is asked all the same
                chosen.append(peer)
                table.say(peer.name, shape.name, f"({number(len(answer.wire) / 1000)} kB{_named(answer, form)})")
            else:
                table.say(peer.name, shape.name, answer.coding)
            if form != "gzip" and isinstance(peer, UNPACKED):
                table.say(peer.name, shape.name, "same")
        if form != "gzip":
            chosen = [peer for peer in chosen if not isinstance(peer, UNPACKED)]
        _rounds(table, shape.name, dict.fromkeys(chosen, accept), effort, form)
    return table


def _rounds(table: Table, project: str, asked: dict[Peer, dict[str, str]], effort: Effort, form: str) -> None:
    for number_of in range(effort.rounds):
        for peer, headers in asked.items():
            if effort.turns(peer, number_of):
                before = peer.process.seconds_of_cpu()
                table.add(peer.name, project, found := rate(peer.page(project), headers, seconds=effort.seconds))
                if isinstance(peer, COSTED):
                    spent = peer.process.seconds_of_cpu() - before
                    effort.cost.add(peer.name, f"{project}, {form}", 1e6 * spent / (found * effort.seconds))


def _named(answer: Answer, form: str) -> str:
    return "" if answer.coding == form else f", {answer.coding}"


def _unchanged(report: Report, running: lineup.Lineup, effort: Effort) -> Table:
    table = report.table("Cached page, not changed since (304)", "requests a second")
    for name in (SMALL, LARGE):
        asked: dict[Peer, dict[str, str]] = {}
        for peer in running.peers:
            first = ask(peer.page(name), {"Accept-Encoding": "gzip"})
            condition = {"If-None-Match": first.headers.get("ETag", '"none"'), "Accept-Encoding": "gzip"}
            if (status := ask(peer.page(name), condition).status) == 304:
                asked[peer] = condition
            else:
                table.say(peer.name, name, f"answers {status}")
        for _ in range(effort.rounds):
            _rounds(table, name, asked, replace(effort, rounds=1, others=1), "304")
            for peer in asked:
                if isinstance(peer, Ours):  # in the same rounds, to be compared
                    full = rate(peer.page(SMALL), {"Accept-Encoding": "gzip"}, seconds=effort.seconds)
                    table.add(peer.name, f"{WHOLE} beside {name}", full)
    return table


def _judge(report: Report, tables: dict[str, Table], unchanged: Table) -> None:
    packed = tables["gzip"]
    for name in shapes.SHAPES:
        for form, table in tables.items():
            ratio = table.ratio((Ours.name, name), (Bare.name, name))
            report.at_least(f"{name}, {form}: against the bare handler", ratio, 0.75)
        for rival in (Cache, GzipCache):
            ratio = packed.ratio((Ours.name, name), (rival.name, name))
            report.at_least(f"{name}, gzip: against {rival.name}", ratio, 1)
        report.at_least(f"{name}, gzip: against proxpi", packed.ratio((Ours.name, name), (Proxpi.name, name)), 10)
    for name in (SMALL, LARGE):
        ratio = unchanged.ratio((Ours.name, name), (Ours.name, f"{WHOLE} beside {name}"))
        report.at_least(f"{name}, 304: against {WHOLE}", ratio, 1)
