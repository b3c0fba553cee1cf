"""The `Upstream` port: ask the index that we stand in front of for a page or a file; and the client that does it."""

from __future__ import annotations

import asyncio
import random
import re
import ssl
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar
from urllib.parse import quote

import aiohttp
from yarl import URL

from buildthrough.proxy.coding import decode
from buildthrough.proxy.errors import NotFound, UnknownProject, UpstreamInvalid, UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    _Request = AbstractAsyncContextManager[aiohttp.ClientResponse]

T = TypeVar("T")

ACCEPT: Final = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
READ_BUFFER: Final = 1 << 19
"""Bytes that may lie ready of each file, half of what is read ahead: while one piece is written, the next gathers."""
CONNECTIONS: Final = 128
REDIRECTS: Final = 5
LONGEST_PAUSE: Final = 4.0
"""Seconds between two attempts, whatever Retry-After says: somebody waits."""

_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_GONE: Final = frozenset({404, 410})
_REFUSED: Final = frozenset({401, 403, 407})
_PASSING: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class PageAnswer:
    """A page as upstream sent it, its content coding removed."""

    body: bytes
    content_type: str
    """The response's Content-Type as sent, never what was asked for."""
    url: str
    """The final URL, which relative links are relative to."""
    etag: str | None
    last_serial: str | None
    """``X-PyPI-Last-Serial``, where upstream has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAnswer:
    """A file that is arriving."""

    size: int | None
    """Bytes of the whole file, where upstream says it."""
    offset: int
    """Where the chunks begin: 0, or what was asked for and granted."""
    chunks: AsyncIterator[bytes]
    """Raises `UpstreamUnavailable` where the file breaks off."""


class Upstream(Protocol):
    """The index that we stand in front of."""

    async def page(self, project: str | None, etag: str | None) -> PageAnswer | None:
        """Return a project's page, for None the project list; None where it is still what the ETag names.

        Raise `UnknownProject`, `UpstreamUnavailable` or `UpstreamInvalid`.
        """
        ...

    def file(self, url: str, offset: int = 0) -> AbstractAsyncContextManager[FileAnswer]:
        """Open a file. Raise `NotFound` where upstream says so (404, 410), else `UpstreamUnavailable`."""
        ...

    async def size(self, url: str) -> int | None:
        """Return a file's size without fetching it, None where upstream does not say. Raise as `file` does."""
        ...


def _unobserved(_kind: str, _seconds: float, _outcome: str) -> None:
    """Drop the observation."""


class HttpUpstream:
    """An index over HTTP. Its credentials go to its own host alone, and into no log and no message."""

    def __init__(
        self,
        *,
        url: str,
        session: aiohttp.ClientSession,
        fresh: aiohttp.ClientSession,
        retries: int = 2,
        page_seconds: float = 120.0,
        max_page_bytes: int = 256 << 20,
        observe: Callable[[str, float, str], None] = _unobserved,
    ) -> None:
        """Take the index's URL, and two sessions with `auto_decompress` off: one that keeps connections, and one
        that never does, for second attempts: one bad node of a CDN is not got round on the same connection.

        ``observe`` is called once per question: ``page``, ``file`` (until it begins) or ``size``; seconds; the outcome.
        """  # noqa: D205 - two sentences of the same weight
        parsed = URL(url)
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise ValueError(f"The upstream URL must be http or https: {_shown(parsed)}")
        self._credentials = (parsed.user, parsed.password or "") if parsed.user else None
        self._url = URL(str(parsed.with_user(None).with_query(None).with_fragment(None)).rstrip("/") + "/")
        self._session = session
        self._fresh = fresh
        self._retries = retries
        self._page_seconds = page_seconds
        self._max_page_bytes = max_page_bytes
        self._observe = observe

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        connect_seconds: float = 10.0,
        read_seconds: float = 30.0,
        retries: int = 2,
        max_page_bytes: int = 256 << 20,
        ca_file: Path | str | None = None,
        user_agent: str = "buildthrough",
        observe: Callable[[str, float, str], None] = _unobserved,
    ) -> AsyncIterator[HttpUpstream]:
        """Open the client; proxies are found in the environment. Raise OSError where ``ca_file`` cannot be read."""
        context = ssl.create_default_context(cafile=ca_file)

        def session(*, keep: bool) -> aiohttp.ClientSession:
            return aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=context, limit=CONNECTIONS, force_close=not keep, use_dns_cache=keep
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds, sock_read=read_seconds),
                headers={"User-Agent": user_agent},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=READ_BUFFER,
                trust_env=True,
            )

        async with session(keep=True) as kept, session(keep=False) as fresh:
            yield cls(
                url=url,
                session=kept,
                fresh=fresh,
                retries=retries,
                max_page_bytes=max_page_bytes,
                observe=observe,
            )

    @property
    def redacted_url(self) -> str:
        """The index's URL without credentials, with a slash at its end."""
        return str(self._url)

    async def page(self, project: str | None, etag: str | None) -> PageAnswer | None:
        """Ask for a page, JSON before HTML; it is decoded here, in bounds, and never half."""
        url = self._url if project is None else URL(f"{self._url}{quote(project, safe='')}/", encoded=True)
        headers = {"Accept": ACCEPT, "Accept-Encoding": "gzip, deflate"}
        if etag is not None:
            headers["If-None-Match"] = etag
        with self._observed("page") as observation:
            with _upstream_faults(url):
                async with asyncio.timeout(self._page_seconds):
                    answer = await self._attempts(lambda session: self._page(session, url, headers), url)
            observation.outcome = "ok" if answer is not None else "not modified"
        return answer

    @asynccontextmanager
    async def file(self, url: str, offset: int = 0) -> AsyncIterator[FileAnswer]:
        """Open a file as it is: no coding is asked for, none is removed; the digest tells what is right."""
        target = _target(url)
        async with AsyncExitStack() as stack:
            with self._observed("file"):
                response, begin = await self._attempts(
                    lambda session: self._open(stack, session, target, offset), target
                )
            yield FileAnswer(size=_whole_size(response), offset=begin, chunks=_chunks(response, target))

    async def size(self, url: str) -> int | None:
        """Ask by HEAD."""
        target = _target(url)

        async def head(session: aiohttp.ClientSession) -> int | None:
            async with self._request(session, "HEAD", target, {"Accept-Encoding": "identity"}) as response:
                if response.status in {405, 501}:
                    return None
                _check(response, target)
                return response.content_length

        with self._observed("size"):
            return await self._attempts(head, target)

    async def _page(self, session: aiohttp.ClientSession, url: URL, headers: Mapping[str, str]) -> PageAnswer | None:
        async with self._request(session, "GET", url, headers) as response:
            if response.status == 304 and "If-None-Match" in headers:  # noqa: PLR2004
                return None
            if response.status in _GONE:
                raise UnknownProject("Upstream does not know this project.")
            _check(response, url)
            if url.scheme == "https" and response.url.scheme != "https":
                raise UpstreamInvalid(f"Upstream sends {_shown(url)} on to an address without encryption.")
            raw = await self._body(response)
        body = await asyncio.to_thread(decode, raw, response.headers.get("Content-Encoding", ""), self._max_page_bytes)
        return PageAnswer(
            body=body,
            content_type=response.headers.get("Content-Type", ""),
            url=_shown(response.url),
            etag=response.headers.get("ETag"),
            last_serial=response.headers.get("X-PyPI-Last-Serial"),
        )

    async def _body(self, response: aiohttp.ClientResponse) -> bytearray:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_page_bytes:
                raise UpstreamInvalid(f"Upstream's page is larger than {self._max_page_bytes} bytes.")
        return body

    async def _open(
        self, stack: AsyncExitStack, session: aiohttp.ClientSession, url: URL, offset: int
    ) -> tuple[aiohttp.ClientResponse, int]:
        """Return the response and where it begins. One that begins elsewhere than asked is asked for again, whole."""
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        response = await stack.enter_async_context(self._request(session, "GET", url, headers))
        if offset and response.status == 206 and _begin(response) == offset:  # noqa: PLR2004
            return response, offset
        if response.status != 200:  # noqa: PLR2004
            response.close()
        if offset and response.status in {206, 416}:
            return await self._open(stack, session, url, 0)
        _check(response, url)
        return response, 0

    def _request(self, session: aiohttp.ClientSession, method: str, url: URL, headers: Mapping[str, str]) -> _Request:
        if self._credentials is not None and url.origin() == self._url.origin():
            # In the URL they go before a netrc, with which a header would clash. A redirect to elsewhere drops them.
            url = url.with_user(self._credentials[0]).with_password(self._credentials[1])
        return session.request(method, url, headers=headers, max_redirects=REDIRECTS, allow_redirects=True)

    async def _attempts(self, ask: Callable[[aiohttp.ClientSession], Awaitable[T]], url: URL) -> T:
        """Ask, and where upstream fails for the moment ask again on a new connection."""
        for attempt in range(self._retries + 1):
            try:
                with _upstream_faults(url):
                    return await ask(self._fresh if attempt else self._session)
            except _Passing as fault:
                if attempt == self._retries:
                    raise UpstreamUnavailable(fault.sentence) from fault
                pause = max(fault.pause, 0.2 * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            await asyncio.sleep(min(pause, LONGEST_PAUSE))
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def _observed(self, kind: str) -> Iterator[_Observation]:
        observation = _Observation()
        begin = time.monotonic()
        try:
            yield observation
        except NotFound:
            observation.outcome = "not found"
            raise
        except UpstreamInvalid:
            observation.outcome = "invalid"
            raise
        except UpstreamUnavailable:
            observation.outcome = "unavailable"
            raise
        except BaseException:
            observation.outcome = "abandoned"
            raise
        finally:
            self._observe(kind, time.monotonic() - begin, observation.outcome)


@dataclass(slots=True)
class _Observation:
    outcome: str = "ok"


class _Passing(UpstreamUnavailable):
    """It may go better on another connection."""

    def __init__(self, sentence: str, *, pause: float = 0.0) -> None:
        super().__init__(sentence)
        self.pause = pause


@contextmanager
def _upstream_faults(url: URL) -> Iterator[None]:
    """Say in a sentence what went wrong between upstream and us."""
    try:
        yield
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError, aiohttp.ClientSSLError) as error:
        raise UpstreamUnavailable(f"Upstream's certificate at {_shown(url)} is not to be trusted.") from error
    except aiohttp.TooManyRedirects as error:
        raise UpstreamInvalid(f"Upstream sends {_shown(url)} round in circles.") from error
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
        raise UpstreamInvalid(f"Upstream sends {_shown(url)} on to what is no http address.") from error
    except TimeoutError as error:
        raise _Passing(f"Upstream did not answer in time for {_shown(url)}.") from error
    except (aiohttp.ClientError, OSError) as error:
        raise _Passing(f"The connection to upstream failed for {_shown(url)}.") from error


async def _chunks(response: aiohttp.ClientResponse, url: URL) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise UpstreamUnavailable(f"Upstream broke off in the middle of {_shown(url)}.") from error


def _check(response: aiohttp.ClientResponse, url: URL) -> None:
    """Raise what a status other than 200 means."""
    status, where = response.status, _shown(url)
    if status == 200:  # noqa: PLR2004
        return
    if status in _GONE:
        raise NotFound(f"Upstream does not have {where}.")
    if status in _REFUSED:
        raise UpstreamUnavailable(f"Upstream refused us {where} ({status}): its credentials here may be wrong.")
    if status >= 500 or status in _PASSING:  # noqa: PLR2004
        raise _Passing(f"Upstream answered {status} for {where}.", pause=_retry_after(response))
    raise UpstreamInvalid(f"Upstream answered {status} for {where}.")


def _retry_after(response: aiohttp.ClientResponse) -> float:
    with suppress(ValueError):  # the form with a date is not worth a clock that may be wrong
        return float(response.headers.get("Retry-After", "0"))
    return 0.0


def _begin(response: aiohttp.ClientResponse) -> int | None:
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return None if match is None else int(match[1])


def _whole_size(response: aiohttp.ClientResponse) -> int | None:
    if response.status != 206:  # noqa: PLR2004
        return response.content_length
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return None if match is None or match[2] == "*" else int(match[2])


def _target(url: str) -> URL:
    """Return the URL as upstream wrote it, without what is the client's business."""
    try:
        parsed = URL(url, encoded=True)
    except ValueError as error:
        raise UpstreamInvalid("Upstream lists a file at what is no URL.") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise UpstreamInvalid("Upstream lists a file at what is no http address.")
    return parsed.with_fragment(None)


def _shown(url: URL) -> str:
    return str(url.with_user(None)) if url.host else str(url)
