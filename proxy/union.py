"""The union of several upstreams' lists of projects. Pure; takes a thread's time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from buildthrough.proxy.names import is_valid, normalize
from buildthrough.proxy.project_list import walk_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from buildthrough.proxy.page_answer import PageAnswer

_BATCH = 4096


def union(lists: Sequence[tuple[PageAnswer, Callable[[str], bool]]]) -> bytes:
    """Return one list of projects as JSON (PEP 691): of each list the projects that its function says come from there.

    The function is called with normalised names. A project stands there once, spelled as in the first list that has
    it. Raise `UpstreamInvalid` where one is no list of projects.
    """
    seen: set[str] = set()
    pieces = [b'{"meta": {"api-version": "1.0"}, "projects": [']
    batch: list[str] = []

    def flush() -> None:
        pieces.append("".join(batch).encode())
        batch.clear()

    def take(has: Callable[[str], bool], name: str) -> None:
        project = normalize.__wrapped__(name)  # its memory would hold nothing else afterwards
        if project in seen or not is_valid(name) or not has(project):
            return
        batch.append(f'{", " if seen else ""}{{"name": "{name}"}}')  # a valid name has nothing to escape
        seen.add(project)
        if len(batch) == _BATCH:
            flush()

    for answer, has in lists:
        walk_names(answer, partial(take, has))
    batch.append("]}\n")
    flush()
    return b"".join(pieces)
