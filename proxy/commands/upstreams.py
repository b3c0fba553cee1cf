"""``buildthrough upstreams``: the upstreams in their order, and which one each project comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from buildthrough.proxy.commands import options
from buildthrough.proxy.commands.table import table, text

if TYPE_CHECKING:
    import argparse

SUMMARY = "list the upstreams, and which of them projects were decided to come from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("project", metavar="NAME", nargs="?", help="only this project's decision")
    parser.add_argument("--limit", metavar="N", default="100", help="at most so many decisions (default: 100)")
    parser.add_argument("--json", action="store_true", help="print the server's answer as JSON")
    options.add_server(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print them."""
    query = {"limit": arguments.limit} | ({"project": arguments.project} if arguments.project else {})
    answer = options.connect(arguments).get("upstreams", query)
    if arguments.json:
        print(json.dumps(answer, indent=2))
        return 0
    rows = [
        (
            text(one.get("name")),
            text(one.get("url")),
            text(", ".join(one.get("projects", []))),
            "nothing" if one.get("pinned_only") else "yes",
        )
        for one in answer.get("upstreams", [])
    ]
    for line in table(("UPSTREAM", "URL", "PINS", "ASKED FOR OTHERS"), rows):
        print(line)
    decided = [
        (text(one.get("project")), text(one.get("upstream")), text(one.get("decided")))
        for one in answer.get("decisions", [])
    ]
    print()
    for line in table(("PROJECT", "UPSTREAM", "DECIDED"), decided) if decided else ["No decision is remembered."]:
        print(line)
    return 0
