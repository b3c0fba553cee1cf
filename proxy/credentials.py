"""What an upstream wants to see before it answers. No value here shows itself: not in a log, not in an error. Pure."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
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
