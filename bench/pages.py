"""Cached pages: our server against the bare handler. Wanted: at least 0.5."""

from __future__ import annotations

from tests.fakes.pypi import FakePyPI

from bench.tools import JSON, bare, big_page, compare, running

SIZES = {"25 kB": 25_000, "125 kB": 125_000, "3 MB": 3_000_000, "10 MB": 10_000_000}


def main(*, rounds: int = 5, seconds: int = 3) -> None:
    """Print a line a size."""
    with FakePyPI(gzip=False) as pypi:
        for number, size in enumerate(SIZES.values()):
            big_page(pypi, f"page{number}", size)
        with running(pypi) as server:
            paths = [f"/simple/page{number}/" for number in range(len(SIZES))]
            bodies = {f"page{n}": server.ask(path, Accept=JSON, timeout=120).body for n, path in enumerate(paths)}
            with bare(bodies, {}) as limit:
                print(f"{'page':>8} {'bytes':>10} {'ours/s':>9} {'bare/s':>9} {'ratio':>6}   wanted >= 0.5")
                for (label, _), (name, body) in zip(SIZES.items(), bodies.items(), strict=True):
                    ours, theirs = compare(
                        f"{server.url}/simple/{name}/", f"{limit}/page/{name}", rounds=rounds, seconds=seconds
                    )
                    print(f"{label:>8} {len(body):>10} {ours:>9.0f} {theirs:>9.0f} {ours / theirs:>6.2f}", flush=True)
