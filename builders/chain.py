"""Builds that are made for another's sake, because it requires their wheels: how many, how deep, and for whom. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from buildthrough.builders.faults import PackageFault

if TYPE_CHECKING:
    from buildthrough.builders.request import Build, BuildRequest

LONGEST_CHAIN: Final = 8
"""Builds that may wait for each other in a row, the first and the last included."""
MOST_BUILDS: Final = 32
"""That may be started for the sake of one, at whatever depth, since it was first asked for."""
_LINE_CHARACTERS = 500


def name_of(request: BuildRequest) -> str:
    """Return project and version, as a requirement is written."""
    return f"{request.project}=={request.version}"


def chain_below(parent: Build) -> tuple[str, ...]:
    """Return the chain of what is built for a build: for whose sake, the first first."""
    return (*parent.chain, name_of(parent.request))


def root_of(parent: Build) -> int:
    """Return the build that all of a chain is for."""
    return parent.id if parent.root is None else parent.root


def check_chain(parent: Build, request: BuildRequest, started: int) -> None:
    """Raise `PackageFault` (``deps.depth``) where one more build for a parent's sake would be too much.

    ``started`` is how many were started for the sake of its root so far.
    """
    chain = (*chain_below(parent), name_of(request))
    if len(chain) > LONGEST_CHAIN:
        raise _refused(f"More than {LONGEST_CHAIN} builds would wait for each other: {' -> '.join(chain)}")
    if started >= MOST_BUILDS:
        raise _refused(f"{chain[0]} had {started} other packages built already, and asks for {chain[-1]}")


def _refused(line: str) -> PackageFault:
    return PackageFault("requires", "deps.depth", line[:_LINE_CHARACTERS])
