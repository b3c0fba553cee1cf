"""Project pages and files in the shapes that PyPI has, made from nothing: the same bytes in every run.

A shape is a number of files and how much is said of each; digests are random, so pages compress as the real ones do.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ABIS = ("cp39", "cp310", "cp311", "cp312", "cp313", "cp314")
PLATFORMS = (
    "manylinux_2_17_x86_64.manylinux2014_x86_64",
    "manylinux_2_17_aarch64.manylinux2014_aarch64",
    "musllinux_1_1_x86_64",
    "macosx_11_0_arm64",
    "win_amd64",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a page looks like."""

    name: str
    files: int
    compiled: bool
    """Wheels for many platforms, with long names, against pure ones."""
    size: int
    """Bytes of the real page, about."""


SIX = Shape("six", 47, compiled=False, size=25_000)
REQUESTS = Shape("requests", 228, compiled=False, size=125_000)
NUMPY = Shape("numpy", 4_230, compiled=True, size=2_900_000)
PYDANTIC_CORE = Shape("pydantic-core", 14_917, compiled=True, size=10_300_000)
SHAPES = {shape.name: shape for shape in (SIX, REQUESTS, NUMPY, PYDANTIC_CORE)}


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as a page lists it."""

    filename: str
    sha256: str
    size: int
    metadata: str | None = None
    """The sha256 of its core metadata, where upstream serves it."""

    @property
    def path(self) -> str:
        """Where upstream has it, below ``/packages/``."""
        digest = hashlib.blake2b(f"{self.filename} {self.sha256}".encode(), digest_size=32).hexdigest()
        return f"{digest[:2]}/{digest[2:4]}/{digest[4:]}/{self.filename}"


def listed(shape: Shape, project: str) -> list[Listed]:
    """Return the files that a page of this shape lists."""
    dice = random.Random(f"{shape.name} {project}")  # noqa: S311 - the same in every run, no secret
    stem = project.replace("-", "_")
    files = []
    for n in range(shape.files):
        if shape.compiled:
            release, wheel = divmod(n, len(ABIS) * len(PLATFORMS))
            abi, platform = ABIS[wheel % len(ABIS)], PLATFORMS[wheel // len(ABIS)]
            filename = f"{stem}-{release // 10}.{release % 10}.0-{abi}-{abi}-{platform}.whl"
        else:
            release, wheel = divmod(n, 2)
            suffix = ".tar.gz" if wheel else "-py3-none-any.whl"
            filename = f"{stem}-{release // 10}.{release % 10}.0{suffix}"
        digests = [f"{dice.getrandbits(256):064x}" for _ in range(2)]
        wheel_metadata = digests[1] if filename.endswith(".whl") else None
        files.append(Listed(filename, digests[0], dice.randrange(20_000, 5_000_000), wheel_metadata))
    return files


def checked(shape: Shape, files: Mapping[str, str]) -> None:
    """Raise `ValueError` where a page has another number of files than its shape."""
    if len(files) != shape.files:
        raise ValueError(f"lists {len(files)} files of {shape.name} where upstream has {shape.files}")


def page(project: str, files: list[Listed], base: str) -> bytes:
    """Return the JSON page (PEP 691, 700, 714, 740, 792) as PyPI writes it; URLs of files begin with ``base``."""
    entries = [
        {
            "core-metadata": {"sha256": file.metadata} if file.metadata else False,
            "data-dist-info-metadata": {"sha256": file.metadata} if file.metadata else False,
            "filename": file.filename,
            "hashes": {"sha256": file.sha256},
            "provenance": f"{base}/integrity/{project}/{file.filename}/provenance" if n % 2 else None,
            "requires-python": ">=3.9",
            "size": file.size,
            "upload-time": f"2025-{1 + n % 12:02}-{1 + n % 28:02}T10:{n % 60:02}:{n % 59:02}.{n % 999983:06}Z",
            "url": f"{base}/packages/{file.path}",
            "yanked": False,
        }
        for n, file in enumerate(files)
    ]
    whole = {
        "alternate-locations": [],
        "files": entries,
        "meta": {"_last-serial": 31_000_000, "api-version": "1.4"},
        "name": project,
        "project-status": {"status": "active"},
        "versions": sorted({file.filename.split("-")[1].removesuffix(".tar.gz") for file in files}),
    }
    return json.dumps(whole, separators=(",", ":")).encode()


def compressed(body: bytes) -> bytes:
    """Return gzip at level 6, as most servers do."""
    return gzip.compress(body, 6, mtime=0)


def wheel(project: str, *, size: int = 30_000) -> tuple[str, bytes, bytes]:
    """Return the file name, the bytes and the core metadata of a pure wheel that can be installed."""
    stem = project.replace("-", "_")
    name = f"{stem}-1.0-py3-none-any.whl"
    info = f"{stem}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n".encode()
    filler = random.Random(project).randbytes(size)  # noqa: S311 - the same in every run, no secret
    contents = {
        f"{stem}/__init__.py": b"",
        f"{stem}/data.bin": filler,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in contents) + f"{info}/RECORD,,\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in {**contents, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(zipfile.ZipInfo(path, (2025, 1, 1, 0, 0, 0)), data)
    return name, buffer.getvalue(), metadata
