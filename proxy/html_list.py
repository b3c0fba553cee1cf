"""Go through a list of projects in HTML, in pieces, and point its links at our project pages."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from buildthrough.proxy.errors import UpstreamInvalid
from buildthrough.proxy.html_text import RAW_TEXT, attributes, tags
from buildthrough.proxy.link import locate
from buildthrough.proxy.names import is_valid, normalize
from buildthrough.proxy.simple_html import trailing_serial
from buildthrough.proxy.stated import check_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildthrough.proxy.html_text import Tag

_AHEAD: Final = 64 << 10
"""Characters that have to lie behind what is no plain anchor before it is looked at: it may go on."""
_TAIL: Final = 200
"""Characters at the end in which the serial stands, if any."""
# What nearly all of a list is made of: reading a hundred thousands of these as HTML takes seconds.
_plain = re.compile(r'<a href="([^"&<>\s#?:%]*+)"[^<>"\']*+>([A-Za-z0-9._-]++)</a>').match
_relative = re.compile(r"(?:\./)?[^/:?#\s]+/?(?:[?#].*)?", re.DOTALL).fullmatch
_normal = normalize.__wrapped__  # its memory would hold nothing else afterwards


class HtmlList:
    """The pass over the list found at a URL. One use."""

    def __init__(self, url: str, take: Callable[[str], object] = lambda _name: None) -> None:
        """``take`` is called with each project's name as upstream writes it."""
        self._url = url
        self._base = url
        self._folder = url.partition("?")[0].rpartition("/")[0] + "/"
        self._path = "/" + self._folder.partition("://")[2].partition("/")[2]
        self._take = take
        self._window = ""
        self._tail = ""
        self._proven = False

    def feed(self, text: str, *, final: bool = False) -> str:
        """Take the next piece; return what can be sent. Raise `UpstreamInvalid` for a version that we do not speak."""
        self._window += text
        self._tail = (self._tail + text)[-_TAIL:]
        window = self._window
        out: list[str] = []
        done = 0
        while (at := window.find("<", done)) >= 0:
            match = _plain(window, at)
            if match is not None:
                out += (window[done:at], self._plain_link(match))
                done = match.end()
                continue
            if not final and len(window) - at < _AHEAD:
                break
            end = self._markup(window, at, out, done, final=final)
            if end is None:
                break
            done = end
        end = len(window) if at < 0 or final else at
        out.append(window[done:end])
        self._window = window[end:]
        return "".join(out)

    def finish(self) -> tuple[str, str | None]:
        """Return the rest, and the list's serial, where it states one. Raise `UpstreamInvalid` for what is no list."""
        rest = self.feed("", final=True)
        if not self._proven:
            # Where somebody is to sign in, or to try again later, a list of all projects would become an empty one.
            raise UpstreamInvalid("Upstream's list of projects names none, and does not say that it is an index's.")
        return rest, trailing_serial(self._tail)

    def _markup(self, window: str, at: int, out: list[str], done: int, *, final: bool) -> int | None:
        """Take the next tag, and what is skipped before it; return up to where, None where it is not all there."""
        found = tags(window, at)
        tag = next(found, None)
        if tag is None:
            return None
        end = tag.end
        if tag.name in RAW_TEXT:
            closing = next(found, None)
            if closing is None and not final:
                return None
            end = closing.start if closing else len(window)
        out.append(window[done : tag.start])
        out.append(self._edited(window, tag))
        out.append(window[tag.end : end])
        return end

    def _edited(self, window: str, tag: Tag) -> str:
        written = window[tag.start : tag.end]
        named = attributes(window, tag) if tag.name in {"a", "base", "meta"} else {}
        if tag.name == "meta" and "content" in named and "name" in named:
            self._proven = self._proven or named["name"].value.lower().startswith("pypi:")
            if named["name"].value == "pypi:repository-version":
                check_version(named["content"].value, "list of projects")
            return written
        href = named.get("href")
        if href is None:
            return written
        begin, end = href.start - tag.start, href.end - tag.start
        if tag.name == "base":
            return self._disarmed(written, href.name_at - tag.start, href.value)
        name = self._project_of(href.value)
        if name is None:
            return written
        shown = unescape(window[tag.end : window.find("<", tag.end)]).strip()
        self._proven = True
        self._take(shown if is_valid(shown) and _normal(shown) == name else name)
        if (self._base == self._url and _relative(href.value)) or f"{name}/" == href.value:
            return written
        return f"{written[:begin]}{name}/{written[end:]}"

    def _disarmed(self, written: str, name_at: int, href: str) -> str:
        """Take a ``<base>`` out of force: our links are relative to our page. It stands before all links."""
        place = locate(href, self._url)
        if self._base != self._url or place is None:
            return written
        self._base = place.url
        return f"{written[:name_at]}data-upstream-{written[name_at:]}"

    def _plain_link(self, match: re.Match[str]) -> str:
        href, shown = match[1], match[2]
        if self._base == self._url and href.startswith(self._path):
            rest = href[len(self._path) :].rstrip("/")
            name = _normal(rest) if is_valid(rest) else None
        else:
            name = self._project_of(href)
        if name is None:
            return match[0]
        self._proven = True
        self._take(shown if is_valid(shown) and _normal(shown) == name else name)
        if self._base == self._url and _relative(href):
            return match[0]
        begin = match.start(1) - match.start()
        return f"{match[0][:begin]}{name}/{match[0][begin + len(href) :]}"

    def _project_of(self, reference: str) -> str | None:
        """Return the project whose page a link leads to; None where it leads elsewhere."""
        place = locate(reference, self._base)
        if place is None or not place.url.startswith(self._folder):
            return None
        name = unquote(place.url[len(self._folder) :].partition("?")[0].rstrip("/"))
        return _normal(name) if is_valid(name) else None
