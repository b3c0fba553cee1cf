"""What a statement of provenance says, in plain words. Pure. It may be a stranger's: nothing in it is relied upon."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_LISTED = 50
_LONGEST = 300
_WIDTH = 17


def story(statement: dict[str, Any]) -> Iterator[str]:
    """Yield lines: what it was built from, for what, by whom, when, with what, and all that the build learnt."""
    predicate = statement.get("predicate")
    asked = _dig(predicate, "buildDefinition", "externalParameters")
    learnt = _dig(predicate, "buildDefinition", "internalParameters")
    used = _dig(predicate, "buildDefinition", "resolvedDependencies")
    builder = _dig(predicate, "runDetails", "builder")
    times = _dig(predicate, "runDetails", "metadata")
    used = used if isinstance(used, list) else []
    for one in used[:1]:
        yield _row("built from", f"{_said(one, 'name')} (sha256 {_said(_dig(one, 'digest'), 'sha256')})")
        if _dig(one, "downloadLocation"):
            yield _row("served at", _said(one, "downloadLocation"))
    yield _row("for", f"{_said(asked, 'project')} {_said(asked, 'version')}, {_said(asked, 'target')}")
    yield _row("by", f"{_said(builder, 'id')} ({_brief(_dig(builder, 'version'))})")
    yield _row("build", _said(times, "invocationId"))
    yield _row("time", f"{_said(times, 'startedOn')} to {_said(times, 'finishedOn')}")
    for one in used[1 : 1 + _MOST_LISTED]:
        yield _row("with", f"{_said(one, 'name')} (sha256 {_said(_dig(one, 'digest'), 'sha256')})")
    if len(used) > 1 + _MOST_LISTED:
        yield _row("with", f"{len(used) - 1 - _MOST_LISTED} more")
    if isinstance(learnt, dict):
        for name, value in list(learnt.items())[:_MOST_LISTED]:
            if value not in (None, "", [], {}):
                yield _row(_words(str(name)), _brief(value))


def _row(name: str, value: str) -> str:
    return f"  {name[:40].ljust(_WIDTH)} {value}"


def _dig(value: object, *names: str) -> object:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _said(value: object, name: str) -> str:
    found = _dig(value, name)
    return _brief(found) if found is not None else "?"


def _brief(value: object, depth: int = 4) -> str:
    """Return a value on one line, cut where it is long or deep."""
    if depth == 0:
        return "..."
    match value:
        case str():
            line = value
        case dict():
            line = ", ".join(f"{name} {_brief(each, depth - 1)}" for name, each in list(value.items())[:_MOST_LISTED])
        case list():
            line = ", ".join(_brief(each, depth - 1) for each in value[:_MOST_LISTED])
        case _:
            line = json.dumps(value)
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def _words(name: str) -> str:
    """Return the words of a name in camelCase."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
