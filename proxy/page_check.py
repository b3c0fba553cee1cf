"""Whether what is stored of pages is sound: each record has a check sum or a digest in it."""

from __future__ import annotations

import gzip
import hashlib
import json
import sqlite3
import sys
import zlib
from contextlib import closing
from typing import TYPE_CHECKING, Final

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from buildthrough.proxy.rendered import Rendered, etag_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from buildthrough.proxy.negotiation import Coding

_DIGEST: Final = 64
_TEXT: Final = 3
"""diskcache's MODE_TEXT."""
_NEXT: Final = "SELECT rowid, key, value, filename, mode FROM Cache WHERE rowid > ? ORDER BY rowid LIMIT 1"
_AGAIN: Final = "SELECT 1 FROM Cache WHERE rowid = ? AND filename = ?"
_CODINGS: Final[tuple[Coding, ...]] = ("gzip", "zstd", "identity")
_BROKEN: Final = (ValueError, KeyError, TypeError, EOFError, zlib.error, zstd.ZstdError, UnicodeDecodeError)


def is_sound(key: str, value: object) -> bool:
    """Whether a record is what it was when it was stored, as far as it can tell itself."""
    kind, _, rest = key.partition("/")
    try:
        match kind, value:
            case "body", bytes():
                return len(value) > _DIGEST and zstd.decompress(value[_DIGEST:]) is not None
            case "head", str():
                return isinstance(json.loads(value), dict)
            case "form", bytes():
                return _is_sound_form(rest, value)
            case (("body" | "head" | "form"), _):
                return False
            case _:
                return value is not None
    except _BROKEN:
        return False


def stored(folder: Path) -> Iterator[tuple[str, object]]:
    """Go through all records, also while a server uses the folder; None stands for a value that is lost.

    Raise sqlite3.Error where the database is damaged, OSError where it cannot be read.
    """
    place = folder / "v1"
    if not (place / "cache.db").exists():
        return
    with closing(sqlite3.connect(f"file:{place / 'cache.db'}?mode=ro", uri=True, timeout=10)) as database:
        ((finding,),) = database.execute("PRAGMA quick_check(1)").fetchall()
        if finding != "ok":
            raise sqlite3.DatabaseError(finding)
        last = 0
        while True:
            found = database.execute(_NEXT, (last,)).fetchone()
            if found is None:
                return
            last, key, value, name, mode = found
            if name is not None:
                value = _content(place / name, is_text=mode == _TEXT)
                if value is None and database.execute(_AGAIN, (last, name)).fetchone() is None:
                    continue  # replaced or removed meanwhile
            yield str(key), value


def _content(path: Path, *, is_text: bool) -> bytes | str | None:
    try:
        return path.read_text("utf-8") if is_text else path.read_bytes()
    except (OSError, UnicodeDecodeError):
        return None


def _is_sound_form(rest: str, record: bytes) -> bool:
    rendered = Rendered.from_record(record)
    for coding in _CODINGS:
        if f".{coding}/" in rest or rendered.etag.endswith(f'-{coding}"'):
            body = _unpacked(rendered.body, coding)
            return etag_of(hashlib.sha256(body).hexdigest(), coding) == rendered.etag
    return False


def _unpacked(body: bytes, coding: Coding) -> bytes:
    match coding:
        case "gzip":
            return gzip.decompress(body)
        case "zstd":
            return zstd.decompress(body)
        case "identity":
            return body
