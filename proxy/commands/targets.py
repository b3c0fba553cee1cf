"""``buildthrough targets``: what the server can build for, and how it isolates builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildthrough.proxy.commands import options
from buildthrough.proxy.commands.table import table, text
from buildthrough.proxy.logs import escape

if TYPE_CHECKING:
    import argparse

SUMMARY = "list what the server can build for"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    options.add_server(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the targets."""
    answer = options.connect(arguments).get("targets")
    targets = answer.get("targets", [])
    rows = [
        (
            text(one.get("target")),
            text(one.get("interpreter")),
            "yes" if one.get("has_headers") else "no",
            text(one.get("root")),
        )
        for one in targets
    ]
    for line in table(("TARGET", "INTERPRETER", "C HEADERS", "ROOT"), rows) if rows else ["There are no targets."]:
        print(line)
    builder = answer.get("builder") or {}
    if builder.get("answers") is False:
        away = f"since {text(builder.get('since'))}: {text(builder.get('why'))}"
        print(f"\nthe builder is away {escape(away)}")
    isolation = answer.get("isolation", {})
    print(f"\nisolation level {escape(text(isolation.get('level')))}; `buildthrough doctor` says what that holds")
    for sentence in () if targets else isolation.get("sentences", []):
        print(f"  - {escape(text(sentence))}")
    return 0
