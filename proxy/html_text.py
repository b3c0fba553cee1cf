"""HTML as text: find the tags and their attributes, and where they stand.

It reads what matters here as the HTML standard does (section 13.2.5): comments, declarations, the text of scripts,
styles and titles hold no tags; a ``>`` inside a quoted value ends no tag; the first of two equal attributes counts.
"""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_ATTRIBUTE = r"[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'|(?![\"'])[^\s>]*+))?+"
_tag = re.compile(rf"<(/?)([a-zA-Z][^\s/>]*+)((?:[\s/]++|{_ATTRIBUTE})*+)>").match
_attributes = re.compile(r"([^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|((?![\"'])[^\s>]*+)))?+").finditer
_comment = re.compile(r"<!--(?:-?>|.*?--!?>)", re.DOTALL).match
RAW_TEXT = frozenset({"script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "plaintext"})
"""Elements whose content holds no tags."""


class Tag(NamedTuple):
    """A start tag, an end tag, or the doctype."""

    name: str
    """Lower case; with a slash before it where it is an end tag; ``!doctype``."""
    start: int
    end: int
    inside: tuple[int, int]
    """Where the attributes stand."""


class Attribute(NamedTuple):
    """One attribute of a tag."""

    value: str
    """Character references decoded; empty where it has no value."""
    start: int
    end: int
    """Where the value stands, without its quotes; equal where it has none."""
    name_at: int


def tags(text: str, at: int = 0) -> Iterator[Tag]:
    """Go through the tags behind a place, in order. What is left open at the end of the text is no tag."""
    at = text.find("<", at)
    while at >= 0:
        match = _tag(text, at)
        if match is not None:
            name = match[2].lower()
            end = match.end()
            yield Tag(match[1] + name, at, end, match.span(3))
            if name in RAW_TEXT and not match[1]:
                end = _end_of_raw_text(text, name, end)
        else:
            found = _end_of_other(text, at)
            if found is None:
                return
            end = found
            if text[at : at + 9].lower() == "<!doctype":
                yield Tag("!doctype", at, end, (at, at))
        at = text.find("<", end)


def comments(text: str, at: int) -> Iterator[str]:
    """Go through the comments behind a place, in order."""
    at = text.find("<!--", at)
    while at >= 0:
        match = _comment(text, at)
        if match is None:
            return
        yield match[0]
        at = text.find("<!--", match.end())


def attributes(text: str, tag: Tag) -> dict[str, Attribute]:
    """Return a tag's attributes by their names in lower case."""
    found: dict[str, Attribute] = {}
    for match in _attributes(text, *tag.inside):
        name = match[1].lower()
        if name not in found:
            group = match.lastindex or 1
            value = match[group] if group > 1 else ""
            start, end = match.span(group) if group > 1 else (match.end(), match.end())
            found[name] = Attribute(unescape(value) if "&" in value else value, start, end, match.start())
    return found


def _end_of_other(text: str, at: int) -> int | None:
    """Return where the markup at ``at`` that is no tag ends; None where it never does."""
    following = text[at + 1 : at + 2]
    if text.startswith("<!--", at):
        match = _comment(text, at)
        return match.end() if match else None
    if _opens(text[at + 1 : at + 3].removeprefix("/")[:1]):
        return None  # a tag that is never closed swallows the rest
    if following in {"!", "?", "/"}:
        end = text.find(">", at)
        return end + 1 if end >= 0 else None
    return at + 1  # a lone "<" is text


def _opens(character: str) -> bool:
    return character.isascii() and character.isalpha()


def _end_of_raw_text(text: str, name: str, at: int) -> int:
    match = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(text, at)
    return match.start() if match and name != "plaintext" else len(text)
