"""All peers before one upstream, each in an empty folder; who cannot be installed or started is told, and why."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.asking import ask
from bench.peer import CACHE, ROOT
from bench.peers.devpi import Devpi
from bench.peers.nginx import Cache
from bench.peers.ours import Ours
from bench.peers.proxpi import Proxpi
from bench.peers.simple_repository import SimpleRepository
from bench.process import Broken, environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.peer import Peer

CACHES: tuple[type[Peer], ...] = (Ours, Cache, Proxpi, Devpi, SimpleRepository)
"""Those that stand in front of an upstream."""
WORK = CACHE / "work"


@contextmanager
def upstream(*, far: bool = False) -> Iterator[str]:
    """Run the index in a process of its own; gives its address."""
    command = [sys.executable, "-m", "bench.upstream", str(CACHE / "www"), *(["--far"] if far else [])]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.communicate()


def transfers(upstream_url: str, containing: str) -> int:
    """Return how often upstream was asked to send what has this in its path."""
    counts: dict[str, int] = json.loads(ask(f"{upstream_url}/counts").wire)
    return sum(count for path, count in counts.items() if path.startswith("GET ") and containing in path)


@dataclass(slots=True)
class Lineup:
    """Those that run, and why others do not."""

    peers: list[Peer] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    """Reasons by name."""
    versions: dict[str, str] = field(default_factory=dict)
    """By name, of all that started."""

    def joins(self, peer: Peer, upstream_url: str) -> None:
        """Start one more."""
        self.peers.append(peer)
        try:
            peer.start(upstream_url)
            self.versions[peer.name] = peer.version()
        except (Broken, OSError) as broken:
            self.fails(peer, broken)

    def fails(self, peer: Peer, reason: object) -> None:
        """Take one out of what comes."""
        print(f"! {peer.name}: {reason}", file=sys.stderr, flush=True)
        self.missing[peer.name] = str(reason)
        self.peers = [other for other in self.peers if other is not peer]
        peer.stop()

    def stop(self) -> None:
        """End all."""
        for peer in self.peers:
            peer.stop()


def fresh(kind: type[Peer], label: str = "") -> Peer:
    """Return a peer, installed, in an empty folder. Raise `Broken`."""
    kind.install()
    folder = WORK / f"{kind.__module__.rpartition('.')[2]}-{kind.__name__.lower()}{label}"
    shutil.rmtree(folder, ignore_errors=True)
    return kind(folder)


@contextmanager
def running(upstream_url: str, kinds: Sequence[type[Peer]] = CACHES) -> Iterator[Lineup]:
    """Start all of these kinds."""
    lineup = Lineup()
    try:
        for kind in kinds:
            try:
                peer = fresh(kind)
            except Broken as broken:
                lineup.missing[kind.name] = str(broken)
                print(f"! {kind.name}: {broken}", file=sys.stderr, flush=True)
                continue
            lineup.joins(peer, upstream_url)
        yield lineup
    finally:
        lineup.stop()
