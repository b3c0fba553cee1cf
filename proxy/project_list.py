"""The list of all projects. PyPI's has 40 MB, so it is never held as objects: it is gone through, piece by piece."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import unquote

from buildthrough.proxy.errors import UpstreamInvalid
from buildthrough.proxy.html_text import attributes, tags
from buildthrough.proxy.json_text import Malformed, scanner, skip_space, walk_array, walk_object
from buildthrough.proxy.link import locate
from buildthrough.proxy.names import is_valid, normalize
from buildthrough.proxy.page import read_text
from buildthrough.proxy.simple_html import trailing_serial
from buildthrough.proxy.splice import Edit, splice
from buildthrough.proxy.stated import check_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from buildthrough.proxy.html_text import Attribute, Tag
    from buildthrough.proxy.negotiation import Form
    from buildthrough.proxy.upstream import PageAnswer

_BATCH = 4096  # names that are joined at a time
_PROOF = frozenset({"html", "head", "body", "a", "!doctype"})
_relative = re.compile(r"(?:\./)?[^/:?#\s]+/?(?:[?#].*)?", re.DOTALL).fullmatch


def render_project_list(answer: PageAnswer, form: Form) -> bytes:
    """Return the list in UTF-8: JSON as upstream sent it, HTML with its links pointed at our project pages.

    Raise `UpstreamInvalid` where upstream's answer is no list of projects.
    """
    sent, text = read_text(answer, "list of projects")
    if sent == "json":
        serial = _check_json(text)
        if form == "json":
            return answer.body if answer.body.isascii() else splice(text, (), "")
        return _html(text, answer.last_serial or serial)
    serial = _check_html(text)
    if form == "html":
        return splice(text, _edits(text, answer.url), "")
    return _json(text, answer.url, answer.last_serial or serial)


def walk_names(answer: PageAnswer, take: Callable[[str], object]) -> None:
    """Call ``take`` with the name of each project, in the list's order. Raise as `render_project_list` does."""
    sent, text = read_text(answer, "list of projects")
    if sent == "json":
        _check_json(text)
        _walk_projects(text, take)
        return
    _check_html(text)
    for name in _html_names(text, answer.url):
        take(name)


def _html(text: str, serial: str | None) -> bytes:
    pieces = [_HEAD]
    add = _batches(pieces)
    _walk_projects(text, lambda name: add(_line(name)))
    add("  </body>\n</html>\n")
    add(f"<!--SERIAL {serial}-->\n" if serial and serial.isdecimal() else None)
    add(None)
    return b"".join(pieces)


def _json(text: str, url: str, serial: str | None) -> bytes:
    meta = f'"_last-serial": {serial}, ' if serial and serial.isdecimal() else ""
    pieces = [f'{{"meta": {{{meta}"api-version": "1.0"}}, "projects": ['.encode()]
    add = _batches(pieces)
    separator = ""
    for name in _html_names(text, url):
        add(f'{separator}{{"name": {json.dumps(name)}}}')
        separator = ", "
    add("]}\n")
    add(None)
    return b"".join(pieces)


_HEAD = b"""<!DOCTYPE html>
<html>
  <head>
    <meta name="pypi:repository-version" content="1.0">
    <title>Simple index</title>
  </head>
  <body>
"""


def _line(name: str) -> str:
    # A valid name has nothing to escape. What is none can be neither asked for nor linked to.
    return f'    <a href="{normalize(name)}/">{name}</a>\n' if is_valid(name) else ""


def _batches(pieces: list[bytes]) -> Callable[[str | None], None]:
    """Return a function that takes text to append to the pieces in batches; None for the rest."""
    batch: list[str] = []

    def add(text: str | None) -> None:
        if text is not None:
            batch.append(text)
        if text is None or len(batch) == _BATCH:
            pieces.append("".join(batch).encode())
            batch.clear()

    return add


def _walk_projects(text: str, take: Callable[[str], object]) -> dict[str, object]:
    """Call ``take`` with each project's name; return the other values of the top level. Raise `Malformed`."""
    scan = scanner()
    rest: dict[str, object] = {}

    def project(at: int) -> int:
        value, end = scan(text, at)
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            msg = f"the project at character {at} has no name"
            raise Malformed(msg)
        take(value["name"])
        return end

    def top(key: str, at: int) -> int:
        if key == "projects":
            rest[key] = True
            return walk_array(text, at, project)
        rest[key], end = scan(text, at)
        return end

    end = walk_object(text, skip_space(text, 1 if text.startswith("\ufeff") else 0), scan, top)
    if skip_space(text, end) != len(text):
        msg = f"there is more behind its end at character {end}"
        raise Malformed(msg)
    return rest


def _check_json(text: str) -> str | None:
    try:
        rest = _walk_projects(text, lambda _: None)
    except Malformed as error:
        msg = f"Upstream's list of projects is not the JSON of one: {error}."
        raise UpstreamInvalid(msg) from error
    meta = rest.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    check_version(meta.get("api-version"), "list of projects")
    if "projects" not in rest:
        raise UpstreamInvalid("Upstream's list of projects is JSON without projects.")
    serial = meta.get("_last-serial")
    return str(serial) if isinstance(serial, (int, str)) and not isinstance(serial, bool) else None


def _check_html(text: str) -> str | None:
    proven = False
    for tag in tags(text):
        proven = proven or tag.name in _PROOF
        if tag.name == "meta":
            named = attributes(text, tag)
            if "content" in named and "name" in named and named["name"].value == "pypi:repository-version":
                check_version(named["content"].value, "list of projects")
    if not proven:
        raise UpstreamInvalid("Upstream's list of projects claims to be HTML and is none.")
    return trailing_serial(text)


def _edits(text: str, url: str) -> Iterator[Edit]:
    """Make links to upstream's project pages relative. A ``<base>`` is taken out of force; it stands before links."""
    base = url
    for tag, href in _links(text):
        if tag.name == "a":
            yield from _relink(href, base, url)
        elif base == url and (place := locate(href.value, url)) is not None:
            base = place.url
            yield Edit(href.name_at, href.name_at, "data-upstream-", rooted=False)


def _links(text: str) -> Iterator[tuple[Tag, Attribute]]:
    for tag in tags(text):
        if tag.name in {"a", "base"}:
            href = attributes(text, tag).get("href")
            if href is not None:
                yield tag, href


def _relink(href: Attribute, base: str, url: str) -> Iterator[Edit]:
    if base == url and _relative(href.value):
        return
    name = _project_of(href.value, base, url)
    if name is not None and f"{name}/" != href.value:
        yield Edit(href.start, href.end, f"{name}/", rooted=False)


def _project_of(reference: str, base: str, url: str) -> str | None:
    """Return the project whose page a link leads to; None where it leads elsewhere."""
    place = locate(reference, base)
    folder = url.partition("?")[0].rpartition("/")[0] + "/"
    if place is None or not place.url.startswith(folder):
        return None
    name = unquote(place.url[len(folder) :].partition("?")[0].rstrip("/"))
    return normalize(name) if is_valid(name) else None


def _html_names(text: str, url: str) -> Iterator[str]:
    base = url
    for tag, href in _links(text):
        if tag.name == "base":
            place = locate(href.value, url)
            base = place.url if place else base
            continue
        name = _project_of(href.value, base, url)
        if name is not None:
            shown = unescape(text[tag.end : text.find("<", tag.end)]).strip()
            yield shown if is_valid(shown) and normalize(shown) == name else name
