"""Which compilers and tools a wheel was made with, as they say it themselves."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TOOLS = ("cc", "c++", "gfortran", "clang", "ld", "rustc", "cargo", "cmake", "ninja", "make")
_SECONDS = 5
"""For all of them together: the record does without one that is slower."""


def versions(environment: Mapping[str, str], tools: Iterable[str] = _TOOLS) -> dict[str, str]:
    """Return the first line that each of the tools on the search path says of its version; those that are there."""
    running = {}
    for name in tools:
        with suppress(OSError):
            running[name] = subprocess.Popen(
                (name, "--version"),
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
    found = {}
    deadline = time.monotonic() + _SECONDS
    for name, process in running.items():
        try:
            said, _ = process.communicate(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            continue
        if process.returncode == 0 and said.strip():
            found[name] = said.decode("utf-8", "replace").strip().splitlines()[0][:200]
    return found
