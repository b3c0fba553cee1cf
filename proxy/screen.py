"""Which files of a project are not shown, and why: by the operator's rules, and by a cut-off. Pure.

One rule for pages, files and builds alike. Where something has to be known and is not, the file is hidden; so is one
whose URL stays upstream's, since no rule could be kept there.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from buildthrough.proxy.cutoff import parse_time, written

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from buildthrough.proxy.entry import Entry, ProjectFiles
    from buildthrough.proxy.policy import ProjectRules

_NO_CUTOFF = -1
_SHORT = 1000
"""Files of a page that are gone through well within a millisecond."""
_MOST_KEPT = 8
"""Moments for which the hidden files are remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """What is not shown at a moment."""

    names: frozenset[str]
    moment: datetime | None = None
    digest: str = ""
    """What tells one set of names from another; empty for none."""


NOTHING = Hidden(names=frozenset())


@dataclass(frozen=True, slots=True)
class _Timeline:
    moments: tuple[datetime, ...]
    names: tuple[str, ...]
    """In the order of upload."""
    unknown: frozenset[str]
    """Those of which nobody knows when they were uploaded."""


class Screen:
    """The files of one page as upstream sent it, and what is hidden of them. Made in a thread for a long page."""

    def __init__(
        self, files: ProjectFiles, rules: ProjectRules, times: Mapping[tuple[str, str], str] | None = None
    ) -> None:
        """Judge the files. ``times`` says when files were uploaded, by name and sha256, where the page does not."""
        self._refused: dict[str, str] = {}
        if rules.refusal is not None or rules.has_versions:
            told = ((entry.filename, rules.file_refusal(entry.filename)) for entry in files.entries)
            self._refused = {name: sentence for name, sentence in told if sentence is not None}
        self._foreign = files.foreign
        self._timeline = _timeline(files, times or {})
        self._sets: OrderedDict[int, tuple[frozenset[str], str]] = OrderedDict()

    @property
    def size(self) -> int:
        """The number of files."""
        return len(self._timeline.names) + len(self._timeline.unknown)

    @property
    def times(self) -> Mapping[str, datetime]:
        """When files were uploaded, by name, as far as anybody says."""
        return dict(zip(self._timeline.names, self._timeline.moments, strict=True))

    @property
    def lacks_times(self) -> bool:
        """Whether nobody knows of some file when it was uploaded."""
        return bool(self._timeline.unknown)

    @property
    def knows_no_time(self) -> bool:
        """Whether there are files, and nobody knows of any when it was uploaded."""
        return not self._timeline.names and bool(self._timeline.unknown)

    def is_at_hand(self, moment: datetime | None) -> bool:
        """Whether `hidden` answers at once: the page is short, or the same files were hidden lately."""
        return self.size < _SHORT or self._shown(moment) in self._sets

    def hidden(self, moment: datetime | None) -> Hidden:
        """Return what is not shown, under a cut-off or without. An age is a new moment at each request."""
        names, digest = self._set(self._shown(moment))
        return Hidden(names=names, digest=digest, moment=moment)

    def refusal(self, filename: str, hidden: Hidden) -> str | None:
        """Return the sentence why a file is not shown, None where it is."""
        if filename not in hidden.names:
            return None
        refused = self._refused.get(filename)
        if refused is not None:
            return refused
        if filename in self._foreign:
            return f"{filename} is hidden: under rules and cut-offs, only what is served from here is shown."
        before = f"only what was uploaded before {written(hidden.moment)} is shown" if hidden.moment else "it is hidden"
        if filename in self._timeline.unknown:
            return f"{filename} is hidden by a cut-off: nobody says when it was uploaded, and {before}."
        return f"{filename} is hidden by a cut-off: {before}."

    def _shown(self, moment: datetime | None) -> int:
        """Return how many of the timeline are before a moment; `_NO_CUTOFF` where there is none."""
        return _NO_CUTOFF if moment is None else bisect_left(self._timeline.moments, moment)

    def _set(self, shown: int) -> tuple[frozenset[str], str]:
        """Return the hidden names, and what tells them from others, where so many of the timeline are shown."""
        found = self._sets.get(shown)
        if found is None:
            names = frozenset(self._refused) | self._foreign
            if shown != _NO_CUTOFF:
                names |= self._timeline.unknown
                names |= frozenset(self._timeline.names[shown:])
            told = hashlib.sha256("\n".join(sorted(names)).encode(errors="replace")).hexdigest() if names else ""
            found = self._sets[shown] = names, told
            if len(self._sets) > _MOST_KEPT:
                self._sets.popitem(last=False)
        return found


def _timeline(files: ProjectFiles, times: Mapping[tuple[str, str], str]) -> _Timeline:
    known: list[tuple[datetime, str]] = []
    unknown: set[str] = set()
    for entry in files.entries:
        moment = _moment(entry, times)
        if moment is None:
            unknown.add(entry.filename)
        else:
            known.append((moment, entry.filename))
    known.sort()
    return _Timeline(tuple(moment for moment, _ in known), tuple(name for _, name in known), frozenset(unknown))


def _moment(entry: Entry, times: Mapping[tuple[str, str], str]) -> datetime | None:
    stated = entry.upload_time
    if stated is None and entry.sha256 is not None:
        stated = times.get((entry.filename, entry.sha256))
    try:
        return parse_time(stated) if stated is not None else None
    except ValueError:
        return None
