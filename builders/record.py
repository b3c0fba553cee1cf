"""RECORD: the list of a wheel's files and their digests.

Sources: the binary distribution format and recording installed projects specifications.
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from buildthrough.builders.archive_entry import quoted, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ALGORITHMS = frozenset({"sha256", "sha384", "sha512"})
_COLUMNS = 3
_SIZE = re.compile(r"[0-9]{0,19}")
SIGNATURES = ("RECORD", "RECORD.jws", "RECORD.p7s")
"""Files of the dist-info folder that RECORD cannot hold a digest of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What RECORD says of one file."""

    algorithm: str
    digest: bytes
    size: int | None


def read_record(content: bytes, *, unhashed: frozenset[str]) -> Mapping[str, Recorded | None]:
    """Return what RECORD says of each path, None for those of ``unhashed``. Raise `PackageFault` where malformed."""
    try:
        rows = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise refusal("bad-record", "RECORD is not UTF-8 text of comma-separated values") from error
    files: dict[str, Recorded | None] = {}
    for row in rows:
        if not row:
            continue
        if len(row) != _COLUMNS:
            raise refusal("bad-record", f"a line of RECORD does not have three columns: {quoted(','.join(row))}")
        path = row[0]
        if path in files:
            raise refusal("bad-record", f"RECORD lists {quoted(path)} twice")
        files[path] = None if path in unhashed else _recorded(*row)
    return files


def check_record(record: Mapping[str, Recorded | None], files: Iterable[str], *, unhashed: frozenset[str]) -> None:
    """Refuse a RECORD that omits one of the files, or lists one that is not there."""
    present = set(files)
    missing = sorted(present - record.keys() - unhashed)
    if missing:
        raise refusal("not-in-record", f"RECORD does not list {quoted(missing[0])}")
    ghosts = sorted(record.keys() - present - unhashed)
    if ghosts:
        raise refusal("record-ghost", f"RECORD lists {quoted(ghosts[0])}, which the wheel does not hold")


def write_record(digests: Mapping[str, tuple[bytes, int]], itself: str) -> bytes:
    """Return a RECORD of files given as path -> (sha256, size in bytes); ``itself`` is its own path."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for path, (digest, size) in digests.items():
        writer.writerow((path, f"sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}", size))
    writer.writerow((itself, "", ""))
    return text.getvalue().encode()


def _recorded(path: str, digest: str, size: str) -> Recorded:
    algorithm, _, value = digest.partition("=")
    if algorithm not in _ALGORITHMS:
        raise refusal("weak-record", f"RECORD gives no sha256 or better for {quoted(path)}")
    try:
        raw = base64.b64decode(value.rstrip("=") + "=" * (-len(value.rstrip("=")) % 4), altchars=b"-_", validate=True)
        length = int(size) if size else None
    except (binascii.Error, ValueError) as error:
        raise refusal("bad-record", f"RECORD has no readable digest and size for {quoted(path)}") from error
    if len(raw) != hashlib.new(algorithm).digest_size or not _SIZE.fullmatch(size):
        raise refusal("bad-record", f"RECORD has no readable digest and size for {quoted(path)}")
    return Recorded(algorithm=algorithm, digest=raw, size=length)
