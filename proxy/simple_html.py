"""Project pages in HTML (PEP 503, 592, 629, 658, 714, 792): read once, edited, never written anew."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from buildthrough.proxy.entry import Entry, ProjectFiles
from buildthrough.proxy.errors import UpstreamInvalid
from buildthrough.proxy.html_text import attributes, comments, tags
from buildthrough.proxy.link import decoded, is_ours, locate
from buildthrough.proxy.splice import Edit, outside, splice
from buildthrough.proxy.stated import check_version, clean_hashes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from buildthrough.proxy.html_text import Attribute, Tag
    from buildthrough.proxy.link import Location
    from buildthrough.proxy.overlay import Addition

_PROOF = frozenset({"html", "head", "body", "a", "!doctype"})
_maybe_base = re.compile(r"<[bB][aA][sS][eE][\s/>]").search
_serial = re.compile(r"<!--\s*SERIAL\s+([0-9]+)\s*-->", re.IGNORECASE).fullmatch
_hash = re.compile(r"(?:^|&)(md5|sha1|sha224|sha256|sha384|sha512)=([0-9a-fA-F]+)").search
_separator = re.compile(r"</a\s*>((?:\s|<br\s*/?>){1,64})\Z", re.IGNORECASE).search
_time = re.compile(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?(?:Z|[+-][0-2][0-9]:[0-5][0-9])"
).fullmatch
_closing = re.compile(r"[^<]*+(?:<(?!/?a[\s/>])[^<]*+)*+</a\s*+>(?:\s|<br\s*+/?>){0,64}", re.IGNORECASE).match
_DEFAULT_SEPARATOR = "<br/>\n"
_LOOK_BACK = 128  # characters before an anchor in which its page's style is looked for

# What is offered for download on indexes, now and in old times. Other links of a page lead to people, not to files.
_FILE = re.compile(
    r".\.(?:whl|zip|egg|exe|msi|rpm|deb|dmg|tgz|tbz|tbz2|txz|tlz|tar|tar\.(?:gz|bz2|xz|z|lz|lzma|zst))", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class HtmlDocument:
    """A page's text, what it says, and where it is to be edited."""

    text: str
    base: str
    """What relative links are relative to."""
    files: ProjectFiles
    edits: tuple[Edit, ...]
    insert_at: int
    separator: str
    """What the page has between two anchors."""
    last_serial: str | None
    api_version: str
    status_reason: str | None
    is_marked: bool
    """Whether it says of itself that it is an index's (PEP 629, 792)."""

    @property
    def status(self) -> str | None:
        """The project's status (PEP 792)."""
        return self.files.status

    @cached_property
    def by_path(self) -> dict[str, Entry]:
        """The files by their paths, percent-decoded once."""
        return {decoded(entry.path): entry for entry in self.files.entries}

    def entry(self, path: str) -> Entry | None:
        """Return the file that is listed under this path, both percent-decoded once. The first call takes longer."""
        return self.by_path.get(path)

    def render(self, additions: Sequence[Addition], root: str, hidden: frozenset[str] = frozenset()) -> bytes:
        """Return the page in UTF-8 with its links pointed at us, anchors added, and those of hidden names left out."""
        edits: Sequence[Edit] = self.edits
        if hidden:
            edits = outside(edits, [Edit(*span, "", rooted=False) for span in self._anchors_of(hidden)])
        if additions:
            added = "".join(addition_anchor(one, root, upload_time=True) + self.separator for one in additions)
            edits = sorted([*edits, Edit(self.insert_at, self.insert_at, added, rooted=False)])
        return splice(self.text, edits, f"{root}files/{self.files.project}/")

    def _anchors_of(self, hidden: frozenset[str]) -> Iterator[tuple[int, int]]:
        """Return where the anchors of these files stand, with the line break behind each."""
        for found in anchors(self):
            if found.place.filename in hidden:
                closing = _closing(self.text, found.tag.end)
                yield found.tag.start, closing.end() if closing else found.tag.end


class Anchor(NamedTuple):
    """A link of a page."""

    place: Location
    is_file: bool
    """Whether it leads to a file; a relative link to something else still has to be pointed at upstream."""
    ours: bool
    """Whether we serve the file under a URL of ours."""
    attributes: Mapping[str, Attribute]
    tag: Tag


def anchor(href: str, filename: str, named: Mapping[str, str]) -> str:
    """Return an anchor; everything is escaped."""
    written = "".join(f' {name}="{escape(value)}"' for name, value in named.items())
    return f'<a href="{escape(href)}"{written}>{escape(filename)}</a>'


def addition_anchor(addition: Addition, root: str, *, upload_time: bool) -> str:
    """Return the anchor of a wheel that we built."""
    wheel = addition.wheel
    named = {}
    if wheel.requires_python is not None:
        named["data-requires-python"] = wheel.requires_python
    named["data-core-metadata"] = named["data-dist-info-metadata"] = f"sha256={wheel.metadata_sha256}"
    if addition.yanked is not False:
        named["data-yanked"] = addition.yanked if isinstance(addition.yanked, str) else ""
    if upload_time and addition.upload_time is not None:
        named["data-upload-time"] = addition.upload_time
    return anchor(f"{addition.url(root)}#sha256={wheel.sha256}", wheel.filename, named)


def read(text: str, url: str, project: str) -> HtmlDocument:
    """Read a page found at a URL. Raise `UpstreamInvalid` where it is none that can be used."""
    base, edits = _base(text, url)
    places: dict[str, str] = {}
    entries: list[Entry] = []
    foreign: set[str] = set()
    meta: dict[str, str] = {}
    proven, last, end = False, -1, None
    for tag in tags(text):
        proven = proven or tag.name in _PROOF
        if tag.name == "a":
            last = tag.start
            found = _anchor(text, tag, base, places)
            if found is not None:
                edits += _edits(found)
                if found.ours:
                    entries.append(_entry(found))
                elif found.is_file:
                    foreign.add(found.place.filename)
        elif tag.name == "meta":
            named = attributes(text, tag)
            if "name" in named and "content" in named:
                meta.setdefault(named["name"].value.lower(), named["content"].value)
        elif tag.name == "/body" or (tag.name == "/html" and end is None):
            end = tag.start
    if not proven:
        msg = f"Upstream's page of {project!r} claims to be HTML and is none."
        raise UpstreamInvalid(msg)
    version = check_version(meta.get("pypi:repository-version"), f"page of {project!r}")
    status = meta.get("pypi:project-status", "").strip().lower()
    return HtmlDocument(
        text=text,
        base=base,
        files=ProjectFiles(project=project, entries=tuple(entries), status=status or None, foreign=frozenset(foreign)),
        edits=tuple(sorted(edits)),
        insert_at=len(text) if end is None or end < last else end,
        separator=_style(text, last),
        last_serial=trailing_serial(text),
        api_version=version,
        status_reason=meta.get("pypi:project-status-reason"),
        is_marked=any(name.startswith("pypi:") for name in meta),
    )


def anchors(document: HtmlDocument) -> Iterator[Anchor]:
    """Go through a page's links to files once more."""
    places: dict[str, str] = {}
    for tag in tags(document.text):
        if tag.name == "a":
            found = _anchor(document.text, tag, document.base, places)
            if found is not None:
                yield found


def trailing_serial(text: str) -> str | None:
    """Return the serial that PyPI writes behind its pages, where there is one."""
    for comment in comments(text, max(0, len(text) - 200)):
        match = _serial(comment)
        if match:
            return match[1]
    return None


def stated_metadata(named: Mapping[str, Attribute]) -> bool | Mapping[str, str]:
    """Return what an anchor says of its ``.metadata`` (PEP 714, and the name before it)."""
    stated = named.get("data-core-metadata") or named.get("data-dist-info-metadata")
    if stated is None:
        return False
    value = stated.value.strip()
    if value.lower() == "true":
        return True
    algorithm, _, digest = value.partition("=")
    return clean_hashes({algorithm: digest}) or False


def _base(text: str, url: str) -> tuple[str, list[Edit]]:
    """Return the URL that links are relative to, and the edit that takes a ``<base>`` out of force.

    Our links are relative to our page. The attribute is renamed and so stays readable.
    """
    if _maybe_base(text) is None:
        return url, []
    for tag in tags(text):
        href = attributes(text, tag).get("href") if tag.name == "base" else None
        if href is not None:
            place = locate(href.value, url)
            edit = Edit(href.name_at, href.name_at, "data-upstream-", rooted=False)
            return (place.url if place else url), [edit]
    return url, []


def _anchor(text: str, tag: Tag, base: str, places: dict[str, str]) -> Anchor | None:
    named = attributes(text, tag)
    href = named.get("href")
    if href is None or href.start == href.end:
        return None
    place = locate(href.value.strip(), base)
    if place is None:
        return None
    a_file = _hash(place.fragment) is not None or _FILE.search(place.filename[-10:]) is not None
    return Anchor(place, a_file, a_file and is_ours(place, place.filename, places), named, tag)


def _edits(found: Anchor) -> list[Edit]:
    href = found.attributes["href"]
    fragment = f"#{found.place.fragment}" if found.place.fragment else ""
    if found.ours:
        return [Edit(href.start, href.end, escape(f"{found.place.path}{fragment}"), rooted=True)]
    if found.place.public_url == href.value.strip().partition("#")[0] or href.value.startswith("#"):
        return []
    return [Edit(href.start, href.end, escape(found.place.public_url + fragment), rooted=False)]  # relative to upstream


def _entry(found: Anchor) -> Entry:
    named = found.attributes
    requires, yanked, uploaded = (named.get(f"data-{name}") for name in ("requires-python", "yanked", "upload-time"))
    return Entry(
        filename=found.place.filename,
        url=found.place.url,
        path=found.place.path or "",
        hashes=stated_hashes(found.place.fragment),
        requires_python=requires.value.strip() or None if requires else None,
        yanked=False if yanked is None else yanked.value or True,
        upload_time=stated_time(uploaded),
        core_metadata=stated_metadata(named),
    )


def stated_time(stated: Attribute | None) -> str | None:
    """Return an upload time, None for what is none: in JSON, uv would refuse the whole page for it."""
    value = stated.value.strip() if stated else ""
    return value if _time(value) else None


def stated_hashes(fragment: str) -> Mapping[str, str]:
    """Return the digest in a link's fragment."""
    match = _hash(fragment)
    return clean_hashes({match[1]: match[2]}) if match else {}


def _style(text: str, at: int) -> str:
    """Return what stands between the last anchor and the one before, where it is line breaks alone."""
    match = _separator(text[max(0, at - _LOOK_BACK) : max(0, at)])
    return match[1] if match else _DEFAULT_SEPARATOR
