"""Is this really the wheel that was asked for? The bytes come from a stranger: nothing about them is believed.

Sources: the binary distribution format, core metadata and platform compatibility tags specifications.
"""

from __future__ import annotations

import email.parser
import email.policy
import hashlib
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.tags import Tag, parse_tag
from packaging.utils import BuildTag, InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from buildthrough.builders.archive import Archive, open_archive
from buildthrough.builders.archive_entry import Entry, quoted, refusal
from buildthrough.builders.artifact import CheckedWheel
from buildthrough.builders.core_metadata import LARGEST
from buildthrough.builders.elf import Elf, check_platform, is_elf, read_elf
from buildthrough.builders.layout import ENTRY_POINTS_BYTES, check_entry_points, check_layout
from buildthrough.builders.metadata_check import check_metadata
from buildthrough.builders.record import SIGNATURES, Recorded, check_record, read_record
from buildthrough.builders.target import rank
from buildthrough.builders.windows_names import unfit_for_windows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from buildthrough.builders.target import Environment

_FILENAME = re.compile(r"[A-Za-z0-9_.+!-]{1,240}\.whl")
_WHEEL_LINE = re.compile(r"[A-Za-z][A-Za-z0-9-]*:[ -~]*\r?")
_TAG = re.compile(r"\w+(?:\.\w+)*-\w+(?:\.\w+)*-\w+(?:\.\w+)*", re.ASCII)
_TAGS = 1000
_SCHEMES = frozenset({"purelib", "platlib", "headers", "scripts", "data"})
_WHEEL_BYTES, _RECORD_BYTES = 1 << 16, 32 << 20
_ELF_BYTES, _ELF_MEMORY = 4, 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Name:
    """What a wheel's file name says."""

    filename: str
    project: str
    version: str
    build: BuildTag
    tags: frozenset[Tag]

    @property
    def platforms(self) -> frozenset[str]:
        return frozenset(tag.platform for tag in self.tags)


def check_wheel(
    path: Path,
    *,
    project: str,
    version: str,
    environment: Environment,
    max_files: int = 50_000,
    max_bytes: int = 2 << 30,
    max_archive_bytes: int = 512 << 20,
) -> CheckedWheel:
    """Read the whole wheel and return it if it is sound, and the one that was asked for, and fits the environment.

    ``max_bytes`` bounds what it unpacks to, counted while reading. Blocking: call it in a thread. Raise
    `PackageFault` of stage ``check`` and class ``output.<word>`` otherwise.
    """
    size = path.stat().st_size
    if size > max_archive_bytes:
        raise refusal("too-large", f"the wheel has {size} bytes, more than {max_archive_bytes}")
    name = _check_filename(path.name, project, version, environment)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        archive = open_archive(file, max_files=max_files, max_bytes=max_bytes)
        files = {entry.path: entry for entry in archive.entries if not entry.is_folder}
        info = _dist_info(archive.entries, name)
        _check_data(files, info.removesuffix(".dist-info"))
        odd = check_layout(files, info)
        odd += unfit_for_windows(files) if "any" in name.platforms else []
        if f"{info}/entry_points.txt" in files:
            check_entry_points(archive.read(files[f"{info}/entry_points.txt"], limit=ENTRY_POINTS_BYTES))
        purelib, warnings = _check_wheel_file(_text(archive, files, f"{info}/WHEEL", _WHEEL_BYTES), name)
        metadata = archive.read(_required(files, f"{info}/METADATA"), limit=LARGEST)
        requires_python, more = check_metadata(metadata, project=name.project, version=name.version)
        unhashed = frozenset(f"{info}/{each}" for each in SIGNATURES)
        record = read_record(archive.read(_required(files, f"{info}/RECORD"), limit=_RECORD_BYTES), unhashed=unhashed)
        check_record(record, files, unhashed=unhashed)
        elves = _read_all(archive, files, record)
    _check_binaries(elves, name, info, purelib=purelib)
    return CheckedWheel(
        path=path,
        filename=path.name,
        sha256=sha256,
        size=size,
        metadata=metadata,
        requires_python=requires_python,
        warnings=(*warnings, *more, *odd),
        files=tuple(sorted(files)),
    )


def _check_filename(filename: str, project: str, version: str, environment: Environment) -> _Name:
    try:
        if not _FILENAME.fullmatch(filename):
            raise refusal("filename", f"{quoted(filename)} is no file name of a wheel")
        found, found_version, build, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise refusal("filename", f"{quoted(filename)} is no file name of a wheel") from error
    name = _Name(
        filename=filename, project=canonicalize_name(project), version=str(Version(version)), build=build, tags=tags
    )
    if len(tags) > _TAGS:
        raise refusal("filename", f"{quoted(filename)} stands for {len(tags)} tags")
    if found != name.project:
        raise refusal("name-mismatch", f"the wheel is named {quoted(filename)}, asked for was {name.project}")
    if str(found_version) != name.version:
        raise refusal("version-mismatch", f"the wheel is {quoted(filename)}, asked for was version {name.version}")
    native = sorted(platform for platform in name.platforms if platform.startswith("linux_"))
    if native:
        raise refusal("linux-tag", f"{native[0]} does not say on which systems the wheel runs")
    if rank(filename, environment) is None:
        raise refusal("bad-tags", f"{quoted(filename)} does not fit {environment.slug}")
    return name


def _dist_info(entries: tuple[Entry, ...], name: _Name) -> str:
    """Return the one dist-info folder."""
    tops = sorted({entry.path.partition("/")[0] for entry in entries})
    folders = [top for top in tops if top.casefold().endswith(".dist-info")]
    if len(folders) != 1:
        raise refusal("dist-info", f"the wheel has {len(folders)} dist-info folders, not one")
    project, _, version = folders[0].removesuffix(".dist-info").partition("-")
    try:
        matches = canonicalize_name(project) == name.project and str(Version(version)) == name.version
    except InvalidVersion:
        matches = False
    if not matches:
        raise refusal("dist-info", f"{quoted(folders[0])} is not what the file name {quoted(name.filename)} says")
    return folders[0]


def _check_data(files: Mapping[str, Entry], stem: str) -> None:
    """Refuse files that installers put into different places: pip takes any ``.data`` folder for the wheel's."""
    for path in files:
        top, *rest = path.split("/")
        if not top.casefold().endswith(".data"):
            continue
        if top != f"{stem}.data":
            raise refusal("data-folder", f"{quoted(path)} is not in this wheel's own .data folder")
        if len(rest) < 2 or rest[0] not in _SCHEMES:  # noqa: PLR2004 # the key, and a path below it
            raise refusal("data-key", f"{quoted(path)} has none of the keys of a .data folder")


def _check_wheel_file(text: str, name: _Name) -> tuple[bool, list[str]]:
    """Return whether the root is purelib, and warnings."""
    if not all(_WHEEL_LINE.fullmatch(line) for line in text.rstrip("\r\n").split("\n")):
        raise refusal("bad-wheel-file", "WHEEL has a line that is no field")
    fields = email.parser.Parser(policy=email.policy.compat32).parsestr(text, headersonly=True)
    versions, roots, builds = (fields.get_all(key, []) for key in ("Wheel-Version", "Root-Is-Purelib", "Build"))
    if len(versions) != 1 or not re.fullmatch(r"1\.[0-9]{1,4}", versions[0].strip()):
        raise refusal("bad-wheel-file", "WHEEL has no Wheel-Version that is understood here")
    if len(roots) != 1 or roots[0].strip().lower() not in {"true", "false"}:
        raise refusal("bad-wheel-file", "WHEEL does not say whether its root is purelib")
    if _tags_of(fields.get_all("Tag", [])) != name.tags:
        raise refusal("tag-mismatch", f"the tags in WHEEL are not those of {quoted(name.filename)}")
    build = builds[0].strip() if len(builds) == 1 else ""
    if len(builds) > 1 or build != "".join(str(part) for part in name.build):
        raise refusal("build-mismatch", f"Build in WHEEL is not that of {quoted(name.filename)}")
    purelib = roots[0].strip().lower() == "true"
    odd = not purelib and name.platforms == {"any"}
    return purelib, ["Root-Is-Purelib is false although the wheel is for any platform"] if odd else []


def _tags_of(lines: Sequence[str]) -> set[Tag]:
    tags: set[Tag] = set()
    for line in lines:
        tag = line.strip()
        several = math.prod(part.count(".") + 1 for part in tag.split("-"))  # a compressed set stands for all of them
        if not _TAG.fullmatch(tag) or several + len(tags) > _TAGS:
            raise refusal("tag-mismatch", f"WHEEL has {quoted(tag)} for a tag")
        tags |= parse_tag(tag)
    return tags


def _read_all(archive: Archive, files: Mapping[str, Entry], record: Mapping[str, Recorded | None]) -> dict[str, Elf]:
    """Read every file to its end, check it against archive and RECORD, and return what the machine code needs."""
    elves: dict[str, Elf] = {}
    left = _ELF_MEMORY
    for path, entry in files.items():
        recorded = record.get(path)
        digest = hashlib.new(recorded.algorithm) if recorded else hashlib.sha256()
        head = b""
        for chunk in archive.chunks(entry):
            digest.update(chunk)
            head = head if len(head) >= _ELF_BYTES else head + chunk
        if recorded and (digest.digest() != recorded.digest or recorded.size not in {None, entry.size}):
            raise refusal("record-hash", f"{quoted(path)} is not what RECORD says")
        if is_elf(head):
            elves[path] = read_elf(archive, entry)
            left -= elves[path].weight
            if left < 0:
                raise refusal("too-large", "the machine code in the wheel needs absurdly many libraries")
    return elves


def _check_binaries(elves: Mapping[str, Elf], name: _Name, info: str, *, purelib: bool) -> None:
    if not elves:
        return
    first = min(elves)
    if "any" in name.platforms:
        raise refusal("not-any", f"{quoted(first)} is machine code in a wheel for any platform")
    data = info.removesuffix(".dist-info") + ".data/"
    concrete = all(tag.abi != "none" for tag in name.tags)
    for path in sorted(elves):
        in_purelib = path.startswith(f"{data}purelib/") or (purelib and not path.startswith(data))
        if concrete and in_purelib:
            raise refusal("purelib", f"{quoted(path)} is machine code where only pure Python may be")
    check_platform(elves, name.platforms)


def _required(files: Mapping[str, Entry], path: str) -> Entry:
    if path not in files:
        raise refusal("dist-info", f"the wheel has no {quoted(path)}")
    return files[path]


def _text(archive: Archive, files: Mapping[str, Entry], path: str, limit: int) -> str:
    try:
        return archive.read(_required(files, path), limit=limit).decode()
    except UnicodeDecodeError as error:
        raise refusal("bad-wheel-file", "WHEEL is not UTF-8") from error
