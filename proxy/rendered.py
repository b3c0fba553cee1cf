"""A page's body in one form and coding, ready to be sent. Pure; it takes a thread's time for a long page."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import sys
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildthrough.proxy.built import BuiltWheel
    from buildthrough.proxy.negotiation import Coding, Form
    from buildthrough.proxy.view import View

GZIP_LEVEL: Final = 6
ZSTD_LEVEL: Final = 3
_RENDERING: Final = "1"
"""To be changed with the way that pages are rendered: stored bodies are of no use then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What is to be rendered of a page."""

    form: Form
    coding: Coding
    view: View

    @property
    def name(self) -> str:
        """Return what tells it from the page's other renderings."""
        return f"{self.view.prefix}{self.form}.{self.coding}"

    def kept_as(self, hidden: str) -> Rendering:
        """Return what the page is kept under: one for all moments at which the same files are hidden."""
        if self.view.cutoff is None:
            return self
        return replace(self, view=replace(self.view, prefix=f"at/{hidden}/", cutoff=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A body, and what it was made from."""

    body: bytes
    etag: str
    """Strong: of this form in this coding (RFC 9110, 8.8.3)."""
    source: str
    """What it was made from: see `source_of`."""
    wheels: tuple[BuiltWheel, ...] | None = None
    """The built wheels that it was made with, to see at a glance whether they are still the same."""
    hidden: str = ""
    """What tells the files that it was made without from others, see `Hidden.digest`."""
    until: float = math.inf
    """Seconds since the epoch from which on it is to be made again, though upstream's page is the same."""

    @classmethod
    def of(
        cls, body: bytes, coding: Coding, source: str = "", wheels: tuple[BuiltWheel, ...] | None = None
    ) -> Rendered:
        """Compress a body, and name it by its content."""
        etag = etag_of(hashlib.sha256(body).hexdigest(), coding)
        return cls(body=compressed(body, coding), etag=etag, source=source, wheels=wheels)

    def is_made_with(self, wheels: tuple[BuiltWheel, ...], hidden: str) -> bool:
        """Whether it was made with these wheels, and without these files (`Hidden.digest`)."""
        return self.wheels is wheels and self.hidden == hidden

    def record(self) -> bytes:
        """Return it as it is stored."""
        until = None if math.isinf(self.until) else self.until
        head = {"etag": self.etag, "source": self.source, "size": len(self.body), "until": until}
        return json.dumps(head).encode() + b"\n" + self.body

    @classmethod
    def from_record(cls, record: bytes, wheels: tuple[BuiltWheel, ...] | None = None) -> Rendered:
        """Return what was stored. Raise ValueError, KeyError or TypeError for what is none."""
        head, _, body = record.partition(b"\n")
        told = json.loads(head)
        if told["size"] != len(body):
            raise ValueError("it was cut")
        until = math.inf if told["until"] is None else float(told["until"])
        return cls(body=body, etag=str(told["etag"]), source=str(told["source"]), wheels=wheels, until=until)


def source_of(digest: str, wheels: tuple[BuiltWheel, ...], policy: str = "") -> str:
    """Return what tells whether a rendering is still right: the page's digest, the wheels, and what is hidden."""
    told = "\n".join((_RENDERING, digest, policy, *(repr(wheel) for wheel in wheels)))
    return hashlib.sha256(told.encode()).hexdigest()


def etag_of(digest: str, coding: Coding) -> str:
    """Return the entity tag of a body with this digest."""
    return f'"{digest[:32]}"' if coding == "identity" else f'"{digest[:32]}-{coding}"'


def compressed(body: bytes, coding: Coding) -> bytes:
    """Return the body in a content coding (RFC 9110, 8.4.1; RFC 8878): the same bytes for the same body."""
    match coding:
        case "gzip":
            return gzip.compress(body, GZIP_LEVEL, mtime=0)
        case "zstd":
            return zstd.compress(body, ZSTD_LEVEL)
        case "identity":
            return body


def compressor(coding: Coding, *, in_haste: bool = False) -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    """Return a function that compresses piece after piece, and one that returns what is left at the end."""
    match coding:
        case "gzip":
            packer = zlib.compressobj(1 if in_haste else GZIP_LEVEL, wbits=16 + zlib.MAX_WBITS)
            return packer.compress, packer.flush
        case "zstd":
            frame = zstd.ZstdCompressor(1 if in_haste else ZSTD_LEVEL)
            return frame.compress, frame.flush
        case "identity":
            return bytes, bytes
