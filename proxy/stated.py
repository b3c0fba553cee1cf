"""What a page states, taken with care: what is odd is read as unknown, a version that we do not speak is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from buildthrough.proxy.errors import UpstreamInvalid
from buildthrough.proxy.names import is_valid, normalize

if TYPE_CHECKING:
    from collections.abc import Mapping

SUPPORTED_MAJOR = 1

_version = re.compile(r"([0-9]{1,9})(?:\.[0-9]{1,9})*").fullmatch
_DIGEST = re.compile(r"[0-9a-fA-F]{8,256}")
_SHA256_LENGTH = 64
_SHOWN = 60
"""Characters of what upstream states that are quoted: there may be megabytes."""


def check_version(stated: object, where: str) -> str:
    """Return the api-version that a page states. Raise `UpstreamInvalid` for one that we do not speak (PEP 629)."""
    if stated is None:
        return "1.0"
    match = _version(stated) if isinstance(stated, str) else None
    if match is None:
        msg = f"Upstream's {where} states the api-version {repr(stated)[:_SHOWN]}, which is no version."
        raise UpstreamInvalid(msg)
    if int(match[1]) != SUPPORTED_MAJOR:
        msg = f"Upstream's {where} speaks version {match[0][:_SHOWN]} of the simple API; this server speaks version 1."
        raise UpstreamInvalid(msg)
    return match[0]


def check_name(stated: object, project: str) -> None:
    """Raise `UpstreamInvalid` for the page of another project: some cache on the way has mixed them up."""
    if isinstance(stated, str) and is_valid(stated) and normalize(stated) != project:
        msg = f"Upstream sent the page of {stated[:100]!r} where that of {project!r} was asked for."
        raise UpstreamInvalid(msg)


def clean_hashes(stated: object) -> Mapping[str, str]:
    """Return the digests among what a page states, in lower case. What is no digest is not known."""
    if not isinstance(stated, dict):
        return {}
    return {
        name.lower(): digest.lower()
        for name, digest in stated.items()
        if isinstance(digest, str)
        and _DIGEST.fullmatch(digest)
        and (name.lower() != "sha256" or len(digest) == _SHA256_LENGTH)
    }


def core_metadata(value: Mapping[str, object]) -> bool | Mapping[str, str]:
    """Return what a file's entry says of its ``.metadata``, under the key of PEP 714 or the names it had before."""
    for key in ("core-metadata", "dist-info-metadata", "data-dist-info-metadata"):
        stated = value.get(key)
        if isinstance(stated, dict):
            return clean_hashes(stated) or True
        if stated is True:
            return True
        if stated is False:
            return False
    return False


def project_status(*stated: object) -> tuple[str | None, str | None]:
    """Return the project's status (PEP 792) and its reason; an example in the specification has it under ``meta``."""
    for one in stated:
        if isinstance(one, dict) and isinstance(one.get("status"), str):
            reason = one.get("reason")
            return one["status"].strip().lower(), reason if isinstance(reason, str) else None
    return None, None
