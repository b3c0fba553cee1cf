"""Where the files of a project page in JSON stand, and which of their URLs are pointed at us.

What is kept of each file is where it stands, four numbers; its entry is read again when somebody wants it. Pages have
tens of thousands of files, of which a client wants a few.
"""

from __future__ import annotations

import json
import re
from array import array
from typing import TYPE_CHECKING, NamedTuple

from buildthrough.proxy.json_text import Malformed, scanner, walk_object
from buildthrough.proxy.link import is_ours, locate
from buildthrough.proxy.splice import Edit

if TYPE_CHECKING:
    from buildthrough.proxy.link import Location

STRIDE = 4
"""Numbers of a file in `JsonFiles.places`."""

_SEGMENT = r"[A-Za-z0-9_+!~@-][A-Za-z0-9._+!~@-]*+"
_plain_url = re.compile(
    rf'"url"[ \t\n\r]*+:[ \t\n\r]*+"(https?://[^/?#\\\s"]++/)((?:{_SEGMENT}/)*+({_SEGMENT}))"'
).match
_escaped_key = re.compile(r"\\.(?:[^\"\\]|\\.)*+\"[ \t\n\r]*+:").search


class Odd(NamedTuple):
    """A file whose URL is not simply our way and upstream's path."""

    edits: tuple[Edit, ...]
    place: Location | None
    """Where it is, if we serve it under a URL of ours."""


class JsonFiles:
    """The files of the page at the URL ``base``, taken one after another. All places are characters of the text."""

    def __init__(self, base: str) -> None:
        self.places = array("I")
        """Of each file: where it begins, where it ends, where its URL begins, where the path of its URL begins."""
        self.odd: dict[int, Odd] = {}
        """By the file's number; for these the last two places say nothing."""
        self.edits: list[tuple[int, int, str, bool]] = []
        """What was found since somebody last emptied it: the fields of `Edit`, in places of the window."""
        self._base = base
        self.known: dict[str, str] = {}
        """URLs by their paths, to see where two have one."""
        self._origin = ""
        self._seen = ""
        """The window that was looked through for escapes last."""
        self._has_escapes = False
        self._decode = json.JSONDecoder().raw_decode
        self._scan = scanner()

    def take(self, window: str, at: int, offset: int) -> int:
        """Read the file that begins in the window, which begins at the offset of the text; return where it ends.

        Raise ValueError where it is not all there, `Malformed` where it is no file.
        """
        value, end = self._decode(window, at)
        if type(value) is not dict:
            msg = f"the file at character {offset + at} is no object"
            raise Malformed(msg)
        filename, url = value.get("filename"), value.get("url")
        if type(filename) is not str or type(url) is not str:
            msg = f"the file at character {offset + at} has no {'url' if type(filename) is str else 'filename'}"
            raise Malformed(msg)
        plain = self._plain(window, at, end, filename)
        if plain is None or self.known.setdefault(plain[2], url) != url:
            self._take_odd(window[at:end], filename, at, offset)
        else:
            start, path = plain.start(1), plain.start(2)
            self.places.extend((offset + at, offset + end, offset + start, offset + path))
            self.edits.append((start, path, "", True))
        return end

    def end(self) -> None:
        """Forget what is of no use once all files are taken."""
        self.known.clear()
        self._seen = ""

    def _plain(self, window: str, at: int, end: int, filename: str) -> re.Match[str] | None:
        """Return where the URL stands, if ours is simply our way and upstream's path: so for nearly all files."""
        begin = window.find('"url"', at, end)
        found = _plain_url(window, begin) if begin >= 0 else None
        if found is None or found[3] != filename:
            return None
        if found[1] != self._origin:
            if self._origin:
                return None
            self._origin = found[1]
        # Where no key is escaped, a lone "url" in quotes can only be the key that the file is known to have.
        if window.find('"url"', found.end(), end) >= 0:
            return None
        if window is not self._seen:
            self._seen, self._has_escapes = window, "\\" in window
        return None if self._has_escapes and _escaped_key(window, at, end) else found

    def _take_odd(self, file: str, filename: str, at: int, offset: int) -> None:
        edits: list[Edit] = []
        place = None
        for start, end, reference in self._urls(file):
            place, edit = self._edit(at + start, at + end, reference, filename)
            edits += (edit,) if edit else ()
        self.edits += edits
        moved = tuple(Edit(offset + one.start, offset + one.end, one.text, one.rooted) for one in edits)
        self.odd[len(self.places) // STRIDE] = Odd(moved, place)
        self.places.extend((offset + at, offset + at + len(file), 0, 0))

    def _urls(self, file: str) -> list[tuple[int, int, str]]:
        """Return where the values of ``url`` stand inside their quotes, and what they say."""
        spans: list[tuple[int, int, str]] = []

        def value(key: str, start: int) -> int:
            found, stop = self._scan(file, start)
            if key == "url" and isinstance(found, str):
                spans.append((start + 1, stop - 1, found))
            return stop

        walk_object(file, 0, self._scan, value)
        return spans

    def _edit(self, start: int, end: int, reference: str, filename: str) -> tuple[Location | None, Edit | None]:
        """Point one URL at us. Return its place, None where it stays upstream's, and what is to be changed."""
        place = locate(reference, self._base)
        if place is None:
            return None, None
        if not is_ours(place, filename, self.known):
            if place.public_url == reference.partition("#")[0]:
                return None, None
            return None, Edit(
                start, end, json.dumps(place.public_url)[1:-1], rooted=False
            )  # relative: it would be to us
        path: str = place.path or ""
        written = path if not place.fragment else f"{path}#{place.fragment}"
        if not written.isascii() or "\\" in written or '"' in written:
            written = json.dumps(written)[1:-1]
        return place, Edit(start, end, written, rooted=True)
