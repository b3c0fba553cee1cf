"""Makes wheels, honest ones by default and hostile ones where the arguments say so."""

from __future__ import annotations

import base64
import hashlib
import io
import warnings
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

_REGULAR = 0o100644 << 16
_NOON = (2020, 1, 1, 12, 0, 0)


def make_wheel(
    folder: Path,
    *,
    name: str = "demo",
    version: str = "1.0",
    tag: str = "py3-none-any",
    files: Mapping[str, str | bytes] | None = None,
    requires: Iterable[str] = (),
    requires_python: str | None = None,
    metadata_extra: str = "",
    build: str | None = None,
    filename: str | None = None,
    dist_info: str | None = None,
    metadata: bytes | None = None,
    wheel: bytes | None = None,
    record: bytes | None = None,
    entries: Iterable[tuple[zipfile.ZipInfo, bytes]] = (),
    change: Callable[[bytes], bytes] = bytes,
) -> Path:
    """Write a wheel into the folder and return its path. Its RECORD is complete and right unless ``record`` is given.

    ``metadata_extra`` is added to METADATA's header, one field a line. ``filename``, ``dist_info``, ``metadata``,
    ``wheel`` and ``record`` replace what would be written. ``entries`` are zip entries as they are, not in RECORD.
    ``change`` gets the finished archive and returns what is written in its place.
    """
    stem = f"{name.replace('-', '_')}-{version}"
    if files is None:
        files = {f"{name.replace('-', '_')}/__init__.py": f"__version__ = {version!r}\n"}
    info = dist_info or f"{stem}.dist-info"
    contents = {path: _encoded(content) for path, content in files.items()}
    contents[f"{info}/METADATA"] = metadata or make_metadata(
        name=name, version=version, requires=requires, requires_python=requires_python, extra=metadata_extra
    )
    contents[f"{info}/WHEEL"] = wheel or make_wheel_file(tag, build=build)
    contents[f"{info}/RECORD"] = make_record(contents, f"{info}/RECORD") if record is None else record
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile warns of duplicates, which some tests want
        for path, content in contents.items():
            archive.writestr(make_entry(path), content)
        for entry, content in entries:
            archive.writestr(entry, content)
    path = folder / (filename or f"{stem}-{f'{build}-' if build else ''}{tag}.whl")
    path.write_bytes(change(buffer.getvalue()))
    return path


def make_entry(path: str, *, attributes: int = _REGULAR, method: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    """Return the zip entry of a path, by default a regular file that its owner may write."""
    entry = zipfile.ZipInfo(path, _NOON)
    entry.external_attr = attributes
    entry.compress_type = method
    return entry


def make_metadata(
    *,
    name: str = "demo",
    version: str = "1.0",
    requires: Iterable[str] = (),
    requires_python: str | None = None,
    extra: str = "",
) -> bytes:
    """Return a METADATA file."""
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    if requires_python is not None:
        lines.append(f"Requires-Python: {requires_python}")
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    lines += extra.splitlines()
    return ("\n".join(lines) + "\n\nA demonstration.\n").encode()


def make_wheel_file(tag: str = "py3-none-any", *, build: str | None = None, purelib: bool | None = None) -> bytes:
    """Return a WHEEL file whose tags are those of a compressed tag set."""
    pythons, abis, platforms = (part.split(".") for part in tag.split("-"))
    pure = platforms == ["any"] if purelib is None else purelib
    lines = ["Wheel-Version: 1.0", "Generator: demo", f"Root-Is-Purelib: {str(pure).lower()}"]
    lines += [f"Tag: {python}-{abi}-{platform}" for python in pythons for abi in abis for platform in platforms]
    lines += [] if build is None else [f"Build: {build}"]
    return ("\n".join(lines) + "\n").encode()


def make_record(contents: Mapping[str, bytes], itself: str) -> bytes:
    """Return the RECORD of some files; ``itself`` is RECORD's own path."""
    lines = []
    for path, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        quoted = f'"{path}"' if "," in path else path
        lines.append(f"{quoted},sha256={digest},{len(content)}")
    return ("\n".join([*lines, f"{itself},,"]) + "\n").encode()


def _encoded(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content
