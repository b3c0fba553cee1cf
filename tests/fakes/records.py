"""Made-up requests, wheels and moments for tests of records."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from buildthrough.builders.request import BuildRequest
from buildthrough.proxy.built import BuiltWheel

CP311 = "cp311-cp311-manylinux_2_36_x86_64"
CP312 = "cp312-cp312-manylinux_2_36_x86_64"


class Clock:
    """A clock that goes only when told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def a_request(
    project: str = "docopt", version: str = "0.6.2", *, target: str = CP311, bytes_: str = ""
) -> BuildRequest:
    sdist = f"{project}-{version}.tar.gz"
    return BuildRequest(
        project=project, version=version, sdist=sdist, sdist_sha256=digest(sdist + bytes_), target=target
    )


def a_wheel(
    request: BuildRequest,
    build: int,
    *,
    tags: str = "py3-none-any",
    content: str = "wheel",
    metadata: str = "metadata",
    filename: str | None = None,
    provenance: str | None = None,
) -> BuiltWheel:
    return BuiltWheel(
        project=request.project,
        version=request.version,
        filename=filename or f"{request.project}-{request.version}-{tags}.whl",
        sha256=digest(content),
        size=len(content),
        metadata_sha256=digest(metadata),
        requires_python=None,
        sdist=request.sdist,
        sdist_sha256=request.sdist_sha256,
        target=request.target,
        build=build,
        created=datetime(2026, 1, 2, tzinfo=UTC),
        provenance_sha256=None if provenance is None else digest(provenance),
    )
