"""The event loop that everything runs on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop, None for Python's own."""
    if sys.implementation.name != "cpython":
        return None
    import uvloop  # noqa: PLC0415 - PyPy has none

    return uvloop.new_event_loop
