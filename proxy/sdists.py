"""The sdist that a wheel is built from, as upstream lists it now. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildthrough.builders.faults import Cancelled
from buildthrough.proxy.entry import sdist_identity
from buildthrough.proxy.overlay import fitting

if TYPE_CHECKING:
    from buildthrough.builders.request import BuildRequest
    from buildthrough.builders.target import Environment
    from buildthrough.proxy.entry import Entry, ProjectFiles


def find_sdist(files: ProjectFiles, version: str) -> Entry | None:
    """Return the sdist of a normalised version that is built from: ``.tar.gz`` before ``.zip`` (PEP 625)."""
    sdists = [
        entry
        for entry in files.entries
        if sdist_identity(entry.filename) == (files.project, version) and entry.sha256 is not None
    ]
    return min(sdists, key=lambda entry: (entry.yanked is not False, entry.filename.endswith(".zip")), default=None)


def wanted_sdist(files: ProjectFiles, request: BuildRequest, environment: Environment) -> Entry:
    """Return the entry of the very sdist that is to be built. Raise `Cancelled` where there is nothing to build."""
    entry = next(
        (one for one in files.entries if (one.filename, one.sha256) == (request.sdist, request.sdist_sha256)), None
    )
    if entry is None or files.status == "quarantined":
        raise Cancelled("cancelled.removed", f"Upstream no longer lists this {request.sdist}.")
    if entry.yanked is not False:
        raise Cancelled("cancelled.yanked", f"Upstream has yanked {request.sdist}.")
    if fitting(files, (), request.version, environment):
        raise Cancelled("cancelled.superseded", f"Upstream itself has a wheel of {request.version} that fits.")
    return entry
