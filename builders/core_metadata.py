"""Core metadata of a stranger, read with bounded work. Pure.

`packaging` looks through all fields once for each name of a field, so a file of a million names would keep it busy for
hours; and it lets some of what Python itself raises pass, where a number has too many digits or a marker too many
parentheses.
Source: the core metadata specification.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from packaging.metadata import InvalidMetadata, parse_email

if TYPE_CHECKING:
    from collections.abc import Callable

    from packaging.metadata import RawMetadata

T = TypeVar("T")
LARGEST = 8 << 20
"""Bytes of a METADATA file, its description included."""
_FIELDS_BYTES = 2 << 20
_FIELDS = 20_000
_NAMES = 200
_BLANK = re.compile(rb"\r?\n\r?\n|\r\r")
_NAME = re.compile(rb"^([^\s:][^:\r\n]*):", re.MULTILINE)


def read_fields(content: bytes) -> tuple[RawMetadata, dict[str, list[str]]]:
    """Return the fields, and those that are unknown or malformed, as `parse_email` does. Raise ValueError."""
    if len(content) > LARGEST:
        raise ValueError(f"METADATA has {len(content)} bytes, more than {LARGEST}")
    blank = _BLANK.search(content)
    head = content[: blank.start()] if blank else content
    if len(head) > _FIELDS_BYTES:
        raise ValueError(f"METADATA has more than {_FIELDS_BYTES} bytes of fields")
    lines = head.replace(b"\r", b"\n")
    names = _NAME.findall(lines)
    if len(names) > _FIELDS or len({name.lower() for name in names}) > _NAMES:
        raise ValueError("METADATA has absurdly many fields")
    return bounded(lambda: parse_email(content), "METADATA")


def bounded(read: Callable[[], T], what: str) -> T:
    """Call what reads something. Raise ValueError, or `InvalidMetadata`, where it cannot be read."""
    try:
        return read()
    except InvalidMetadata:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, LookupError, RecursionError) as problem:
        raise ValueError(f"{what} cannot be read: {type(problem).__name__}") from problem
