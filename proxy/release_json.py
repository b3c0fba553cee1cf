"""What PyPI's JSON API says of a project or of a release: read once, edited, never written anew.

Nothing specifies it but its use; of its shape only that is presumed which has to be edited: ``urls`` and each of
``releases`` are lists of files with a ``filename`` and a ``url``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from buildthrough.proxy.errors import UpstreamInvalid
from buildthrough.proxy.json_text import Malformed, scanner, skip_space, walk_array, walk_object
from buildthrough.proxy.link import is_ours, locate
from buildthrough.proxy.splice import Edit, cuts, splice
from buildthrough.proxy.stated import clean_hashes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet


class ReleaseFile(NamedTuple):
    """A file in one of the lists."""

    filename: str
    start: int
    end: int
    """Where it stands in the text."""
    edits: tuple[Edit, ...]
    """What points it at us."""
    sha256: str | None
    upload_time: str | None
    is_ours: bool
    """Whether we serve it under a URL of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDocument:
    """The text, what it says, and where it is to be edited."""

    project: str
    text: str
    lists: tuple[tuple[ReleaseFile, ...], ...]
    """The files, list by list, as the text has them: most of them twice."""
    last_serial: str | None

    def render(self, root: str, hidden: AbstractSet[str] = frozenset()) -> bytes:
        """Return it in UTF-8 with its URLs pointed at us, without the files of these names.

        ``root`` is the URL of the server's root: who reads this expects absolute addresses.
        """
        edits: list[Edit] = []
        for files in self.lists:
            edits += cuts([(one.start, one.end) for one in files], [one.filename in hidden for one in files])
            edits += (edit for one in files if one.filename not in hidden for edit in one.edits)
        way = json.dumps(f"{root}files/{self.project}/")[1:-1]
        return splice(self.text, sorted(edits), way)

    def upload_times(self) -> Mapping[tuple[str, str], str]:
        """Return when files were uploaded, by file name and sha256."""
        return {
            (one.filename, one.sha256): one.upload_time
            for files in self.lists
            for one in files
            if one.sha256 is not None and one.upload_time is not None
        }

    @property
    def filenames(self) -> AbstractSet[str]:
        """The names of all files."""
        return {one.filename for files in self.lists for one in files}


def read(text: str, base: str, project: str) -> ReleaseDocument:
    """Read what was found at the URL ``base``. Raise `UpstreamInvalid` where it is no answer of the JSON API."""
    try:
        return _Reader(text, base, project).read()
    except (Malformed, RecursionError) as error:
        msg = f"Upstream's answer about {project!r} is not the JSON API's: {error}."
        raise UpstreamInvalid(msg) from error


class _Reader:
    """The pass over the text. One use."""

    def __init__(self, text: str, base: str, project: str) -> None:
        self._text = text
        self._base = base
        self._project = project
        self._scan = scanner()
        self._top: dict[str, object] = {}
        self._lists: list[tuple[ReleaseFile, ...]] = []
        self._places: dict[str, str] = {}

    def read(self) -> ReleaseDocument:
        start = skip_space(self._text, 1 if self._text.startswith("\ufeff") else 0)
        end = skip_space(self._text, walk_object(self._text, start, self._scan, self._top_value))
        if end != len(self._text):
            msg = f"there is more behind its end at character {end}"
            raise Malformed(msg)
        if not isinstance(self._top.get("info"), dict):
            msg = "it has no info"
            raise Malformed(msg)
        serial = self._top.get("last_serial")
        return ReleaseDocument(
            project=self._project,
            text=self._text,
            lists=tuple(self._lists),
            last_serial=str(serial) if type(serial) in {int, str} else None,
        )

    def _top_value(self, key: str, at: int) -> int:
        if key == "urls" and self._text.startswith("[", at):
            return self._list(key, at)
        if key == "releases" and self._text.startswith("{", at):
            return walk_object(self._text, at, self._scan, self._list)
        self._top[key], end = self._scan(self._text, at)
        return end

    def _list(self, _key: str, at: int) -> int:
        files: list[ReleaseFile] = []

        def element(start: int) -> int:
            found, end = self._file(start)
            files.append(found)
            return end

        end = walk_array(self._text, at, element)
        self._lists.append(tuple(files))
        return end

    def _file(self, at: int) -> tuple[ReleaseFile, int]:
        value: dict[str, object] = {}
        spans: list[tuple[int, int]] = []

        def member(key: str, start: int) -> int:
            value[key], stop = self._scan(self._text, start)
            if key == "url" and isinstance(value[key], str):
                spans.append((start + 1, stop - 1))
            return stop

        end = walk_object(self._text, at, self._scan, member)
        filename, url, uploaded = (value.get(key) for key in ("filename", "url", "upload_time_iso_8601"))
        if not isinstance(filename, str) or not isinstance(url, str):
            msg = f"the file at character {at} has no {'url' if isinstance(filename, str) else 'filename'}"
            raise Malformed(msg)
        new = self._address(url, filename)
        # Of several keys of one name the last counts, as it does for clients; the others must not lead elsewhere.
        edits = () if new is None else tuple(Edit(start, stop, new[0], rooted=new[1]) for start, stop in spans)
        found = ReleaseFile(
            filename=filename,
            start=at,
            end=end,
            edits=edits,
            sha256=clean_hashes(value.get("digests")).get("sha256"),
            upload_time=uploaded if isinstance(uploaded, str) and uploaded else None,
            is_ours=new is not None and new[1],
        )
        return found, end

    def _address(self, url: str, filename: str) -> tuple[str, bool] | None:
        """Return what is written for a file's URL, and whether it is a path below our files; None: upstream's stays."""
        place = locate(url, self._base)
        if place is None:
            return None
        if is_ours(place, filename, self._places):
            fragment = f"#{place.fragment}" if place.fragment else ""
            return json.dumps(f"{place.path}{fragment}")[1:-1], True
        public = place.public_url
        return None if public == url.partition("#")[0] else (json.dumps(public)[1:-1], False)
