"""The `Upstream` port: ask the index that we stand in front of for a page or a file; and the client that does it."""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote

import aiohttp
from yarl import URL

from buildthrough.proxy.address import index_url, json_api_url, shown, target
from buildthrough.proxy.attempts import Attempts
from buildthrough.proxy.coding import ACCEPTED
from buildthrough.proxy.credentials import from_url
from buildthrough.proxy.errors import NotFound, UnknownProject, UpstreamUnavailable
from buildthrough.proxy.exchange import Exchange, Trust
from buildthrough.proxy.page_answer import header, receive
from buildthrough.proxy.proxies import Proxies
from buildthrough.proxy.ranges import content_range
from buildthrough.proxy.upstream_faults import check, observed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from buildthrough.proxy.credentials import Credentials
    from buildthrough.proxy.netrc_file import NetrcFile
    from buildthrough.proxy.page_answer import Arrival, PageAnswer

ACCEPT: Final = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAnswer:
    """A file that is arriving."""

    size: int | None
    """Bytes of the whole file, where upstream says it."""
    offset: int
    """Where the chunks begin: 0, or what was asked for and granted."""
    chunks: AsyncIterator[bytes]
    """Raises `UpstreamUnavailable` where the file breaks off."""
    etag: str | None = None
    """What upstream calls these bytes, where it does."""


class Upstream(Protocol):
    """The index that we stand in front of."""

    async def page(self, project: str | None, etag: str | None, arrival: Arrival | None = None) -> PageAnswer | None:
        """Return a project's page, for None the project list; None where it is still what the ETag names.

        ``arrival`` is told of it meanwhile. Raise `UnknownProject`, `UpstreamUnavailable` or `UpstreamInvalid`.
        """
        ...

    async def json_api(self, project: str, version: str | None, etag: str | None) -> PageAnswer | None:
        """Return what PyPI's JSON API says of a project or of one release; None where it is still what the ETag names.

        Raise `NotFound` where upstream has no such API or no such release, `UpstreamUnavailable` or `UpstreamInvalid`.
        """
        ...

    def file(
        self, url: str, offset: int = 0, end: int | None = None, *, upstream: str = ""
    ) -> AbstractAsyncContextManager[FileAnswer]:
        """Open a file that is listed on a page of this upstream, see `PageAnswer.upstream`.

        It comes from ``offset`` to ``end``, without that, or whole where upstream does not grant this.
        Raise `NotFound` where upstream says so (404, 410), else `UpstreamUnavailable`.
        """
        ...

    async def size(self, url: str, *, upstream: str = "") -> int | None:
        """Return a file's size without fetching it, None where upstream does not say. Raise as `file` does."""
        ...


def _unobserved(_kind: str, _seconds: float, _outcome: str) -> None:
    """Drop the observation."""


class HttpUpstream:
    """An index over HTTP. Its credentials go to its own origin alone, and into no log and no message."""

    def __init__(
        self,
        *,
        index: URL,
        exchange: Exchange,
        attempts: Attempts,
        name: str = "",
        stays: bool = False,
        max_page_bytes: int = 256 << 20,
        observe: Callable[[str, float, str], None] = _unobserved,
    ) -> None:
        """``observe`` is called once per question: ``page``, ``json``, ``file`` (until it begins), ``size``; seconds;
        the outcome. With ``stays`` a page is not taken from another host, where a redirect leads to one.
        """  # noqa: D205 - two sentences of the same weight
        self._url = index
        self._exchange = exchange
        self._attempts = attempts
        self._name = name
        self._host = index.host if stays else None
        self._mark = hashlib.sha256(f"{name}\n{index}".encode()).hexdigest()[:12]
        self._max_page_bytes = max_page_bytes
        self._observe = observe

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        name: str = "",
        stays: bool = False,
        credentials: Credentials | NetrcFile | None = None,
        client_cert: Path | str | None = None,
        client_key: Path | str | None = None,
        ca_file: Path | str | None = None,
        proxies: Proxies | None = None,
        connect_seconds: float = 10.0,
        read_seconds: float = 30.0,
        retries: int = 2,
        max_page_bytes: int = 256 << 20,
        user_agent: str = "buildthrough",
        observe: Callable[[str, float, str], None] = _unobserved,
    ) -> AsyncIterator[HttpUpstream]:
        """Open the client. Credentials may stand in the URL; proxies are those of the environment if not given.

        Raise OSError where a file of certificates or the key cannot be read.
        """
        index = index_url(url)
        trust = await asyncio.to_thread(Trust.load, ca_file, client_cert, client_key)
        exchange = Exchange(
            index=index,
            credentials=credentials or from_url(URL(url)),
            trust=trust,
            proxies=Proxies(os.environ) if proxies is None else proxies,
        )
        async with Attempts.open(
            connect_seconds=connect_seconds, read_seconds=read_seconds, retries=retries, user_agent=user_agent
        ) as attempts:
            yield cls(
                index=index,
                exchange=exchange,
                attempts=attempts,
                name=name,
                stays=stays,
                max_page_bytes=max_page_bytes,
                observe=observe,
            )

    @property
    def redacted_url(self) -> str:
        """The index's URL without credentials, with a slash at its end."""
        return str(self._url)

    async def page(self, project: str | None, etag: str | None, arrival: Arrival | None = None) -> PageAnswer | None:
        """Ask for a page, JSON before HTML; it is decoded here, in bounds, and never half."""
        url = self._url if project is None else URL(f"{self._url}{quote(project, safe='')}/", encoded=True)
        try:
            return await self._document("page", url, ACCEPT, etag, arrival)
        except NotFound as fault:
            raise UnknownProject("Upstream does not know this project.") from fault

    async def json_api(self, project: str, version: str | None, etag: str | None) -> PageAnswer | None:
        """Ask beside the index, where PyPI has it."""
        url = json_api_url(self._url, project, version)
        if url is None:
            raise NotFound("Upstream has no JSON API that we know of: its index's address does not end in /simple/.")
        return await self._document("json", url, "application/json", etag)

    async def _document(
        self, kind: str, url: URL, accept: str, etag: str | None, arrival: Arrival | None = None
    ) -> PageAnswer | None:
        headers = {"Accept": accept, "Accept-Encoding": ACCEPTED}
        mark, _, theirs = (etag or "").partition(" ")
        if mark == self._mark:
            headers["If-None-Match"] = theirs
        with observed(kind, self._observe) as observation:
            try:
                answer = await self._attempts.run(lambda session: self._page(session, url, headers, arrival), url)
            except NotFound:
                if "If-None-Match" not in headers:
                    raise
                # It was there: that it is gone is believed when it is said twice, the second time by another node.
                answer = await self._attempts.run(
                    lambda session: self._page(session, url, headers, arrival), url, anew=True
                )
            observation.outcome = "ok" if answer is not None else "not modified"
        return answer

    @asynccontextmanager
    async def file(
        self,
        url: str,
        offset: int = 0,
        end: int | None = None,
        *,
        upstream: str = "",  # noqa: ARG002 - there is one
    ) -> AsyncIterator[FileAnswer]:
        """Open a file as it is: no coding is asked for, none is removed; the digest tells what is right."""
        address = target(url)
        async with AsyncExitStack() as stack:
            with observed("file", self._observe):
                response, begin = await self._attempts.run(
                    lambda session: self._open(stack, session, address, offset, end), address
                )
            yield FileAnswer(
                size=_whole_size(response),
                offset=begin,
                chunks=_chunks(response, address),
                etag=header(response, "ETag"),
            )

    async def size(self, url: str, *, upstream: str = "") -> int | None:  # noqa: ARG002 - there is one
        """Ask by HEAD."""
        address = target(url)

        async def head(session: aiohttp.ClientSession) -> int | None:
            async with self._exchange.request(session, "HEAD", address, {"Accept-Encoding": "identity"}) as response:
                if response.status in {405, 501}:
                    return None
                check(response, address)
                return response.content_length

        with observed("size", self._observe):
            return await self._attempts.run(head, address)

    async def _page(
        self, session: aiohttp.ClientSession, url: URL, headers: Mapping[str, str], arrival: Arrival | None
    ) -> PageAnswer | None:
        known = headers.get("If-None-Match")
        async with self._exchange.request(session, "GET", url, headers, within=self._host) as response:
            if response.status != 304 or known is None:  # noqa: PLR2004
                check(response, url)
                limit = self._max_page_bytes
                return await receive(response, limit=limit, mark=self._mark, upstream=self._name, arrival=arrival)
            told = header(response, "ETag")
        if told is None or told.removeprefix("W/") == known.removeprefix("W/"):
            return None
        # What is unchanged is something else than what is known here (RFC 9110, 15.4.5).
        whole = {name: value for name, value in headers.items() if name != "If-None-Match"}
        return await self._page(session, url, whole, arrival)

    async def _open(
        self, stack: AsyncExitStack, session: aiohttp.ClientSession, url: URL, offset: int, end: int | None
    ) -> tuple[aiohttp.ClientResponse, int]:
        """Return the response and where it begins. One that begins elsewhere than asked is asked for again, whole."""
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        is_part = bool(offset) or end is not None
        if is_part:
            headers["Range"] = f"bytes={offset}-{'' if end is None else end - 1}"
        response = await stack.enter_async_context(self._exchange.request(session, "GET", url, headers))
        if is_part and response.status == 206 and content_range(response.headers.get("Content-Range"))[0] == offset:  # noqa: PLR2004
            return response, offset
        if response.status != 200:  # noqa: PLR2004
            response.close()
        if is_part and response.status in {206, 416}:
            return await self._open(stack, session, url, 0, None)
        check(response, url)
        return response, 0


async def _chunks(response: aiohttp.ClientResponse, url: URL) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise UpstreamUnavailable(f"Upstream broke off in the middle of {shown(url)}.") from error


def _whole_size(response: aiohttp.ClientResponse) -> int | None:
    if response.status != 206:  # noqa: PLR2004
        return response.content_length
    return content_range(response.headers.get("Content-Range"))[1]
