"""What `buildthrough doctor` says of the upstreams: how each is reached, whether it answers, and what is risky."""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from buildthrough.config.schema import SettingsError
from buildthrough.proxy.access import accesses, client_of
from buildthrough.proxy.errors import UnknownProject, UpstreamFault
from buildthrough.proxy.proxies import Proxies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from buildthrough.config.schema import Settings
    from buildthrough.proxy.access import Access

_ASKED: Final = "pip"
"""Any project will do: what counts is that the index answers, and a 404 is an answer."""


async def survey(settings: Settings) -> list[str]:
    """Ask each upstream once and return lines for people, without secrets."""
    try:
        ways = await accesses(settings)
    except SettingsError as error:
        return ["upstream", f"  - {error}"]
    lines = ["upstreams, in the order in which they are asked" if len(ways) > 1 else "upstream"]
    for way in ways:
        lines.append(f"  - {'; '.join(_facts(way))}")
        lines.append(f"    {await _answer(way)}")
        lines += [f"    {sentence}" for sentence in _risks(way)]
    if len(ways) > 1 and not any(way.given.projects for way in ways):
        lines.append("  no project is pinned: a private name that the first upstream does not have yet is taken from")
        lines.append('  whoever offers it next; pin your own names with projects = ["…"]')
    return lines


def _facts(way: Access) -> Iterator[str]:
    given = way.given
    yield f"{given.name + ': ' if given.name else ''}{way.url}, from {way.found}"
    if way.credentials is not None:
        kind = "a token" if way.credentials.kind == "bearer" else "a name and a password"
        yield f"with {kind} from {way.credentials_from}"
    if given.client_cert:
        yield f"shows the certificate {given.client_cert}"
    if way.ca_file:
        yield f"trusts {way.ca_file}"
    try:
        proxy = Proxies(os.environ).of(way.url)
    except UpstreamFault:
        proxy = None
    if proxy is not None:
        yield f"by the proxy {proxy.url}"
    if given.projects:
        yield f"pins {', '.join(given.projects)}{' and is asked for nothing else' if given.pinned_only else ''}"


async def _answer(way: Access) -> str:
    try:
        async with client_of(way, stays=bool(way.given.name), retries=0) as client:
            await client.page(_ASKED, None)
    except UnknownProject:
        return f"it answers; it has no project {_ASKED}"
    except UpstreamFault as fault:
        return f"it fails: {fault.sentence}"
    except SettingsError as error:
        return f"it cannot be asked: {error}"
    return "it answers"


def _risks(way: Access) -> Iterator[str]:
    if way.note:
        yield way.note
    if way.credentials is not None and way.url.scheme == "http" and not _is_here(way.url.host or ""):
        yield "its credentials travel unencrypted: its address is http"


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
