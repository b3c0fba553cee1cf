"""Cached files of 20 MB and 200 MB, and a hundred clients that want the same one which is not there yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import lineup
from bench.asking import ask
from bench.drain import drained
from bench.peers.nginx import Cache, Static
from bench.peers.ours import Ours
from bench.process import Broken

if TYPE_CHECKING:
    from bench.asking import Answer
    from bench.peer import Peer
    from bench.report import Report, Table

SIZES = {"20 MB": ("file20", 20_000_000), "200 MB": ("file200", 200_000_000)}
CONNECTIONS = 4
CLIENTS = 100
LIMIT = 20
"""Seconds that a stampede may take."""
COST = "processor ms a GB"


def cached(report: Report, *, quick: bool = False) -> None:
    """Measure cached files, and judge."""
    rounds, others = (2, 1) if quick else (7, 2)
    table = report.table(f"Cached file, {CONNECTIONS} connections", "megabytes a second")
    with lineup.upstream() as upstream, lineup.running(upstream) as running:
        static = lineup.fresh(Static)
        assert isinstance(static, Static)
        running.joins(static, upstream)
        for label, (project, size) in SIZES.items():
            urls = _warm(running, upstream, project)
            for number in range(rounds):
                for peer, url in urls.items():
                    if number < others or isinstance(peer, (Ours, Static, Cache)):
                        _one(table, peer, url, label, size)
        report.missing |= running.missing
        report.versions |= running.versions
    for label in SIZES:
        report.at_least(
            f"{label}, cached: against nginx static", table.ratio((Ours.name, label), (Static.name, label)), 0.9
        )


def _warm(running: lineup.Lineup, upstream: str, project: str) -> dict[Peer, str]:
    urls: dict[Peer, str] = {}
    (from_upstream,) = ask(f"{upstream}/simple/{project}/").files().items()
    body = ask(from_upstream[1]).wire
    for peer in list(running.peers):
        try:
            if isinstance(peer, Static):
                url = peer.put_file(from_upstream[0], lineup.CACHE / "www" / from_upstream[0])
            else:
                (url,) = ask(peer.page(project)).files().values()
            urls[peer] = _checked(ask(url), body)
        except (Broken, OSError, ValueError) as broken:
            running.fails(peer, broken)
    return urls


def _checked(got: Answer, body: bytes) -> str:
    if got.wire != body:
        raise Broken(f"sends other bytes: {len(got.wire)} where there are {len(body)}")
    return got.url


def _one(table: Table, peer: Peer, url: str, label: str, size: int) -> None:
    try:
        before = peer.process.seconds_of_cpu()
        found = drained(url, size, clients=CONNECTIONS, seconds=1)
    except Broken as broken:
        table.say(peer.name, label, f"failed: {broken}")
        return
    table.add(peer.name, label, found.rate)
    cost = peer.process.seconds_of_cpu() - before
    table.add(peer.name, f"{label}: {COST}", 1e6 * cost / (found.bytes / 1e6) if found.bytes else 0)


def stampede(report: Report, *, quick: bool = False) -> None:
    """Let a hundred clients ask for one cold file of 200 MB at once."""
    rounds = 1 if quick else 3
    table = report.table(
        f"{CLIENTS} clients at once, one cold file of 200 MB", "seconds until all have it; transfers at upstream"
    )
    project, size = SIZES["200 MB"]
    worst = 0.0
    with lineup.upstream() as upstream, lineup.running(upstream) as running:
        for number in range(rounds):
            name = f"{project}-x{number}"
            ((filename, _),) = ask(f"{upstream}/simple/{name}/").files().items()
            for peer in running.peers:
                if number and not isinstance(peer, (Ours, Cache)):
                    continue
                try:
                    (url,) = ask(peer.page(name)).files().values()
                    before = lineup.transfers(upstream, filename)
                    table.add(peer.name, "seconds", drained(url, size, clients=CLIENTS, limit=LIMIT).seconds)
                    came = lineup.transfers(upstream, filename) - before
                    table.add(peer.name, "transfers", came)
                    worst = max(worst, came) if isinstance(peer, Ours) else worst
                except (Broken, OSError, ValueError) as broken:
                    table.say(peer.name, "seconds", f"failed: {broken}")
                    table.say(peer.name, "transfers", f"{lineup.transfers(upstream, filename) - before}")
        report.missing |= running.missing
        report.versions |= running.versions
    report.at_most("stampede: most transfers at upstream", worst or None, 1)
    report.at_most("stampede: time against nginx", table.ratio((Ours.name, "seconds"), (Cache.name, "seconds")), 1.3)
