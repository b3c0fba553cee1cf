"""Which HTTP proxy is asked for an address: what HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from yarl import URL

from buildthrough.proxy.credentials import from_url
from buildthrough.proxy.errors import UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from buildthrough.proxy.credentials import Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy on the way to upstream."""

    url: URL
    """Without its credentials."""
    credentials: Credentials | None


class Proxies:
    """The proxies of an environment, in lower or upper case; lower case goes before, as everywhere."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        found = {name.lower(): value for name, value in environment.items() if name != name.lower()}
        # A CGI script's HTTP_PROXY is its client's header "Proxy" (CVE-2016-1000110).
        if "REQUEST_METHOD" in environment:
            found.pop("http_proxy", None)
        found |= {name: value for name, value in environment.items() if name == name.lower()}
        self._by_scheme = {name: found.get(f"{name}_proxy", "").strip() for name in ("http", "https", "all")}
        self._not_for = [entry.strip().lower() for entry in found.get("no_proxy", "").split(",") if entry.strip()]

    def of(self, url: URL) -> Proxy | None:
        """Return the proxy to ask, None to ask directly. Raise `UpstreamUnavailable` for one that cannot be used."""
        text = self._by_scheme.get(url.scheme) or self._by_scheme["all"]
        if not text or self._is_exempt(url.host or "", url.port):
            return None
        try:
            proxy = URL(text if "://" in text else f"http://{text}")
        except ValueError:
            proxy = URL()
        if proxy.scheme not in {"http", "https"} or not proxy.host:
            kind = f"a {proxy.scheme} one" if proxy.scheme else "no address"
            raise UpstreamUnavailable(f"The proxy that the environment names for {url.scheme} is {kind}, not http.")
        return Proxy(url=proxy.origin(), credentials=from_url(proxy))

    def _is_exempt(self, host: str, port: int | None) -> bool:
        host = host.lower().rstrip(".")
        return any(_means(entry, host, port) for entry in self._not_for)


def _means(entry: str, host: str, port: int | None) -> bool:
    """Whether an entry of NO_PROXY means a host: ``*``, a domain and all below it, an address, a network; a port."""
    if entry == "*":
        return True
    name, colon, number = entry.rpartition(":")
    if colon and number.isdecimal() and (":" not in name or name.endswith("]")):
        if int(number) != port:
            return False
        entry = name
    entry = entry.strip("[]")
    try:
        return ip_address(host) in ip_network(entry, strict=False)
    except ValueError:
        domain = entry.removeprefix("*").strip(".")
        return bool(domain) and (host == domain or host.endswith(f".{domain}"))
