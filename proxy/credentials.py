"""What an upstream wants to see before it answers. No value here shows itself: not in a log, not in an error."""

from __future__ import annotations

import netrc
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A way to say who we are."""

    kind: Literal["basic", "bearer"]
    authorization: str = field(repr=False)
    """Value of the header: a secret."""


def basic(username: str, password: str) -> Credentials:
    """Return a name and a password (RFC 7617, in UTF-8)."""
    return Credentials(kind="basic", authorization=f"Basic {b64encode(f'{username}:{password}'.encode()).decode()}")


def bearer(token: str) -> Credentials:
    """Return a token (RFC 6750)."""
    return Credentials(kind="bearer", authorization=f"Bearer {token}")


def from_url(url: URL) -> Credentials | None:
    """Return the name and the password that stand in a URL."""
    return None if url.user is None and url.password is None else basic(url.user or "", url.password or "")


def netrc_path(environment: Mapping[str, str]) -> Path | None:
    """Return where the netrc file is, if there is one: ``$NETRC``, or ``.netrc`` of the home folder. Blocking."""
    try:
        path = Path(environment["NETRC"]) if environment.get("NETRC") else Path.home() / ".netrc"
        return path if path.is_file() else None
    except (OSError, RuntimeError):  # no right to look, or no home
        return None


def from_netrc(path: Path, host: str) -> Credentials | None:
    """Return what a netrc file has for this very host; its ``default`` is for everybody and is not used. Blocking.

    Raise ValueError, whose text is a sentence without what stands in the file, where it cannot be read.
    """
    try:
        found = netrc.netrc(path).hosts.get(host)
    except (OSError, UnicodeDecodeError, netrc.NetrcParseError):
        # The parser's own words quote the file.
        raise ValueError(f"The file {path} cannot be read as netrc: nothing in it is used.") from None
    if found is None:
        return None
    login, account, password = found
    return basic(login or account or "", password or "")
