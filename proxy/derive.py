"""The form of a page that upstream did not send, derived from the one that it sent: it says what upstream said."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING

from buildthrough.proxy.link import locate
from buildthrough.proxy.simple_html import (
    addition_anchor,
    anchor,
    anchors,
    stated_hashes,
    stated_metadata,
    stated_time,
)
from buildthrough.proxy.simple_json import addition_object
from buildthrough.proxy.stated import clean_hashes, core_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from buildthrough.proxy.link import Location
    from buildthrough.proxy.overlay import Addition
    from buildthrough.proxy.simple_html import Anchor, HtmlDocument
    from buildthrough.proxy.simple_json import JsonDocument


def json_from_html(
    document: HtmlDocument,
    additions: Sequence[Addition],
    root: str,
    last_serial: str | None,
    hidden: frozenset[str] = frozenset(),
) -> bytes:
    """Return the page as JSON of version 1.0: HTML knows neither sizes nor versions (PEP 700 asks for both)."""
    meta: dict[str, object] = {"api-version": "1.0"}
    if last_serial is not None and last_serial.isdecimal():
        meta["_last-serial"] = int(last_serial)
    head: dict[str, object] = {"meta": meta, "name": document.files.project}
    if document.files.status is not None:
        head["project-status"] = {"status": document.files.status}
        if document.status_reason:
            head["project-status"] = {"status": document.files.status, "reason": document.status_reason}
    pieces = [json.dumps(head)[:-1].encode(), b', "files": [']
    objects = [json.dumps(one).encode() for one in _objects(document, root, hidden)]
    objects += [json.dumps(addition_object(one, root)).encode() for one in additions]
    pieces.append(b", ".join(objects))
    pieces.append(b"]}\n")
    return b"".join(pieces)


def html_from_json(
    document: JsonDocument,
    additions: Sequence[Addition],
    root: str,
    last_serial: str | None,
    hidden: frozenset[str] = frozenset(),
) -> bytes:
    """Return the page as HTML (PEP 503, with the attributes of its successors)."""
    lines = [
        "<!DOCTYPE html>\n<html>\n  <head>",
        f'    <meta name="pypi:repository-version" content="{escape(document.api_version)}">',
    ]
    if document.status is not None:
        lines.append(f'    <meta name="pypi:project-status" content="{escape(document.status)}">')
    if document.status_reason:
        lines.append(f'    <meta name="pypi:project-status-reason" content="{escape(document.status_reason)}">')
    title = f"Links for {escape(document.project)}"
    lines += [f"    <title>{title}</title>", "  </head>", "  <body>", f"    <h1>{title}</h1>"]
    pieces = [_encode(line) for line in lines]
    pieces += [_encode(f"    {one}<br />") for one in _anchors(document, root, hidden)]
    pieces += [_encode(f"    {addition_anchor(one, root, upload_time=False)}<br />") for one in additions]
    pieces += [b"  </body>", b"</html>"]
    if last_serial is not None and last_serial.isdecimal():
        pieces.append(f"<!--SERIAL {last_serial}-->".encode())
    return b"\n".join(pieces) + b"\n"


def _objects(document: HtmlDocument, root: str, hidden: frozenset[str]) -> Iterator[dict[str, object]]:
    for found in anchors(document):
        if found.place.filename and found.is_file and found.place.filename not in hidden:
            yield _object(found, f"{root}files/{document.files.project}/")


def _object(found: Anchor, way: str) -> dict[str, object]:
    named = found.attributes
    entry: dict[str, object] = {
        "filename": found.place.filename,
        "url": f"{way}{found.place.path}" if found.ours else found.place.public_url,
        "hashes": dict(stated_hashes(found.place.fragment)),
    }
    for name in ("requires-python", "provenance"):
        stated = named.get(f"data-{name}")
        if stated is not None and stated.value:
            entry[name] = stated.value
    metadata = stated_metadata(named)
    if metadata is not False:
        entry["core-metadata"] = metadata if metadata is True else dict(metadata)
    if "data-yanked" in named:
        entry["yanked"] = named["data-yanked"].value or True  # the empty reason is no reason in JSON (PEP 691)
    if "data-gpg-sig" in named:
        entry["gpg-sig"] = named["data-gpg-sig"].value.strip().lower() == "true"
    uploaded = stated_time(named.get("data-upload-time"))
    if uploaded is not None:
        entry["upload-time"] = uploaded
    return entry


def _anchors(document: JsonDocument, root: str, hidden: frozenset[str]) -> Iterator[str]:
    way = f"{root}files/{document.project}/"
    for value, place in document.located():
        if value["filename"] not in hidden:
            yield _anchor_of(value, place, document.base, way)


def _anchor_of(value: Mapping[str, object], place: Location | None, base: str, way: str) -> str:
    filename, href = str(value["filename"]), str(value["url"])
    if place is not None:
        href = f"{way}{place.path}"
    elif (elsewhere := locate(href, base)) is not None:
        href = elsewhere.public_url
    hashes = clean_hashes(value.get("hashes"))
    algorithm = "sha256" if "sha256" in hashes else next(iter(hashes), None)
    if algorithm is not None:
        href = f"{href.partition('#')[0]}#{algorithm}={hashes[algorithm]}"
    return anchor(href, filename, _attributes_of(value))


def _attributes_of(value: Mapping[str, object]) -> dict[str, str]:
    named = {}
    requires, yanked, provenance = value.get("requires-python"), value.get("yanked"), value.get("provenance")
    if isinstance(requires, str):
        named["data-requires-python"] = requires
    metadata = core_metadata(value)
    if metadata is not False:
        digest = "" if metadata is True else metadata.get("sha256", "")
        named["data-core-metadata"] = named["data-dist-info-metadata"] = f"sha256={digest}" if digest else "true"
    if isinstance(yanked, str) or yanked is True:
        named["data-yanked"] = yanked if isinstance(yanked, str) else ""
    if isinstance(value.get("gpg-sig"), bool):
        named["data-gpg-sig"] = "true" if value["gpg-sig"] else "false"
    if isinstance(provenance, str):
        named["data-provenance"] = provenance
    return named


def _encode(line: str) -> bytes:
    return line.encode(errors="replace")  # half a surrogate pair, which JSON can spell and HTML cannot
