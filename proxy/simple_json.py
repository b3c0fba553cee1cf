"""Project pages in JSON (PEP 691, 700, 714, 740, 792): read once, edited, never written anew."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_version

from buildthrough.proxy.entry import Entry, ProjectFiles, versions_of
from buildthrough.proxy.json_files import STRIDE
from buildthrough.proxy.json_reader import JsonReader
from buildthrough.proxy.json_text import scanner
from buildthrough.proxy.link import decoded, locate
from buildthrough.proxy.splice import Edit, cuts, outside, splice
from buildthrough.proxy.stated import check_name, check_version, clean_hashes, core_metadata, project_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from buildthrough.proxy.json_reader import Reading
    from buildthrough.proxy.link import Location
    from buildthrough.proxy.overlay import Addition


@dataclass(frozen=True, kw_only=True)
class JsonDocument:
    """A page's text, what it says, and where it is to be edited."""

    project: str
    base: str
    """What relative URLs are relative to."""
    reading: Reading
    status: str | None
    status_reason: str | None
    last_serial: str | None
    api_version: str

    @cached_property
    def files(self) -> ProjectFiles:
        """What the page lists. A quarter of a second for the longest pages: it belongs into a thread."""
        entries: list[Entry] = []
        foreign: set[str] = set()
        for number, value in enumerate(self._values()):
            entry = self._entry(number, value)
            if entry is None:
                foreign.add(str(value["filename"]))
            else:
                entries.append(entry)
        return ProjectFiles(
            project=self.project, entries=tuple(entries), status=self.status, foreign=frozenset(foreign)
        )

    @cached_property
    def by_path(self) -> dict[str, int]:
        """The files' numbers by their paths, percent-decoded once."""
        text, places, odd = self.reading.text, self.reading.files.places, self.reading.files.odd
        found: dict[str, int] = {}
        for number in range(len(places) // STRIDE):
            if number not in odd:
                path = places[number * STRIDE + 3]
                found[text[path : text.index('"', path)]] = number
            elif (place := odd[number].place) is not None:
                found[decoded(place.path or "")] = number
        return found

    def entry(self, path: str) -> Entry | None:
        """Return the file that is listed under this path, both percent-decoded once. The first call takes longer."""
        number = self.by_path.get(path)
        if number is None:
            return None
        value, _ = scanner()(self.reading.text, self.reading.files.places[number * STRIDE])
        return self._entry(number, value) if isinstance(value, dict) else None

    def located(self) -> Iterator[tuple[dict[str, object], Location | None]]:
        """Go through the files: each as it stands, and where we serve it; None where its URL stays upstream's."""
        for number, value in enumerate(self._values()):
            yield value, self._place(number, value)

    def render(self, additions: Sequence[Addition], root: str, hidden: frozenset[str] = frozenset()) -> bytes:
        """Return the page in UTF-8 with its URLs pointed at us, entries added, and files of hidden names left out."""
        edits = list(self._links())
        kept = [True] * (len(self.reading.files.places) // STRIDE)
        if hidden:
            kept = [value["filename"] not in hidden for value in self._values()]
            places = self.reading.files.places
            spans = list(zip(places[::STRIDE], places[1::STRIDE], strict=True))
            edits = outside(edits, cuts(spans, [not keep for keep in kept]))
        end = self.reading.files_end
        if additions:
            added = ",".join(json.dumps(addition_object(one, root), separators=(",", ":")) for one in additions)
            edits.append(Edit(end, end, "," + added if any(kept) else added, rooted=False))
        edits += self._version_edits(additions, kept if hidden else None)
        return splice(self.reading.text, sorted(edits), f"{root}files/{self.project}/")

    def _links(self) -> Iterator[Edit]:
        places, odd = self.reading.files.places, self.reading.files.odd
        for number in range(len(places) // STRIDE):
            if number in odd:
                yield from odd[number].edits
            else:
                at = number * STRIDE
                yield Edit(places[at + 2], places[at + 3], "", rooted=True)

    def _version_edits(self, additions: Sequence[Addition], kept: Sequence[bool] | None) -> list[Edit]:
        """Each file's version must be in ``versions`` (PEP 700), where upstream, too, may spell it differently."""
        stated = self.reading.top.get("versions")
        if not isinstance(stated, list) or self.reading.versions is None:
            return []
        begin, end = self.reading.versions
        added = {one.wheel.version for one in additions}
        if kept is None:
            known = {canonicalize_version(one) for one in stated if isinstance(one, str)}
            missing = sorted(version for version in added if canonicalize_version(version) not in known)
            text = ",".join(json.dumps(version) for version in missing)
            return [Edit(end - 1, end - 1, "," + text if stated else text, rooted=False)] if missing else []
        names = (str(value["filename"]) for value, keep in zip(self._values(), kept, strict=True) if keep)
        alive = versions_of(names) | {canonicalize_version(version) for version in added}
        left = [one for one in stated if isinstance(one, str) and canonicalize_version(one) in alive]
        known = {canonicalize_version(one) for one in left}
        left += sorted(version for version in added if canonicalize_version(version) not in known)
        return [Edit(begin, end, json.dumps(left), rooted=False)]

    def _values(self) -> Iterator[dict[str, object]]:
        scan = scanner()
        text, places = self.reading.text, self.reading.files.places
        for number in range(len(places) // STRIDE):
            value, _ = scan(text, places[number * STRIDE])
            if isinstance(value, dict):
                yield value

    def _place(self, number: int, value: dict[str, object]) -> Location | None:
        found = self.reading.files.odd.get(number)
        return found.place if found else locate(str(value["url"]), self.base)

    def _entry(self, number: int, value: dict[str, object]) -> Entry | None:
        place = self._place(number, value)
        return _entry(place, place.path or "", str(value["filename"]), value) if place else None


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
    reader = JsonReader(base, project)
    reader.feed(text)
    return document(replace(reader.finish()[1], text=text), base, project)


def document(reading: Reading, base: str, project: str) -> JsonDocument:
    """Return what was read as a page. Raise `UpstreamInvalid` where it is none that can be used."""
    meta = reading.top.get("meta")
    if not isinstance(meta, dict):
        meta = {}
    version = check_version(meta.get("api-version"), f"page of {project!r}")
    check_name(reading.top.get("name"), project)
    status, reason = project_status(reading.top.get("project-status"), meta.get("project-status"))
    serial = meta.get("_last-serial")
    return JsonDocument(
        project=project,
        base=base,
        reading=reading,
        status=status,
        status_reason=reason,
        last_serial=str(serial) if isinstance(serial, (int, str)) and not isinstance(serial, bool) else None,
        api_version=version,
    )


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
