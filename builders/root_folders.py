"""Where root file systems lie, and what of ours is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TOOLS = "opt/buildthrough/bin"
"""Where a root of another processor keeps the tools that builds need, made for that processor."""


def folder_of_roots(data: Path) -> Path:
    """Return where the root file systems of a server are kept: beside its data folder, which nobody else may enter."""
    return data.with_name(f"{data.name}-targets")


def folders_below(folder: Path) -> tuple[Path, ...]:
    """Return the root file systems in a folder, by name; those that are being made have a name with a dot. Blocking."""
    if not folder.is_dir():
        return ()
    return tuple(sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")))
