"""``python -m bench [pages] [files] [stall] [builds]``: all of them where none is named."""

from __future__ import annotations

import sys

from bench import builds, files, pages, stall

ALL = {"pages": pages.main, "files": files.main, "stall": stall.main, "builds": builds.main}


def run(names: list[str]) -> int:
    """Run the named measurements; 2 where a name is unknown."""
    if unknown := set(names) - set(ALL):
        print(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    for name in names or ALL:
        print(f"\n== {name}", flush=True)
        ALL[name]()
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
