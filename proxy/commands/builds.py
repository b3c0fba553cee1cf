"""``buildthrough builds``: what is being built, was built, or could not be."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from buildthrough.proxy.commands import options
from buildthrough.proxy.commands.table import duration, moment, table, text
from buildthrough.proxy.logs import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

SUMMARY = "list builds, the newest first"
STATES = ("QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED")
_HEAD = ("ID", "STATE", "PROJECT", "VERSION", "TARGET", "AGE", "TOOK", "RESULT")
_DEFAULT_LIMIT = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--project", metavar="NAME", help="only those of a project")
    parser.add_argument("--state", type=str.upper, choices=STATES, help="only those in a state")
    parser.add_argument(
        "--limit",
        metavar="N",
        type=positive,
        default=_DEFAULT_LIMIT,
        help=f"at most so many (default {_DEFAULT_LIMIT})",
    )
    parser.add_argument("--json", action="store_true", help="print the server's answer as JSON")
    options.add_server(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the builds."""
    wanted = {"project": arguments.project, "state": arguments.state, "limit": str(arguments.limit)}
    answer = options.connect(arguments).get("builds", {name: value for name, value in wanted.items() if value})
    if arguments.json:
        print(json.dumps(answer, indent=2))
        return 0
    builds = answer.get("builds", [])
    if not builds:
        print("There are no such builds." if arguments.project or arguments.state else "Nothing was built yet.")
        return 0
    for line in rows(builds, datetime.now(UTC)):
        print(line)
    if arguments.project:
        for line in advice(builds):
            print(line)
        for line in kept(builds):
            print(escape(line))
    return 0


def rows(builds: Sequence[dict[str, Any]], now: datetime) -> list[str]:
    """Return the lines of the list."""
    return list(table(_HEAD, [_row(build, now) for build in builds]))


def advice(builds: Sequence[dict[str, Any]]) -> list[str]:
    """Return what each class of failure among the builds means and what to do, once each, below an empty line."""
    told: dict[str, str] = {}
    for build in builds:
        if build.get("state") == "FAILED" and build.get("advice"):
            told.setdefault(text(build["advice"]), f"{text(build.get('fault'))}: {text(build.get('means'))}.")
    return [line for sentence, means in told.items() for line in ("", means, f"  {sentence}")]


def kept(builds: Sequence[dict[str, Any]]) -> list[str]:
    """Return which wheels are kept for the operator alone, why, and what to do with them, below an empty line each."""
    lines = []
    for build in builds:
        if not build.get("unlisted"):
            continue
        pin = f"{text(build.get('project'))}=={text(build.get('version'))}"
        why = ": ".join(text(build[name]) for name in ("fault", "line") if build.get(name))
        name, place, number = (text(build.get(key)) for key in ("unlisted", "unlisted_url", "id"))
        lines += [
            "",
            f"{name} is kept, and listed for nobody: {why or 'see its log'}.",
            f"  `buildthrough log {number}` says more; the operator's token fetches it from {place}.",
            f"  `buildthrough purge {pin}` removes it. `buildthrough build {pin}` builds it again, once the cause is",
            "  gone or a recipe excuses it.",
        ]
    return lines


def _row(build: dict[str, Any], now: datetime) -> tuple[str, ...]:
    created, started, finished = (moment(build.get(name)) for name in ("created", "started", "finished"))
    ended = finished or now
    return (
        text(build.get("id")),
        text(build.get("state")),
        text(build.get("project")),
        text(build.get("version")),
        text(build.get("target")),
        duration((now - created).total_seconds()) if created else "-",
        duration((ended - started).total_seconds()) if started else "-",
        _result(build),
    )


def _result(build: dict[str, Any]) -> str:
    chain = [text(each) for each in build.get("chain") or ()]
    return _ending(build) + (f" (for {' -> '.join(chain)})" if chain else "")


def _ending(build: dict[str, Any]) -> str:
    if build.get("wheel"):
        cut = moment(build.get("time_cut"))
        return "".join(
            (
                text(build["wheel"]),
                f" (time-cut to {cut:%Y-%m-%d})" if cut else "",
                " (by a recipe)" if build.get("recipe") else "",
                " (purged)" if build.get("purged") else "",
            )
        )
    if build.get("fault"):
        why = ": ".join(str(part) for part in (build["fault"], build.get("line")) if part)
        why += " (its wheel is kept, and listed for nobody)" if build.get("unlisted") else ""
        return f"{_wait(build)}, after {why}" if build.get("waits") else why
    return _wait(build) if build.get("waits") or build.get("waits_for") else "-"


_WAITS = {
    "back-off": "is tried again later",
    "builder": "waits for the builder, which is away: see `buildthrough doctor`",
    "drain": "waits for `buildthrough resume`",
    "lock": "waits: the pool is locked, see `buildthrough doctor`",
    "budget": "waits for memory or processors",
    "slot": "waits for its turn",
}


def _wait(build: dict[str, Any]) -> str:
    """Say what a queued build waits for."""
    if build.get("waits_for"):
        return f"waits for build {text(build['waits_for'])}"
    said = [_WAITS.get(text(build["waits"]), "waits")]
    if build.get("position"):
        said.append(f"number {text(build['position'])}")
    if isinstance(build.get("estimate_seconds"), int | float):
        said.append(f"in about {duration(build['estimate_seconds'])}")
    return ", ".join(said)


def positive(value: str) -> int:
    """Read a whole number from 1."""
    if not value.isascii() or not value.isdigit() or int(value[:19]) == 0:
        raise argparse.ArgumentTypeError(f"{value!r} is not a whole number from 1")
    return int(value)
