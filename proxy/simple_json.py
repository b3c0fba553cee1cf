"""Project pages in JSON (PEP 691, 700, 714, 740, 792): read once, edited, never written anew."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_version

from buildthrough.proxy.entry import Entry, ProjectFiles
from buildthrough.proxy.errors import UpstreamInvalid
from buildthrough.proxy.json_text import Malformed, scanner, skip_space, walk_array, walk_object
from buildthrough.proxy.link import is_ours, locate
from buildthrough.proxy.splice import Edit, splice
from buildthrough.proxy.stated import check_version, clean_hashes, core_metadata, project_status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildthrough.proxy.link import Location
    from buildthrough.proxy.overlay import Addition

_plain_url = re.compile(r'"url"[ \t\n\r]*+:[ \t\n\r]*+"([^"]*+)"').match


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonDocument:
    """A page's text, what it says, and where it is to be edited."""

    text: str
    base: str
    """What relative URLs are relative to."""
    files: ProjectFiles
    edits: tuple[Edit, ...]
    files_at: int
    """Where the array ``files`` begins."""
    files_end: int
    """Behind the last file, where a further one goes."""
    has_files: bool
    versions: frozenset[str] | None
    """None where the page has none (before PEP 700)."""
    versions_end: int
    last_serial: str | None
    api_version: str
    status_reason: str | None

    def render(self, additions: Sequence[Addition], root: str) -> bytes:
        """Return the page in UTF-8 with its URLs pointed at us and the entries added."""
        edits: Sequence[Edit] = self.edits
        if additions:
            added = ",".join(json.dumps(addition_object(one, root), separators=(",", ":")) for one in additions)
            new = [Edit(self.files_end, self.files_end, "," + added if self.has_files else added, rooted=False)]
            new += self._missing_versions(additions)
            edits = sorted([*self.edits, *new])
        return splice(self.text, edits, f"{root}files/{self.files.project}/")

    def _missing_versions(self, additions: Sequence[Addition]) -> list[Edit]:
        """Each file's version must be in ``versions`` (PEP 700), where upstream, too, may spell it differently."""
        if self.versions is None:
            return []
        missing = {one.wheel.version for one in additions} - self.versions
        if missing:
            known = {canonicalize_version(version) for version in self.versions}
            missing = {version for version in missing if canonicalize_version(version) not in known}
        if not missing:
            return []
        text = ",".join(json.dumps(version) for version in sorted(missing))
        return [Edit(self.versions_end, self.versions_end, "," + text if self.versions else text, rooted=False)]


def addition_object(addition: Addition, root: str) -> dict[str, object]:
    """Return the entry of a wheel that we built. No value is null: uv would refuse the page for it."""
    wheel = addition.wheel
    entry: dict[str, object] = {
        "filename": wheel.filename,
        "url": addition.url(root),
        "hashes": {"sha256": wheel.sha256},
        "size": wheel.size,
        "core-metadata": {"sha256": wheel.metadata_sha256},
        "yanked": addition.yanked,
    }
    if wheel.requires_python is not None:
        entry["requires-python"] = wheel.requires_python
    if addition.upload_time is not None:
        entry["upload-time"] = addition.upload_time
    return entry


def read(text: str, base: str, project: str) -> JsonDocument:
    """Read a page found at the URL ``base``. Raise `UpstreamInvalid` where it is none that can be used."""
    reader = _Reader(text, base, project)
    try:
        return reader.read()
    except (Malformed, RecursionError) as error:
        msg = f"Upstream's page of {project!r} is not the JSON of a project page: {error}."
        raise UpstreamInvalid(msg) from error


class _Reader:
    """The pass over the text. One use."""

    def __init__(self, text: str, base: str, project: str) -> None:
        self._text = text
        self._base = base
        self._project = project
        self._scan = scanner()
        self._top: dict[str, object] = {}
        self._edits: list[Edit] = []
        self._entries: list[Entry] = []
        self._places: dict[str, str] = {}
        self._files: tuple[int, int] | None = None
        self._last_element = 0
        self._versions_end = 0

    def read(self) -> JsonDocument:
        start = skip_space(self._text, 1 if self._text.startswith("\ufeff") else 0)
        end = skip_space(self._text, walk_object(self._text, start, self._scan, self._top_value))
        if end != len(self._text):
            msg = f"there is more behind its end at character {end}"
            raise Malformed(msg)
        meta = self._top.get("meta")
        if not isinstance(meta, dict):
            meta = {}
        version = check_version(meta.get("api-version"), f"page of {self._project!r}")
        if self._files is None:
            msg = "it has no files"
            raise Malformed(msg)
        status, reason = project_status(self._top.get("project-status"), meta.get("project-status"))
        versions = self._top.get("versions")
        serial = meta.get("_last-serial")
        return JsonDocument(
            text=self._text,
            base=self._base,
            files=ProjectFiles(project=self._project, entries=tuple(self._entries), status=status),
            edits=tuple(self._edits),
            files_at=self._files[0],
            files_end=self._files[1],
            has_files=self._last_element > 0,
            versions=frozenset(one for one in versions if isinstance(one, str)) if isinstance(versions, list) else None,
            versions_end=self._versions_end,
            last_serial=str(serial) if isinstance(serial, (int, str)) and not isinstance(serial, bool) else None,
            api_version=version,
            status_reason=reason,
        )

    def _top_value(self, key: str, at: int) -> int:
        if key == "files":
            self._entries.clear()  # of two, the last counts, as it does for clients
            self._places.clear()
            self._last_element = 0
            end = walk_array(self._text, at, self._element)
            self._files = (at, self._last_element or at + 1)
            return end
        value, end = self._scan(self._text, at)
        self._top[key] = value
        if key == "versions":
            self._versions_end = end - 1
        return end

    def _element(self, at: int) -> int:
        value, end = self._scan(self._text, at)
        self._last_element = end
        if not isinstance(value, dict):
            msg = f"the file at character {at} is no object"
            raise Malformed(msg)
        filename, url = value.get("filename"), value.get("url")
        if not isinstance(filename, str) or not isinstance(url, str):
            msg = f"the file at character {at} has no {'url' if isinstance(filename, str) else 'filename'}"
            raise Malformed(msg)
        spans = self._urls(at, end)
        entry = None
        for start, stop, reference in spans:
            entry = self._edit(start, stop, reference, filename, value)
        if entry is not None:
            self._entries.append(entry)
        return end

    def _urls(self, at: int, end: int) -> list[tuple[int, int, str]]:
        """Return where the values of ``url`` stand inside their quotes, and what they say."""
        text = self._text
        first = text.find('"url"', at, end)
        # Without a backslash, a lone "url" in quotes can only be the key that the element is known to have.
        if text.find('"url"', first + 5, end) < 0 and text.find("\\", at, end) < 0:
            match = _plain_url(text, first)
            if match is not None:
                return [(*match.span(1), match[1])]
        spans: list[tuple[int, int, str]] = []

        def value(key: str, start: int) -> int:
            found, stop = self._scan(text, start)
            if key == "url" and isinstance(found, str):
                spans.append((start + 1, stop - 1, found))
            return stop

        walk_object(text, at, self._scan, value)
        return spans

    def _edit(self, start: int, stop: int, reference: str, filename: str, value: dict[str, object]) -> Entry | None:
        """Point one URL at us. Return its entry, None where it stays upstream's."""
        place = locate(reference, self._base)
        if place is None:
            return None
        if not is_ours(place, filename, self._places):
            if place.url != reference.partition("#")[0]:  # it is relative, and would be relative to us
                self._edits.append(Edit(start, stop, json.dumps(place.url)[1:-1], rooted=False))
            return None
        path: str = place.path or ""
        written = path if not place.fragment else f"{path}#{place.fragment}"
        if not written.isascii() or "\\" in written or '"' in written:
            written = json.dumps(written)[1:-1]
        self._edits.append(Edit(start, stop, written, rooted=True))
        return _entry(place, path, filename, value)


def _entry(place: Location, path: str, filename: str, value: dict[str, object]) -> Entry:
    size, requires = value.get("size"), value.get("requires-python")
    yanked, uploaded = value.get("yanked"), value.get("upload-time")
    return Entry(
        filename=filename,
        url=place.url,
        path=path,
        hashes=clean_hashes(value.get("hashes")),
        size=size if type(size) is int and size >= 0 else None,
        requires_python=requires if isinstance(requires, str) and requires else None,
        # An empty reason is against the specification; pip reads it as "no", uv as "yes". The careful answer is yes.
        yanked=(yanked or True) if isinstance(yanked, str) else yanked is True,
        upload_time=uploaded if isinstance(uploaded, str) and uploaded else None,
        core_metadata=core_metadata(value),
    )
