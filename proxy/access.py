"""How the upstreams of the settings are reached: addresses, credentials, certificates; opened, or said in words."""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from yarl import URL

from buildthrough.config.pip import find_index
from buildthrough.config.schema import SettingsError
from buildthrough.proxy import logs
from buildthrough.proxy.address import index_url
from buildthrough.proxy.credentials import basic, bearer, from_url
from buildthrough.proxy.netrc_file import NetrcFile, from_netrc, netrc_path
from buildthrough.proxy.upstream import HttpUpstream
from buildthrough.proxy.upstreams import Member, Upstreams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from buildthrough.config.schema import NamedUpstream, Settings
    from buildthrough.proxy.credentials import Credentials
    from buildthrough.proxy.decisions import Decisions
    from buildthrough.proxy.upstream import Upstream

log = logs.logger("access")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The way to one upstream."""

    given: NamedUpstream
    url: URL
    """The index's address, without credentials."""
    found: str
    """Where the address is from, in words."""
    ca_file: str
    credentials: Credentials | None = field(repr=False)
    credentials_from: str
    netrc: Path | None = None
    """The netrc file to look into while the server runs; then ``credentials`` is what it has now."""
    note: str = ""
    """What went wrong on the way and is no reason to stop."""

    @property
    def table(self) -> str:
        """The table of the settings that it stands in."""
        return f"upstreams.{self.given.name}" if self.given.name else "upstream"


async def accesses(settings: Settings) -> tuple[Access, ...]:
    """Find the way to each upstream, in order. Raise `SettingsError`."""
    server = settings.server
    return tuple(
        [await asyncio.to_thread(_access, given, host=server.host, port=server.port) for given in settings.upstreams]
    )


def fingerprint(ways: Sequence[Access]) -> str:
    """Return what tells one set of upstreams from another: pages of one are of no use to the other."""
    told = [f"{way.given.name}\n{way.url}\n{way.given.projects}\n{way.given.pinned_only}" for way in ways]
    return hashlib.sha256("\n\n".join(told).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The upstreams, ready to be asked."""

    upstream: Upstream
    """All of them as one."""
    members: tuple[Member, ...]

    def forget(self, project: str) -> None:
        """Drop what is kept of a project's decision in memory."""
        if isinstance(self.upstream, Upstreams):
            self.upstream.forget(project)


@asynccontextmanager
async def opened(
    ways: Sequence[Access], decisions: Decisions, observe: Callable[[str, str, float, str], None]
) -> AsyncIterator[Opened]:
    """Open the upstreams. ``observe`` gets the name (empty where there is one) and what `HttpUpstream` says.

    Raise `SettingsError` for a file that cannot be used.
    """
    async with AsyncExitStack() as stack:
        members: list[Member] = []
        for way in ways:
            name = way.given.name
            client = await stack.enter_async_context(client_of(way, stays=bool(name), observe=partial(observe, name)))
            told = {"name": name, "pins": " ".join(way.given.projects)} if name else {}
            log.info("upstream", url=client.redacted_url, **told)
            if way.note:
                log.warning(way.note, upstream=name)
            members.append(
                Member(
                    name=name,
                    upstream=client,
                    projects=way.given.projects,
                    pinned_only=way.given.pinned_only,
                    url=client.redacted_url,
                )
            )
        is_one = len(members) == 1 and not members[0].name
        whole = members[0].upstream if is_one else Upstreams(members, decisions)
        yield Opened(upstream=whole, members=tuple(members))


@asynccontextmanager
async def client_of(
    way: Access,
    *,
    stays: bool,
    observe: Callable[[str, float, str], None] = lambda _kind, _seconds, _outcome: None,
    retries: int | None = None,
) -> AsyncIterator[HttpUpstream]:
    """Open the client of one upstream. Raise `SettingsError` for a file that cannot be used."""
    given = way.given
    contact = f" ({given.user_agent_contact})" if given.user_agent_contact else ""
    await asyncio.to_thread(_check_files, way)
    client = HttpUpstream.open(
        str(way.url),
        name=given.name,
        stays=stays,
        credentials=way.credentials if way.netrc is None else NetrcFile(way.netrc, way.url.host or ""),
        client_cert=given.client_cert or None,
        client_key=given.client_key or None,
        ca_file=way.ca_file or None,
        connect_seconds=given.connect_seconds,
        read_seconds=given.read_seconds,
        retries=given.retries if retries is None else retries,
        max_page_bytes=given.max_page_bytes,
        user_agent=f"buildthrough/{version('buildthrough')}{contact}",
        observe=observe,
    )
    async with AsyncExitStack() as stack:
        try:
            yielded = await stack.enter_async_context(client)
        except OSError as error:  # OpenSSL's, too
            reason = getattr(error, "reason", None) or error.strerror or "no reason given"
            raise SettingsError(
                f"The certificates of {way.table} cannot be used ({reason}): "
                "see that ca_file, client_cert and client_key are PEM, belong together, and the key is not encrypted."
            ) from error
        yield yielded


def _access(given: NamedUpstream, *, host: str, port: int) -> Access:
    text, ca_file, found = given.url, given.ca_file, "the settings"
    if not text:
        pips = find_index(host=host, port=port)
        text, ca_file, found = pips.url, ca_file or pips.ca_file or "", pips.source
    url = index_url(text)
    credentials, origin = _stated(given, URL(text))
    netrc = netrc_path(os.environ) if credentials is None else None
    note = ""
    if netrc is not None:
        try:
            credentials = from_netrc(netrc, url.host or "")
        except ValueError as error:
            note = str(error)
        origin = str(netrc)
    return Access(
        given=given,
        url=url,
        found=found,
        ca_file=ca_file,
        credentials=credentials,
        credentials_from=origin,
        netrc=netrc,
        note=note,
    )


def _stated(given: NamedUpstream, url: URL) -> tuple[Credentials | None, str]:
    """Return the credentials that the settings state, and where they stand."""
    if given.token:
        return bearer(given.token), "the settings"
    if given.username:
        return basic(given.username, given.password), "the settings"
    return from_url(url), "the address"


def _check_files(way: Access) -> None:
    named = (("ca_file", way.ca_file), ("client_cert", way.given.client_cert), ("client_key", way.given.client_key))
    for setting, path in named:
        try:
            if path:
                Path(path).open("rb").close()
        except OSError as error:
            raise SettingsError(
                f"{way.table}.{setting} names {path}, which cannot be read ({error.strerror or error})."
            ) from error
