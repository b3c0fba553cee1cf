"""Read a project page in JSON while it arrives, in pieces of any size, and give it out with our URLs in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from buildthrough.proxy.errors import UpstreamInvalid
from buildthrough.proxy.json_files import JsonFiles
from buildthrough.proxy.json_text import Malformed, scanner, skip_space

if TYPE_CHECKING:
    from collections.abc import Generator

_separator = re.compile(r"[ \t\n\r]*+,[ \t\n\r]*+(?=[^ \t\n\r\]])").match


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read. All places are characters of the text."""

    text: str
    top: dict[str, object]
    """The values of the top level, but for ``files``."""
    files: JsonFiles
    files_at: int
    """Where the array ``files`` begins."""
    files_end: int
    """Behind the last file, where a further one goes."""
    versions_at: int
    """Where the array ``versions`` begins; -1 where the page has none (before PEP 700)."""
    versions_end: int
    """Before its closing bracket."""


class JsonReader:
    """The pass over a page found at the URL ``base``. One use."""

    def __init__(self, base: str, project: str) -> None:
        self._base = base
        self._project = project
        self._window = ""
        self._offset = 0  # of the window in the text
        self._at = 0  # in the window
        self._final = False
        self._behind: list[str] = []
        self._scan = scanner()
        self._top: dict[str, object] = {}
        self._files = JsonFiles(base)
        self._files_place: tuple[int, int] | None = None
        self._versions = (-1, -1)
        self._steps = self._page()

    def feed(self, text: str, way: str = "") -> str:
        """Take the next piece; return what can be sent of the page, the paths of files behind ``way``.

        Raise `UpstreamInvalid` for what is no page of a project.
        """
        self._behind.append(self._window[: self._at])
        self._window = self._window[self._at :] + text
        self._offset += self._at
        self._at = 0
        return self._step(way)

    def finish(self, way: str = "") -> tuple[str, Reading]:
        """Return the rest of what can be sent, and all that was read. Raise `UpstreamInvalid`, also for half a page."""
        self._final = True
        rest = self.feed("", way)
        if self._files_place is None:
            raise self._invalid("it has no files")
        return rest, Reading(
            text="".join([*self._behind, self._window]),
            top=self._top,
            files=self._files,
            files_at=self._files_place[0],
            files_end=self._files_place[1],
            versions_at=self._versions[0],
            versions_end=self._versions[1],
        )

    def _step(self, way: str) -> str:
        try:
            next(self._steps, None)
        except (Malformed, RecursionError) as error:
            raise self._invalid(error) from error
        pieces: list[str] = []
        at = 0
        for start, end, new, rooted in self._files.edits:
            pieces += (self._window[at:start], way, new) if rooted else (self._window[at:start], new)
            at = end
        pieces.append(self._window[at : self._at])
        self._files.edits.clear()
        return "".join(pieces)

    def _invalid(self, what: object) -> UpstreamInvalid:
        return UpstreamInvalid(f"Upstream's page of {self._project!r} is not the JSON of a project page: {what}.")

    def _expected(self, what: str) -> Malformed:
        return Malformed(f"{what} was expected at character {self._offset + self._at}")

    def _page(self) -> Generator[None]:
        """Go through the page. What is yielded waits for more of it."""
        yield from self._character()
        if self._window.startswith("\ufeff") and not self._offset:
            self._at = 1
        yield from self._expect("{", "an object")
        character = yield from self._character()
        while character != "}":
            if character != '"':
                raise self._expected("a key")
            key = yield from self._value()
            yield from self._expect(":", "a colon")
            yield from self._character()
            yield from self._top_value(str(key))
            character = yield from self._character()
            if character == ",":
                self._at += 1
                if (character := (yield from self._character())) == "}":
                    raise self._expected("a key")
            elif character != "}":
                raise self._expected("a comma or the end")
        self._at += 1
        if (yield from self._character()):
            msg = f"there is more behind its end at character {self._offset + self._at}"
            raise Malformed(msg)

    def _top_value(self, key: str) -> Generator[None]:
        if key == "files":
            yield from self._all_files()
            return
        begin = self._offset + self._at
        value = yield from self._value()
        self._top[key] = value
        if key == "versions":
            self._versions = (begin, self._offset + self._at - 1) if isinstance(value, list) else (-1, -1)

    def _character(self) -> Generator[None, None, str]:
        """Go to the next character that is no white space; empty at the end of the page."""
        while True:
            self._at = skip_space(self._window, self._at)
            if self._at < len(self._window) or self._final:
                return self._window[self._at : self._at + 1]
            yield

    def _expect(self, bracket: str, what: str) -> Generator[None]:
        if (yield from self._character()) != bracket:
            raise self._expected(what)
        self._at += 1

    def _value(self) -> Generator[None, None, object]:
        tried = 0
        while True:
            have = len(self._window) - self._at
            if self._final or have >= 2 * tried:  # not again with each small piece of a long value
                try:
                    value, end = self._scan(self._window, self._at)
                except Malformed:
                    if self._final:
                        raise
                else:
                    if end < len(self._window) or self._final:  # a number may go on
                        self._at = end
                        return value
                tried = have
            yield

    def _all_files(self) -> Generator[None]:
        self._files = JsonFiles(self._base)  # of two arrays of files, the last counts, as it does for clients
        begin = self._offset + self._at
        yield from self._expect("[", "an array")
        end = self._offset + self._at
        character = yield from self._character()
        while character != "]":
            yield from self._file()
            end = self._offset + self._at
            comma = _separator(self._window, self._at)
            if comma is not None:
                self._at = comma.end()
                continue
            character = yield from self._character()
            if character == ",":
                self._at += 1
                if (yield from self._character()) == "]":
                    raise self._expected("a file")
            elif character != "]":
                raise self._expected("a comma or the end")
        self._at += 1
        self._files_place = begin, end

    def _file(self) -> Generator[None]:
        tried = 0
        while True:
            have = len(self._window) - self._at
            if self._final or have >= 2 * tried:
                try:
                    self._at = self._files.take(self._window, self._at, self._offset)
                except Malformed:
                    raise
                except ValueError as error:
                    if self._final:
                        raise Malformed(str(error)) from error
                else:
                    return
                tried = have
            yield
