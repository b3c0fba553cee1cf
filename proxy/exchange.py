"""One request to an upstream and the redirects that it leads to: who is shown credentials, and by which way it goes.

Redirects are followed here and not by aiohttp, so that each step is looked at before it is taken: encryption is not
given up, and credentials and the client certificate are shown to the upstream's own origin and to nobody else.
"""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from yarl import URL

from buildthrough.proxy.address import origin, shown
from buildthrough.proxy.credentials import from_url
from buildthrough.proxy.errors import UpstreamInvalid, UpstreamUnavailable
from buildthrough.proxy.netrc_file import NetrcFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import aiohttp

    from buildthrough.proxy.credentials import Credentials
    from buildthrough.proxy.proxies import Proxies

REDIRECTS: Final = 5
_MOVED: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whose certificates are believed, and which one is shown."""

    own: ssl.SSLContext
    """At the upstream's own origin."""
    elsewhere: ssl.SSLContext
    """At other origins, such as those that keep its files: never with our certificate."""
    shows_certificate: bool

    @classmethod
    def load(cls, ca_file: Path | str | None, certificate: Path | str | None, key: Path | str | None) -> Trust:
        """Read the files. With a CA file, the upstream is checked against it alone, others against the system's too.

        Raise OSError where one cannot be read, or is not what it should be (`ssl.SSLError`). Blocking.
        """
        system = _system(ssl.get_default_verify_paths())
        if ca_file is None and certificate is None:
            return cls(own=system, elsewhere=system, shows_certificate=False)
        own, elsewhere = ssl.create_default_context(cafile=ca_file), system
        if ca_file is not None:
            elsewhere = ssl.create_default_context()
            elsewhere.load_verify_locations(cafile=ca_file)
        if certificate is not None:
            # An encrypted key would have OpenSSL ask for its password at the terminal.
            own.load_cert_chain(certificate, key, password=lambda: "")
        return cls(own=own, elsewhere=elsewhere, shows_certificate=certificate is not None)


@cache
def _system(_places: ssl.DefaultVerifyPaths) -> ssl.SSLContext:
    """Return who is believed where nothing else is said, as found at these places; nobody may change it. Blocking.

    A hundred certificates take longer to read than the rest of an upstream takes to open.
    """
    return ssl.create_default_context()


class Exchange:
    """The requests of one upstream."""

    def __init__(
        self, *, index: URL, credentials: Credentials | NetrcFile | None, trust: Trust, proxies: Proxies
    ) -> None:
        self._origin = origin(index)
        self._credentials = credentials
        self._trust = trust
        self._proxies = proxies

    @asynccontextmanager
    async def request(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        *,
        within: str | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send it and follow redirects, with ``within`` only on this host. Raise what aiohttp raises, `UpstreamInvalid`
        for a redirect that is not followed, `UpstreamUnavailable` for a proxy that is not asked.
        """  # noqa: D205 - it is one sentence
        at = url
        for _ in range(REDIRECTS + 1):
            async with self._send(session, method, at, headers, await self._shown_to(at)) as response:
                location = response.headers.get("Location")
                if response.status not in _MOVED or location is None:
                    yield response
                    return
                at = _next(url, at, location, within)
        raise UpstreamInvalid(f"Upstream sends {shown(url)} round in circles.")

    async def _shown_to(self, url: URL) -> Credentials | None:
        """Return the credentials that a server is to see: ours at our upstream, else what stands in the URL itself."""
        if origin(url) != self._origin:
            return from_url(url)
        held = self._credentials
        return (await held.current() if isinstance(held, NetrcFile) else held) or from_url(url)

    def _send(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        credentials: Credentials | None,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        is_own = origin(url) == self._origin
        sent = dict(headers)
        if credentials is not None:
            sent["Authorization"] = credentials.authorization
        proxy = self._proxies.of(url)
        for_proxy: dict[str, str] = {}
        if proxy is not None and proxy.credentials is not None:
            # Where the proxy reads the request itself they stand in it, else in the CONNECT before it.
            (sent if url.scheme == "http" else for_proxy)["Proxy-Authorization"] = proxy.credentials.authorization
        if proxy is not None and proxy.url.scheme == "https" and is_own and self._trust.shows_certificate:
            raise UpstreamUnavailable("An https proxy would be shown the client certificate: name it as http.")
        return session.request(
            method,
            url.with_user(None),
            headers=sent,
            allow_redirects=False,
            ssl=self._trust.own if is_own else self._trust.elsewhere,
            proxy=None if proxy is None else proxy.url,
            proxy_headers=for_proxy or None,
        )


def _next(asked: URL, at: URL, location: str, within: str | None) -> URL:
    """Return where a redirect leads, if we go there."""
    try:
        # As it was written, where that is possible: a signed address is good in one spelling only.
        target = at.join(URL(location, encoded=location.isascii() and location.isprintable() and " " not in location))
        host = target.host
    except ValueError:
        target, host = URL(), None
    if target.scheme not in {"http", "https"} or not host:
        raise UpstreamInvalid(f"Upstream sends {shown(asked)} on to what is no http address.")
    if at.scheme == "https" and target.scheme != "https":
        raise UpstreamInvalid(f"Upstream sends {shown(asked)} on to an address without encryption.")
    if within is not None and host != within:
        raise UpstreamInvalid(
            f"Upstream sends {shown(asked)} on to another host, whose projects are not its own: that is not followed."
        )
    return target.with_fragment(None)
