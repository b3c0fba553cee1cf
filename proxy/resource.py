"""A file to have, and what it must be. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from buildthrough.proxy.errors import UpstreamInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from buildthrough.proxy.entry import Entry

METADATA: Final = ".metadata"
"""What core metadata's path ends in, behind its file's (PEP 658)."""
PROVENANCE: Final = ".provenance.json"
"""What the record of how it was built ends in, behind a built wheel's path."""
SMALL: Final = 1 << 20
"""A file of at most so many bytes is fetched without waiting behind large ones."""
SIDECAR_BYTES: Final = 16 << 20
"""Bound of core metadata, of which no page lists the size."""


class Digest(Protocol):
    """A digest being made, as hashlib has them."""

    def update(self, data: bytes, /) -> None:
        """Take in more."""
        ...

    def hexdigest(self) -> str:
        """Return it in lower-case hexadecimal digits."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A file to have."""

    key: str
    """Who asks for the same key shares one download."""
    url: str
    upstream: str = ""
    """Which of several upstreams lists it."""
    hashes: Mapping[str, str]
    """Lower-case hexadecimal digests by hashlib's name, as upstream lists them."""
    size: int | None
    is_sidecar: bool = False
    """Core metadata: small, whoever says otherwise."""

    @property
    def is_small(self) -> bool:
        """Whether it is fetched in a moment."""
        return self.is_sidecar or (self.size is not None and self.size <= SMALL)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """What must be computed besides sha256."""
        return tuple(name for name in self.verifiable if name != "sha256")

    def digests(self) -> dict[str, Digest]:
        """Return new digests of all that must be computed."""
        return {name: hashlib.new(name, usedforsecurity=False) for name in ("sha256", *self.algorithms)}

    def bound(self, max_bytes: int) -> int:
        """Return how many bytes it may have at most, where files may have ``max_bytes``."""
        return min(max_bytes, SIDECAR_BYTES) if self.is_sidecar else max_bytes

    def verify(self, hexdigest: Callable[[str], str]) -> None:
        """Raise `UpstreamInvalid` where bytes with these digests are not the file."""
        for name, digest in self.verifiable.items():
            if hexdigest(name) != digest.lower():
                raise UpstreamInvalid(f"Upstream's file has not the {name} that its page lists. It was thrown away.")

    @property
    def verifiable(self) -> dict[str, str]:
        """The digests to check: sha256 where it is there, else all that this Python can compute."""
        if "sha256" in self.hashes:
            return {"sha256": self.hashes["sha256"]}
        return {name: digest for name, digest in self.hashes.items() if _is_computable(name)}

    @property
    def memory_key(self) -> str:
        """What names the bytes where their sha256 is not listed: another digest or size is another file."""
        return "\n".join(
            (
                *filter(None, (self.upstream,)),
                self.url,
                str(self.size),
                *(f"{name}={self.hashes[name]}" for name in sorted(self.hashes)),
            )
        )


def _is_computable(name: str) -> bool:
    return name in hashlib.algorithms_available and hashlib.new(name, usedforsecurity=False).digest_size > 0


def file_resource(entry: Entry, upstream: str) -> Resource:
    """Return how to fetch a file that these list, and what it must be."""
    return Resource(
        key=_key(upstream, entry.sha256 or entry.url),
        url=entry.url,
        upstream=upstream,
        hashes=entry.hashes,
        size=entry.size,
    )


def metadata_resource(entry: Entry, upstream: str) -> Resource:
    """Return how to fetch a listed file's core metadata. The suffix goes to the path, as uv forms it (PEP 658)."""
    base, question, query = entry.url.partition("?")
    url = f"{base}{METADATA}{question}{query}"
    hashes: Mapping[str, str] = {} if isinstance(entry.core_metadata, bool) else entry.core_metadata
    return Resource(
        key=_key(upstream, hashes.get("sha256") or url),
        url=url,
        upstream=upstream,
        hashes=hashes,
        size=None,
        is_sidecar=True,
    )


def _key(upstream: str, name: str) -> str:
    """One upstream's download is not to be held up by what another sends under the same name."""
    return f"{upstream}\n{name}" if upstream else name
