"""Which form of a page a client gets, and whether compressed (PEP 691; RFC 9110, section 12)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from buildthrough.proxy.errors import NotAcceptable

Form = Literal["json", "html"]
"""The two forms that a page can be written in."""
Coding = Literal["identity", "gzip", "zstd"]
"""The content codings that a page can be sent in (RFC 9110, 8.4.1; RFC 8878)."""

LONGEST_HEADER = 4096
"""Characters. A longer header is no client's; it is treated as absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Representation:
    """A form, and the Content-Type that it is sent with."""

    form: Form
    content_type: str


JSON = Representation(form="json", content_type="application/vnd.pypi.simple.v1+json")
HTML = Representation(form="html", content_type="application/vnd.pypi.simple.v1+html")
TEXT = Representation(form="html", content_type="text/html; charset=utf-8")

_BY_TYPE = {
    "application/vnd.pypi.simple.v1+json": JSON,
    "application/vnd.pypi.simple.latest+json": JSON,
    "application/vnd.pypi.simple.v1+html": HTML,
    "application/vnd.pypi.simple.latest+html": HTML,
    "text/html": TEXT,
}
_BY_WILDCARD = {"application/*": (JSON, HTML), "text/*": (TEXT,), "*/*": (TEXT, JSON, HTML)}

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = rf"[ \t]*;[ \t]*(?:{_WORD}=(?:{_WORD}|\"[^\"]*\"))?"
_RANGE = re.compile(rf"[ \t]*({_WORD}/{_WORD}|\*)((?:{_PARAMETER})*+)[ \t]*")
_CODING = re.compile(rf"[ \t]*({_WORD})((?:{_PARAMETER})*+)[ \t]*")
_QUALITY = re.compile(r";[ \t]*q=([^; \t]*)", re.IGNORECASE)
_WEIGHT = re.compile(r"(?:0(?:\.[0-9]*)?|1(?:\.0*)?|\.[0-9]+)")


@lru_cache(maxsize=1024)
def choose(accept: str | None, format_parameter: str | None = None) -> Representation:
    """Choose by the client's weights; the order in the header has no meaning.

    Among equals, a type that is named goes before one that a wildcard admits, and JSON before HTML; a bare wildcard,
    an empty or missing header, and one that cannot be understood, mean `TEXT`, as on PyPI. The ``format`` parameter,
    one exact content type, overrides the header. Raise `NotAcceptable` where a well-formed header excludes all.
    """
    if format_parameter:
        return _by_parameter(format_parameter)
    if not accept or not accept.strip() or len(accept) > LONGEST_HEADER:
        return TEXT
    weights, well_formed = _weights(accept, _RANGE)
    named = {kind: weight for kind, weight in weights.items() if kind in _BY_TYPE}
    best = _best_named(named)
    admitted = _best_admitted(weights, {_BY_TYPE[kind] for kind in named})
    if admitted is not None and (best is None or admitted[0] > best[0]):
        best = admitted
    if best is not None:
        return best[1]
    if well_formed:
        raise NotAcceptable(f"The index can send {_offer()}; the request's Accept header excludes all of them.")
    return TEXT


@lru_cache(maxsize=1024)
def choose_coding(header: str | None) -> Coding:
    """Choose the content coding by an Accept-Encoding header; among equals zstd, which is the fastest to undo.

    None where the header is absent, empty or giant, and where it admits neither.
    """
    if not header or len(header) > LONGEST_HEADER:
        return "identity"
    weights, _ = _weights(header, _CODING)
    zstd = weights.get("zstd", 0.0)  # a wildcard is read as gzip, which everybody can undo
    gzip = max(weights.get("gzip", -1.0), weights.get("x-gzip", -1.0))
    gzip = gzip if gzip >= 0 else weights.get("*", 0.0)
    if max(zstd, gzip) <= 0:
        return "identity"
    return "zstd" if zstd >= gzip else "gzip"


def _by_parameter(value: str) -> Representation:
    # A plus sign in a query string reads as a blank, and nobody encodes it.
    chosen = _BY_TYPE.get(value.strip().replace(" ", "+").lower())
    if chosen is None:
        raise NotAcceptable(f"The index can send {_offer()}; the format parameter names none of them.")
    return chosen


def _best_named(named: dict[str, float]) -> tuple[float, Representation] | None:
    offers = [(named[kind], representation) for kind, representation in _BY_TYPE.items() if named.get(kind, 0) > 0]
    return max(offers, key=lambda offer: offer[0], default=None)  # the first among equals: JSON


def _best_admitted(weights: dict[str, float], named: set[Representation]) -> tuple[float, Representation] | None:
    """Return the best that only a wildcard admits; the more specific wildcard decides."""
    offers: list[tuple[float, Representation]] = []
    seen = set(named)
    for wildcard, representations in _BY_WILDCARD.items():
        if wildcard in weights:
            offers += [(weights[wildcard], one) for one in representations if one not in seen]
            seen.update(representations)
    return max((offer for offer in offers if offer[0] > 0), key=lambda offer: offer[0], default=None)


def _weights(header: str, pattern: re.Pattern[str]) -> tuple[dict[str, float], bool]:
    """Return the weight of each element, the highest where one comes twice, and whether all could be read."""
    weights: dict[str, float] = {}
    well_formed = True
    for element in header.split(","):
        if not element.strip():
            continue  # RFC 9110, 5.6.1: empty elements are nothing
        match = pattern.fullmatch(element)
        weight = _weight(match[2]) if match else None
        if match is None or weight is None:
            well_formed = False
            continue
        kind = match[1].lower()
        if kind == "*" and pattern is _RANGE:
            kind = "*/*"  # what old Java clients send
        weights[kind] = max(weight, weights.get(kind, 0.0))
    return weights, well_formed


def _weight(parameters: str) -> float | None:
    quality = _QUALITY.search(parameters)
    if quality is None:
        return 1.0
    return float(quality[1]) if _WEIGHT.fullmatch(quality[1]) else None


def _offer() -> str:
    return ", ".join(one.content_type.partition(";")[0] for one in (JSON, HTML, TEXT))
