"""Where the folders are that can be written to: at the root, or below a folder where there are no namespaces."""

from __future__ import annotations

import os

ROOT = os.environ.get("BUILDTHROUGH_SCRATCH", "")
"""Set where there are no namespaces (`buildthrough.builders.landlock`)."""


def place(path: str) -> str:
    """Return where a path such as ``/build`` really is."""
    return f"{ROOT}{path}"
