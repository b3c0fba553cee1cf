"""``buildthrough seccomp``: the system call profile for a container in which builds run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from buildthrough.builders import container_profile

if TYPE_CHECKING:
    import argparse

SUMMARY = "print the seccomp profile for a container that builds"


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Add no option."""


def run(_arguments: argparse.Namespace) -> int:
    """Print it."""
    sys.stdout.write(container_profile.text())
    return 0
