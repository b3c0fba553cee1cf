"""Several upstreams as one: each project comes from the first that has it, decided once and remembered.

An upstream that fails is never passed by, not even while a project is undecided: who could make it fail could have
another index's project of the same name installed (dependency confusion). Only its plain word that it does not have
the project leads on to the next, and only until one has it.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from fnmatch import translate
from typing import TYPE_CHECKING, Final

from buildthrough.proxy import logs
from buildthrough.proxy.errors import NotFound, StorageFault, UnknownProject, UpstreamUnavailable
from buildthrough.proxy.names import normalize
from buildthrough.proxy.page import take_page
from buildthrough.proxy.page_answer import Arrival, PageAnswer
from buildthrough.proxy.union import union

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from buildthrough.proxy.decisions import Decisions
    from buildthrough.proxy.upstream import FileAnswer, Upstream

log = logs.logger("upstreams")

_MOST_UNSAVED: Final = 10_000
"""Decisions that are kept in memory while the database takes none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One of several upstreams."""

    name: str
    upstream: Upstream
    projects: tuple[str, ...] = ()
    """Patterns of the projects that come from here and from nowhere else."""
    pinned_only: bool = False
    """Whether it is asked for no others."""
    url: str = ""
    """Its address without credentials, for people."""


class Upstreams:
    """Several upstreams, in the order in which they are asked: an `Upstream` itself."""

    def __init__(self, members: Sequence[Member], decisions: Decisions) -> None:
        self._members = {member.name: member for member in members}
        self._pins = [(member, _pattern(member.projects)) for member in members if member.projects]
        self._asked = [member for member in members if not member.pinned_only]
        self._decisions = decisions
        self._unsaved: dict[str, str] = {}

    async def page(self, project: str | None, etag: str | None, arrival: Arrival | None = None) -> PageAnswer | None:
        """Return the page of the upstream that the project comes from; for None the union of all lists.

        While it is not decided where a project comes from, nobody is told of its page before it is whole.
        """
        if project is None:
            return await self._list(etag)
        name = await self._decided(project)
        if name is not None:
            return await self._member(name, project).upstream.page(project, etag, arrival)
        return (await self._choose(project, etag))[1]

    async def json_api(self, project: str, version: str | None, etag: str | None) -> PageAnswer | None:
        """Ask the upstream that the project comes from."""
        name = await self._decided(project)
        if name is None:
            name = (await self._choose(project, None))[0]
        return await self._member(name, project).upstream.json_api(project, version, etag)

    def file(
        self, url: str, offset: int = 0, end: int | None = None, *, upstream: str = ""
    ) -> AbstractAsyncContextManager[FileAnswer]:
        """Open a file through the upstream that lists it."""
        return self._member(upstream).upstream.file(url, offset, end, upstream=upstream)

    async def size(self, url: str, *, upstream: str = "") -> int | None:
        """Ask the upstream that lists the file."""
        return await self._member(upstream).upstream.size(url, upstream=upstream)

    def forget(self, project: str) -> None:
        """Drop what is kept here of a decision that was forgotten."""
        self._unsaved.pop(project, None)

    async def _decided(self, project: str) -> str | None:
        pinned = self._pinned(project)
        if pinned is not None:
            return pinned.name
        unsaved = self._unsaved.get(project)
        if unsaved is not None:
            return await self._remember(project, unsaved)
        return await self._decisions.recall(project)

    async def _choose(self, project: str, etag: str | None) -> tuple[str, PageAnswer | None]:
        """Ask one after the other; return the first that has the project, and its answer. It is remembered then.

        Raise `UnknownProject` where none has it, and what an upstream raises that cannot say.
        """
        for member in self._asked:
            try:
                answer = await member.upstream.page(project, etag)
            except UnknownProject:
                continue
            if answer is not None:  # what is no page decides nothing: a gateway's page of errors has every project
                await asyncio.to_thread(take_page, answer, project)
            chosen = await self._remember(project, member.name)
            if chosen != member.name:  # somebody was quicker
                return chosen, await self._member(chosen, project).upstream.page(project, etag)
            log.info("a project's upstream was decided", project=project, upstream=chosen)
            return chosen, answer
        raise UnknownProject(f"None of the upstreams has a project {project}.")

    async def _remember(self, project: str, name: str) -> str:
        try:
            chosen = await self._decisions.decide(project, name)
        except StorageFault as fault:
            if len(self._unsaved) >= _MOST_UNSAVED and project not in self._unsaved:
                raise
            log.warning("a decision cannot be saved yet", project=project, upstream=name, fault=fault.sentence)
            return self._unsaved.setdefault(project, name)
        self._unsaved.pop(project, None)
        return chosen

    def _pinned(self, project: str) -> Member | None:
        return next((member for member, pattern in self._pins if pattern.match(project)), None)

    def _member(self, name: str, project: str = "") -> Member:
        member = self._members.get(name)
        if member is None:
            raise UpstreamUnavailable(
                f"{project or 'The file'} comes from the upstream {name!r}, which is in the settings no longer: "
                "bring it back, or let an operator forget the decision."
            )
        return member

    async def _list(self, etag: str | None) -> PageAnswer | None:
        """Return the union of the lists, None where each is what it was. One that fails is not left out."""
        members = list(self._members.values())
        etags: list[str | None] = list((etag or "").split("\n"))
        if len(etags) != len(members):
            etags = [None] * len(members)
        answers = [await _list_of(member, tag) for member, tag in zip(members, etags, strict=True)]
        if all(answer is None for answer in answers):
            return None
        whole = [answer or await _list_of(member, None) for member, answer in zip(members, answers, strict=True)]
        lists = [
            (answer, self._has(member)) for member, answer in zip(members, whole, strict=True) if answer is not None
        ]
        url = next((answer.url for answer, _ in lists if answer.url), None)
        if url is None:
            raise UnknownProject("None of the upstreams has a list of projects.")
        tags = [answer.etag or "" for answer, _ in lists]
        return PageAnswer(
            body=await asyncio.to_thread(union, lists),
            content_type="application/vnd.pypi.simple.v1+json",
            url=url,
            etag="\n".join(tags) if all(tags) and len(tags) == len(members) else None,
            last_serial=None,
        )

    def _has(self, member: Member) -> _Has:
        return _Has(self._pins, member)


class _Has:
    """Whether a project that an upstream lists can come from there."""

    def __init__(self, pins: Iterable[tuple[Member, re.Pattern[str]]], member: Member) -> None:
        self._pins = tuple(pins)
        self._member = member

    def __call__(self, project: str) -> bool:
        for member, pattern in self._pins:
            if pattern.match(project):
                return member is self._member
        return not self._member.pinned_only


async def _list_of(member: Member, etag: str | None) -> PageAnswer | None:
    try:
        return await member.upstream.page(None, etag)
    except NotFound:
        return None if etag == _NO_LIST.etag else _NO_LIST  # some private indexes have none


def _pattern(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(normalize(pattern)) for pattern in patterns))


_NO_LIST: Final = PageAnswer(
    body=b'{"meta": {"api-version": "1.0"}, "projects": []}',
    content_type="application/vnd.pypi.simple.v1+json",
    url="",
    etag="none",
    last_serial=None,
)
