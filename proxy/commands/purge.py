"""``buildthrough purge``: remove built wheels, or list which would go."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from buildthrough.proxy.commands import options
from buildthrough.proxy.commands.build import pin
from buildthrough.proxy.commands.table import size, table, text
from buildthrough.proxy.logs import escape

if TYPE_CHECKING:
    import argparse

SUMMARY = "remove built wheels: of a project, of a version, one file, or all whose sdist is yanked"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "what", metavar="NAME[==VERSION]", nargs="?", type=_what, help="wheels of a project or a version; or one file"
    )
    parser.add_argument("--file", metavar="FILENAME", help="the wheel of this file name")
    parser.add_argument("--yanked", action="store_true", help="wheels whose sdist upstream has yanked")
    parser.add_argument("--dry-run", action="store_true", help="only list what would go")
    parser.add_argument("--allow-rebuild", action="store_true", help="let the next request build them again")
    parser.add_argument("--json", action="store_true", help="print the server's answer as JSON")
    options.add_server(parser)
    parser.set_defaults(refuse=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Remove, or list."""
    if arguments.what is None and arguments.file is None and not arguments.yanked:
        arguments.refuse("say what to remove: NAME, NAME==VERSION, --file FILENAME or --yanked")
    wanted: dict[str, object] = {
        "file": arguments.file,
        **(arguments.what or {}),
        "yanked": arguments.yanked,
        "dry_run": arguments.dry_run,
        "allow_rebuild": arguments.allow_rebuild,
    }
    answer = options.connect(arguments).post("purge", {name: value for name, value in wanted.items() if value})
    if arguments.json:
        print(json.dumps(answer, indent=2))
        return 0
    for line in report(answer, dry_run=arguments.dry_run):
        print(escape(line))
    return 0


def _what(written: str) -> dict[str, object]:
    if written.endswith(".whl"):
        return {"file": written}
    project, version = pin(written)
    return {"project": project, "version": version}


def report(answer: dict[str, Any], *, dry_run: bool) -> list[str]:
    """Return the lines for people."""
    purged, cancelled = answer.get("purged", []), answer.get("cancelled", [])
    head = ("PROJECT", "VERSION", "FILE", "SIZE", "TARGET")
    rows = [
        (
            *(text(one.get(name)) for name in ("project", "version", "filename")),
            size(one.get("size")),
            text(one.get("target")),
        )
        for one in purged
    ]
    unlisted = answer.get("unlisted", [])
    rows += [
        (*(text(one.get(name)) for name in ("project", "version", "filename")), "unlisted", text(one.get("target")))
        for one in unlisted
    ]
    lines = list(table(head, rows)) if rows else []
    wheels = "1 wheel" if len(purged) == 1 else f"{len(purged)} wheels"
    wheels += f" and {len(unlisted)} listed for nobody" if unlisted else ""
    builds = "1 build" if len(cancelled) == 1 else f"{len(cancelled)} builds"
    if dry_run:
        lines.append(f"{wheels} would be removed and {builds} cancelled. This was a dry run: nothing was removed.")
    else:
        lines.append(f"{wheels} removed, {builds} cancelled.")
    not_asked = answer.get("not_asked", [])
    if not_asked:
        names = ", ".join(str(name) for name in not_asked)
        lines.append(f"Upstream could not be asked about these projects, so they were left alone: {names}.")
    return lines
