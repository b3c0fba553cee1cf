"""Folders of the host that take the place of a sandbox's own file systems, where it has none. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from buildthrough.builders.profile import TEMPORARY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from buildthrough.builders.sandbox import Mount

VARIABLE = "BUILDTHROUGH_SCRATCH"
"""By which the code inside knows where its folders are, see `buildthrough.builders.inside.places`."""


def places(mounts: Iterable[Mount], scratch: Path) -> dict[str, str]:
    """Return where each path that a command names really is: what it is lent, and what it may write to."""
    lent = {mount.target: str(mount.source) for mount in mounts}
    return {folder: f"{scratch}{folder}" for folder in TEMPORARY} | lent


def translated(text: str, found: Mapping[str, str]) -> str:
    """Return the text with every path in it that names one of the places, or something below it, as it really is.

    The texts are the words of our own commands; a path in them ends at a quote, a blank, a colon or a slash.
    """
    names = "|".join(re.escape(name) for name in sorted(found, key=len, reverse=True))
    return re.sub(rf"(?<![\w./-])(?:{names})(?![\w.-])", lambda match: found[match[0]], text)
