"""Go through a JSON object that arrives in pieces: one of its arrays element by element, other values as a whole."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from buildthrough.proxy.json_text import Malformed, scanner, skip_space

if TYPE_CHECKING:
    from collections.abc import Generator

_separator = re.compile(r"[ \t\n\r]*+,[ \t\n\r]*+(?=[^ \t\n\r\]])").match


class JsonWalk(ABC):
    """The pass over an object. One use."""

    def __init__(self, array: str) -> None:
        """``array``: the key whose elements are taken one after another."""
        self.top: dict[str, object] = {}
        """The object's other values."""
        self.spans: dict[str, tuple[int, int]] = {}
        """Where those stand in the text."""
        self.array_at: tuple[int, int] | None = None
        """Where the array begins, and where a further element would go; None where there is no such array."""
        self.window = ""
        self.offset = 0
        """Of the window in the text."""
        self.at = 0
        """Up to where the window was read."""
        self._array = array
        self._scan = scanner()
        self._final = False
        self._ahead: list[str] = []
        self._wanted = 0
        """Characters that have to come before it is of use to go on."""
        self._last = 0
        """Where the last of several elements in the window may begin: the end of that one is not there yet."""
        self._steps = self._object()

    @abstractmethod
    def element(self, window: str, at: int, offset: int) -> int:
        """Take the element that begins in the window; return where it ends.

        Raise ValueError where it is not all there, `Malformed` where it is none.
        """

    def begin_array(self) -> None:  # noqa: B027 - most have nothing to forget
        """Forget the elements that were taken: of two arrays under one key the last counts, as it does for clients."""

    def step(self, text: str, *, final: bool = False) -> None:
        """Go on with the next piece. Raise `Malformed`."""
        self._final = final
        self.window = self.window[self.at :]
        self.offset += self.at
        self.at = 0
        self._ahead.append(text)
        self._wanted -= len(text)
        if self._wanted > 0 and not final:
            return
        self.window += "".join(self._ahead)
        self._ahead.clear()
        self._last = self.window.rfind("},{") + 2
        try:
            next(self._steps, None)
        except RecursionError as error:
            raise Malformed(str(error)) from error

    def _expected(self, what: str) -> Malformed:
        return Malformed(f"{what} was expected at character {self.offset + self.at}")

    def _object(self) -> Generator[None]:
        """Go through the object. What is yielded waits for more of it."""
        yield from self._character()
        if self.window.startswith("\ufeff") and not self.offset:
            self.at = 1
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
                self.at += 1
                if (character := (yield from self._character())) == "}":
                    raise self._expected("a key")
            elif character != "}":
                raise self._expected("a comma or the end")
        self.at += 1
        if (yield from self._character()):
            msg = f"there is more behind its end at character {self.offset + self.at}"
            raise Malformed(msg)

    def _top_value(self, key: str) -> Generator[None]:
        if key == self._array:
            yield from self._elements()
            return
        begin = self.offset + self.at
        self.top[key] = yield from self._value()
        self.spans[key] = begin, self.offset + self.at

    def _character(self) -> Generator[None, None, str]:
        """Go to the next character that is no white space; empty at the end of the text."""
        while True:
            self.at = skip_space(self.window, self.at)
            if self.at < len(self.window) or self._final:
                return self.window[self.at : self.at + 1]
            yield

    def _expect(self, bracket: str, what: str) -> Generator[None]:
        if (yield from self._character()) != bracket:
            raise self._expected(what)
        self.at += 1

    def _value(self) -> Generator[None, None, object]:
        while True:
            try:
                value, end = self._scan(self.window, self.at)
            except Malformed:
                if self._final:
                    raise
            else:
                if end < len(self.window) or self._final:  # a number may go on
                    self.at = end
                    return value
            yield from self._as_much_again()

    def _elements(self) -> Generator[None]:
        self.begin_array()
        begin = self.offset + self.at
        yield from self._expect("[", "an array")
        end = self.offset + self.at
        character = yield from self._character()
        while character != "]":
            if self.at == self._last and not self._final:
                yield
            try:  # one after another, as long as they are there: pages have tens of thousands
                self.at = self.element(self.window, self.at, self.offset)
            except Malformed:
                raise
            except ValueError:
                yield from self._one_element()
            end = self.offset + self.at
            if self.window.startswith(",{", self.at):
                self.at += 1
                continue
            comma = _separator(self.window, self.at)
            if comma is not None:
                self.at = comma.end()
                continue
            character = yield from self._character()
            if character == ",":
                self.at += 1
                if (yield from self._character()) == "]":
                    raise self._expected("an element")
            elif character != "]":
                raise self._expected("a comma or the end")
        self.at += 1
        self.array_at = begin, end

    def _one_element(self) -> Generator[None]:
        while True:
            try:
                self.at = self.element(self.window, self.at, self.offset)
            except Malformed:
                raise
            except ValueError as error:
                if self._final:
                    raise Malformed(str(error)) from error
            else:
                return
            yield from self._as_much_again()

    def _as_much_again(self) -> Generator[None]:
        """Wait until twice as much is here: a long value is not gone through again with each small piece of it."""
        self._wanted = len(self.window) - self.at
        yield
