"""The list of all projects. PyPI's has 40 MB: it goes through here in pieces and is never held as a whole."""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from buildthrough.proxy.errors import UpstreamInvalid
from buildthrough.proxy.html_list import HtmlList
from buildthrough.proxy.json_text import Malformed, scanner
from buildthrough.proxy.json_walk import JsonWalk
from buildthrough.proxy.names import is_valid, normalize
from buildthrough.proxy.page import form_and_charset
from buildthrough.proxy.stated import check_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from buildthrough.proxy.negotiation import Form
    from buildthrough.proxy.page_answer import PageAnswer

PIECE = 256 << 10
"""Bytes that are worked on at a time."""
_HEAD = b"""<!DOCTYPE html>
<html>
  <head>
    <meta name="pypi:repository-version" content="1.0">
    <title>Simple index</title>
  </head>
  <body>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSource:
    """A list as upstream sent it."""

    content_type: str
    url: str
    last_serial: str | None
    pieces: Callable[[], Iterable[bytes]]
    """Gives its bytes from the beginning, as often as it is called."""

    @property
    def form(self) -> Form:
        """The form that upstream sent. Raise `UpstreamInvalid` where it is none."""
        form, _ = form_and_charset(self.content_type)
        if form is None:
            stated = self.content_type[:100]
            raise UpstreamInvalid(
                f"Upstream's list of projects has the content type {stated!r}, which is no index page's."
            )
        return form

    def texts(self) -> Iterator[str]:
        """Go through its text."""
        _, charset = form_and_charset(self.content_type)
        try:
            decoder = codecs.getincrementaldecoder(charset or "utf-8")("strict")
            for piece in self.pieces():
                yield decoder.decode(piece)
            yield decoder.decode(b"", final=True)
        except (UnicodeDecodeError, LookupError) as error:
            msg = "Upstream's list of projects cannot be decoded: it is no text in the encoding that it claims."
            raise UpstreamInvalid(msg) from error


def source_of(answer: PageAnswer) -> ListSource:
    """Return an answer as a source."""

    def pieces() -> Iterator[bytes]:
        view = memoryview(answer.body)
        for at in range(0, len(view), PIECE):
            yield bytes(view[at : at + PIECE])

    return ListSource(content_type=answer.content_type, url=answer.url, last_serial=answer.last_serial, pieces=pieces)


def render_project_list(source: ListSource, form: Form) -> Iterator[bytes]:
    """Go through the list in UTF-8: JSON as upstream sent it, HTML with its links pointed at our project pages.

    Raise `UpstreamInvalid` where upstream's answer is no list of projects, which may show as late as at the end.
    """
    match source.form, form:
        case "json", "json":
            return _checked_json(source)
        case "json", "html":
            return _html(source)
        case "html", "html":
            return _linked_html(source)
        case _:
            return _json(source)


def walk_names(answer: PageAnswer, take: Callable[[str], object]) -> None:
    """Call ``take`` with each project's name as upstream writes it. Raise as `render_project_list` does."""
    source = source_of(answer)
    if source.form == "json":
        walk = _Names(take)
        for text in source.texts():
            walk.take_text(text)
        walk.end()
        return
    links = HtmlList(source.url, take)
    for text in source.texts():
        links.feed(text)
    links.finish()


class _Names(JsonWalk):
    """Goes through the projects of a list in JSON."""

    def __init__(self, take: Callable[[str], object]) -> None:
        super().__init__("projects")
        self._take = take
        self._read = scanner()

    def element(self, window: str, at: int, offset: int) -> int:
        try:
            value, end = self._read(window, at)
        except Malformed as error:
            raise ValueError(str(error)) from error  # it may go on in the next piece
        name = value.get("name") if isinstance(value, dict) else None
        if not isinstance(name, str):
            if end == len(window) and not isinstance(value, dict):
                raise ValueError("it may go on")
            msg = f"the project at character {offset + at} has no name"
            raise Malformed(msg)
        self._take(name)
        return end

    def take_text(self, text: str, *, final: bool = False) -> None:
        try:
            self.step(text, final=final)
        except Malformed as error:
            msg = f"Upstream's list of projects is not the JSON of one: {error}."
            raise UpstreamInvalid(msg) from error

    def end(self) -> str | None:
        """Return the list's serial, where it states one."""
        self.take_text("", final=True)
        meta = self.top.get("meta")
        meta = meta if isinstance(meta, dict) else {}
        check_version(meta.get("api-version"), "list of projects")
        if self.array_at is None:
            raise UpstreamInvalid("Upstream's list of projects is JSON without projects.")
        serial = meta.get("_last-serial")
        return str(serial) if isinstance(serial, (int, str)) and not isinstance(serial, bool) else None


def _checked_json(source: ListSource) -> Iterator[bytes]:
    walk = _Names(lambda _name: None)
    for text in source.texts():
        walk.take_text(text)
        yield text.encode()
    walk.end()


def _html(source: ListSource) -> Iterator[bytes]:
    yield _HEAD
    lines: list[str] = []
    walk = _Names(lambda name: lines.append(_line(name)))
    for text in source.texts():
        walk.take_text(text)
        yield "".join(lines).encode()
        lines.clear()
    serial = walk.end()
    yield "".join(lines).encode()
    yield b"  </body>\n</html>\n"
    serial = source.last_serial or serial
    if serial and serial.isdecimal():
        yield f"<!--SERIAL {serial}-->\n".encode()


def _line(name: str) -> str:
    # A valid name has nothing to escape. What is none can be neither asked for nor linked to.
    return f'    <a href="{_normal(name)}/">{name}</a>\n' if is_valid(name) else ""


def _linked_html(source: ListSource) -> Iterator[bytes]:
    links = HtmlList(source.url)
    for text in source.texts():
        yield links.feed(text).encode()
    yield links.finish()[0].encode()


def _json(source: ListSource) -> Iterator[bytes]:
    """Return the names, and then what is known only at the end."""
    names: list[str] = []
    links = HtmlList(source.url, names.append)
    separator = b'{"projects": ['
    for text in source.texts():
        links.feed(text)
        if names:
            yield separator + _objects(names)
            separator = b", "
            names.clear()
    _, stated = links.finish()
    serial = source.last_serial or stated
    yield (separator if names or separator != b", " else b"") + _objects(names)
    meta = f'"_last-serial": {serial}, ' if serial and serial.isdecimal() else ""
    yield f'], "meta": {{{meta}"api-version": "1.0"}}}}\n'.encode()


def _objects(names: Iterable[str]) -> bytes:
    return ", ".join(f'{{"name": {json.dumps(name)}}}' for name in names).encode()


_normal = normalize.__wrapped__  # its memory would hold nothing else afterwards
