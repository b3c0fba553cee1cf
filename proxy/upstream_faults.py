"""What goes wrong between upstream and us, said as the proxy's errors: once, and without credentials."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import aiohttp

from buildthrough.proxy.address import shown
from buildthrough.proxy.errors import NotFound, UpstreamInvalid, UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from yarl import URL

_GONE: Final = frozenset({404, 410})
_REFUSED: Final = frozenset({401, 403})
_BUSY: Final = frozenset({408, 425, 429})
_DIGITS: Final = 12
"""Of a number of seconds: more is for ever."""


class Passing(UpstreamUnavailable):
    """It may go better on another connection."""

    def __init__(self, sentence: str, *, pause: float = 0.0) -> None:
        super().__init__(sentence)
        self.pause = pause


@contextmanager
def upstream_faults(url: URL) -> Iterator[None]:
    """Say in a sentence what went wrong between upstream and us."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        raise UpstreamUnavailable(f"Upstream's certificate at {shown(url)} is not to be trusted.") from error
    except aiohttp.ClientSSLError as error:
        # OpenSSL's word for it, such as TLSV13_ALERT_CERTIFICATE_REQUIRED: it quotes nothing.
        reason = getattr(error.os_error, "reason", None) or "no reason given"
        raise UpstreamUnavailable(f"No encrypted connection to {shown(url)} came about ({reason}).") from error
    except aiohttp.ClientHttpProxyError as error:
        raise UpstreamUnavailable(f"The proxy on the way to {shown(url)} refused ({error.status}).") from error
    except aiohttp.ClientProxyConnectionError as error:
        raise Passing(f"The proxy on the way to {shown(url)} cannot be reached.") from error
    except TimeoutError as error:
        raise Passing(f"Upstream did not answer in time for {shown(url)}.") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Passing(f"The connection to upstream failed for {shown(url)}.") from error


def check(response: aiohttp.ClientResponse, url: URL) -> None:
    """Raise what a status other than 200 means, and where a redirect gave up encryption."""
    status, where = response.status, shown(url)
    if url.scheme == "https" and response.url.scheme != "https":
        raise UpstreamInvalid(f"Upstream sends {where} on to an address without encryption.")
    if status == 200:  # noqa: PLR2004
        return
    if status in _GONE:
        raise NotFound(f"Upstream does not have {where}.")
    if status == 407:  # noqa: PLR2004
        raise UpstreamUnavailable(f"The proxy on the way to {where} refused (407): its credentials may be wrong.")
    if status in _REFUSED:
        raise UpstreamUnavailable(f"Upstream refused us {where} ({status}): its credentials here may be wrong.")
    if status >= 500 or status in _BUSY:  # noqa: PLR2004
        pause = retry_after(response.headers.get("Retry-After"), time.time())
        raise Passing(f"Upstream answered {status} for {where}.", pause=pause)
    raise UpstreamInvalid(f"Upstream answered {status} for {where}.")


def retry_after(stated: str | None, now: float) -> float:
    """Return how many seconds the header asks to wait (RFC 9110, 10.2.3): 0 where it is missing or nonsense."""
    stated = (stated or "").strip()
    if stated.isascii() and stated.isdecimal():
        return float(stated) if len(stated) <= _DIGITS else math.inf
    try:
        return max(0.0, parsedate_to_datetime(stated).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0


@dataclass(slots=True)
class Observation:
    """How a question to upstream ended."""

    outcome: str = "ok"


@contextmanager
def observed(kind: str, observe: Callable[[str, float, str], None]) -> Iterator[Observation]:
    """Call ``observe`` once, at the end: the kind, the seconds that it took, the outcome."""
    observation = Observation()
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
        observe(kind, time.monotonic() - begin, observation.outcome)
