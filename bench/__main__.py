"""``python -m bench [--quick] [NAME ...]``: all measurements where none is named; prints Markdown."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from typing import TYPE_CHECKING

from bench import builds, cold, files, installs, memory, pages, queue, sandbox
from bench.peer import CACHE, ROOT
from bench.report import Report, written

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS: dict[str, Callable[..., None]] = {
    "pages": pages.main,
    "cold": cold.main,
    "files": files.cached,
    "stampede": files.stampede,
    "installs": installs.main,
    "memory": memory.main,
    "builds": builds.main,
    "queue": queue.main,
    "sandbox": sandbox.main,
}


def main(arguments: list[str]) -> int:
    """Run the named parts; what was measured until something broke is printed all the same."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: to try it, not to quote it")
    parser.add_argument("--readme", action="store_true", help="write what was measured into README.md as well")
    parser.add_argument("parts", nargs="*", metavar="NAME", help=f"of {', '.join(PARTS)}; all if none is named")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    report, began = Report(quick=chosen.quick), time.monotonic()
    try:
        for name in chosen.parts or PARTS:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            PARTS[name](report, quick=chosen.quick)
            print(f"... {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    finally:
        text = report.markdown()
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE / "results.md").write_text(text)
        print(text)
    if chosen.readme:
        readme = ROOT / "README.md"
        readme.write_text(written(readme.read_text(), text))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
