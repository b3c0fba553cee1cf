"""What is hidden now, by the operator's rules and by cut-offs: one answer for pages, files and builds alike.

Times of upload come from the page (PEP 700) or, where it has none, from upstream's JSON API. Where nobody knows them,
a cut-off hides the file; where nobody knows any of a project's, it is refused with a sentence.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from buildthrough.proxy import logs
from buildthrough.proxy.entry import Entry, ProjectFiles
from buildthrough.proxy.errors import Denied, NotFound, UpstreamFault
from buildthrough.proxy.flight import Flights
from buildthrough.proxy.screen import NOTHING, Screen
from buildthrough.proxy.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from buildthrough.proxy.cutoff import Cutoff
    from buildthrough.proxy.policy import ProjectRules, Rules
    from buildthrough.proxy.release_json import ReleaseDocument
    from buildthrough.proxy.releases import Release, Releases
    from buildthrough.proxy.screen import Hidden

log = logs.logger("screens")

_FILE_WEIGHT = 400
_SCREEN_WEIGHT = 1_000
_PROJECTS = 4096

_Key = tuple[str, str, bytes]
"""A project, the digest of its page, and that of what the JSON API said of it."""


@dataclass(frozen=True, slots=True)
class Screened:
    """What is hidden of a page, and why."""

    screen: Screen | None
    hidden: Hidden

    def check(self, filename: str) -> None:
        """Raise `Denied` where a file is hidden."""
        sentence = self.screen.refusal(filename, self.hidden) if self.screen is not None else None
        if sentence is not None:
            raise Denied(sentence)

    def shown(self, files: ProjectFiles) -> ProjectFiles:
        """Return the files without those that are hidden."""
        names = self.hidden.names
        if not names:
            return files
        return replace(files, entries=tuple(one for one in files.entries if one.filename not in names))


ALL = Screened(None, NOTHING)
"""Nothing is hidden."""


class Screens:
    """The rules, the cut-off that always holds, and what was found out about pages under them."""

    def __init__(self, *, rules: Rules, cutoffs: Mapping[str, Cutoff], releases: Releases, memory_bytes: int) -> None:
        """Take the rules, and the cut-offs that always hold by the upstreams' names."""
        self._has_rules = bool(rules)
        self._cutoffs = cutoffs
        self._releases = releases
        self._shelf: Shelf[tuple[str, bool], tuple[_Key, Screen]] = Shelf(memory_bytes)
        self._flights: Flights[_Key, tuple[_Key, Screen]] = Flights()
        self._of = lru_cache(maxsize=_PROJECTS)(rules.of)

    @property
    def show_all(self) -> bool:
        """Whether nothing is ever hidden or refused, but by a view."""
        return not self._has_rules and not self._cutoffs

    async def close(self) -> None:
        """End what is under way."""
        await self._flights.close()

    def admit(self, project: str) -> None:
        """Raise `Denied` where the rules refuse a whole project: upstream need not be asked about it."""
        if self._has_rules:
            refusal = self._of(project).refusal
            if refusal is not None:
                raise Denied(refusal)

    def is_open(self, project: str, cutoff: datetime | None = None) -> bool:
        """Whether nothing can be hidden of a project. Raise `Denied` where all of it is refused."""
        self.admit(project)
        return cutoff is None and not self._cutoffs and not self._tells_versions(project)

    async def look(
        self,
        project: str,
        digest: str,
        files: Callable[[], Awaitable[ProjectFiles]],
        *,
        upstream: str = "",
        cutoff: datetime | None = None,
    ) -> Screened:
        """Return what is hidden of an upstream's page with this digest, under a cut-off beside its own.

        Raise `Denied` where the project is refused, or where a cut-off holds and nobody knows any time of upload.
        """
        self.admit(project)
        limit = self._limit(upstream, cutoff)
        if limit is None and not self._tells_versions(project):
            return ALL
        screen = await self._screen(project, digest, files, None)
        if limit is not None and screen.lacks_times:
            since = 0.0 if cutoff is None else cutoff.timestamp()
            screen = await self._with_times(project, digest, files, screen, since)
        if screen.is_at_hand(limit):
            return Screened(screen, screen.hidden(limit))
        return Screened(screen, await asyncio.to_thread(screen.hidden, limit))

    async def times(
        self, project: str, digest: str, files: Callable[[], Awaitable[ProjectFiles]]
    ) -> Mapping[str, datetime]:
        """Return when the files of an upstream's page with this digest were uploaded, as far as anybody says.

        Raise `Denied` where the project is refused.
        """
        self.admit(project)
        screen = await self._screen(project, digest, files, None)
        if screen.lacks_times:
            try:
                release, _ = await self._releases.get(project, None)
            except (NotFound, UpstreamFault) as fault:
                log.info("upload times are not known", project=project, fault=fault.sentence)
            else:
                screen = await self._screen(project, digest, files, release)
        return await asyncio.to_thread(lambda: screen.times)

    def look_at_release(self, document: ReleaseDocument, upstream: str) -> Screened:
        """Return what is hidden of what the JSON API answered. Blocks for a moment: it belongs into a thread."""
        self.admit(document.project)
        limit = self._limit(upstream, None)
        if limit is None and not self._tells_versions(document.project):
            return ALL
        entries = tuple(
            Entry(
                filename=one.filename,
                url="",
                path="",
                hashes={"sha256": one.sha256} if one.sha256 is not None else {},
                upload_time=one.upload_time,
            )
            for files in document.lists
            for one in files
            if one.is_ours
        )
        foreign = frozenset(one.filename for files in document.lists for one in files if not one.is_ours)
        listed = ProjectFiles(project=document.project, entries=entries, foreign=foreign)
        screen = Screen(listed, self._of(document.project))
        return Screened(screen, screen.hidden(limit))

    def _tells_versions(self, project: str) -> bool:
        return self._has_rules and self._of(project).has_versions

    def _limit(self, upstream: str, cutoff: datetime | None) -> datetime | None:
        """Return the earlier of the two."""
        always = self._cutoffs.get(upstream)
        if always is None:
            return cutoff
        moment = always.at(datetime.now(UTC))
        return moment if cutoff is None else min(cutoff, moment)

    async def _screen(
        self, project: str, digest: str, files: Callable[[], Awaitable[ProjectFiles]], release: Release | None
    ) -> Screen:
        key = (project, digest, b"" if release is None else release.digest)
        place = (project, release is not None)
        found = self._shelf.get(place)
        if found is None or found[0] != key:
            found = await self._flights.join(key, lambda: self._judge(key, files, release))
            self._shelf.put(place, found, _SCREEN_WEIGHT + found[1].size * _FILE_WEIGHT)
        return found[1]

    async def _judge(
        self, key: _Key, files: Callable[[], Awaitable[ProjectFiles]], release: Release | None
    ) -> tuple[_Key, Screen]:
        listed = await files()
        return key, await asyncio.to_thread(_judged, listed, self._of(key[0]), release)

    async def _with_times(
        self, project: str, digest: str, files: Callable[[], Awaitable[ProjectFiles]], screen: Screen, since: float
    ) -> Screen:
        """Return the screen with the times that upstream's JSON API knows. Raise `Denied` where nobody knows any."""
        try:
            release, _ = await self._releases.get(project, None, since)
        except NotFound:
            pass
        except UpstreamFault as fault:
            if screen.knows_no_time:
                raise
            log.warning("upload times are not known", project=project, fault=fault.sentence)
        else:
            screen = await self._screen(project, digest, files, release)
        if screen.knows_no_time:
            msg = f"Nobody says when the files of {project} were uploaded, so that under a cut-off none can be offered."
            raise Denied(msg)
        return screen


def _judged(files: ProjectFiles, rules: ProjectRules, release: Release | None) -> Screen:
    return Screen(files, rules, release.document.upload_times() if release is not None else None)
