"""What can go wrong on the way to an answer, each with its HTTP status and a sentence for the reader.

    ProxyError
    ├── NotFound              404
    │   └── UnknownProject
    ├── BadRequest            400
    ├── TooSlow               408
    ├── Unauthorized          401
    ├── Denied                403  by the operator's rules
    ├── Conflict              409
    ├── NotAcceptable         406
    ├── UpstreamFault         upstream's, never shown as a 404
    │   ├── UpstreamUnavailable   503
    │   │   └── PageChanged
    │   └── UpstreamInvalid       502
    ├── Busy                  503  for a moment
    └── StorageFault          507
        ├── DiskFull
        └── NoRoom

`buildthrough.proxy.web` translates them once; nothing else knows of statuses.
"""

from __future__ import annotations

from typing import ClassVar


class ProxyError(Exception):
    """Base of all that is told to a client. The argument is the sentence: what happened, why, what to do."""

    status: ClassVar[int] = 500

    @property
    def sentence(self) -> str:
        """One plain sentence for the reader."""
        return str(self.args[0]) if self.args else "The server failed."


class NotFound(ProxyError):
    """There is no such thing here: unlisted, gone, purged, never known."""

    status = 404


class UnknownProject(NotFound):
    """Upstream does not know the project."""


class BadRequest(ProxyError):
    """The request itself is wrong."""

    status = 400


class TooSlow(ProxyError):
    """The request does not arrive in time."""

    status = 408


class Unauthorized(ProxyError):
    """A change was asked for without the operator's token."""

    status = 401


class Denied(ProxyError):
    """The operator's rules or a cut-off hide it. Not a 404: clients would look for it at another index."""

    status = 403


class Conflict(ProxyError):
    """The thing asked for contradicts what is."""

    status = 409


class NotAcceptable(ProxyError):
    """No form of the page is acceptable to the client."""

    status = 406


class UpstreamFault(ProxyError):
    """Upstream did not give a usable answer."""

    status = 502


class UpstreamUnavailable(UpstreamFault):
    """Upstream cannot be reached, or answers that it fails."""

    status = 503


class PageChanged(UpstreamUnavailable):
    """A page was replaced by a newer one while it was used: what was begun with it is to begin again."""


class UpstreamInvalid(UpstreamFault):
    """Upstream's answer is not what it claims to be."""

    status = 502


class Busy(ProxyError):
    """Too many ask for the same scarce thing at once."""

    status = 503


class StorageFault(ProxyError):
    """The data folder cannot take more, or cannot be read."""

    status = 507


class DiskFull(StorageFault):
    """There is no room for anything, and none can be made."""


class NoRoom(StorageFault):
    """There is no room for this one file, and none can be made; smaller ones may find some."""
