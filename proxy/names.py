"""Names of projects: which are valid, and their one normalised spelling (PEP 503, PEP 508)."""

from __future__ import annotations

import re
from functools import lru_cache

LONGEST = 200
"""Characters. No project comes near; file names of wheels end at 255."""

_VALID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_SEPARATORS = re.compile(r"[-_.]+")


def is_valid(name: str) -> bool:
    """Whether this is a project's name at all: ASCII, no separator at either end, nothing after the last letter."""
    return len(name) <= LONGEST and _VALID.fullmatch(name) is not None


@lru_cache(maxsize=4096)
def normalize(name: str) -> str:
    """Return the one spelling of a valid name that stands in URLs and keys."""
    return _SEPARATORS.sub("-", name).lower()
