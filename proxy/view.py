"""The views of the index: the same upstream pages, with or without the wheels that we built. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from buildthrough.proxy.cutoff import written

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
    """Files that were uploaded then or later are hidden."""

    @property
    def is_dated(self) -> bool:
        """Whether it is of some moment: there are more of these than are worth keeping for long."""
        return self.prefix.startswith("at/")


FULL = View(prefix="", root="../../", with_built=True)
STRICT = View(prefix="upstream/", root="../../../", with_built=False)
"""Upstream alone. Its files are those of the full index."""


def dated(moment: datetime) -> View:
    """Return the index as it was at a moment, with its files below it."""
    return View(prefix=f"at/{written(moment)}/", root="../../", with_built=True, cutoff=moment)
