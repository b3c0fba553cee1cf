"""The views of the index: the same upstream pages, with or without the wheels that we built. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One way to see the index, with URLs of its own."""

    prefix: str
    """What its URLs begin with, below the server's root: empty, or a path that ends in a slash."""
    root: str
    """The relative way from one of its project pages to where ``files/`` and ``built/`` are."""
    with_built: bool
    """Whether the wheels that we built are listed."""
    cutoff: datetime | None = None
    """Files that were uploaded later are hidden."""


FULL = View(prefix="", root="../../", with_built=True)
STRICT = View(prefix="upstream/", root="../../../", with_built=False)
"""Upstream alone. Its files are those of the full index."""
