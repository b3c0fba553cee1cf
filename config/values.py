"""Read one setting's value as it was written, in TOML or as text; and write it so that no secret shows. Pure."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from buildthrough.config.schema import Key

Value = str | int | float | bool | Path | tuple[str, ...]

_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>B|[KMGT]i?B)?", re.ASCII)
_UNITS = {"B": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("KMGT", start=1)
    for suffix, base in (("B", 1000), ("iB", 1024))
}
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_LONGEST_SHOWN = 60


def parse(key: Key, written: object, *, is_text: bool) -> Value:
    """Return the typed value. Raise ValueError, whose text follows the words "the value …", where it is none.

    ``is_text`` says that it comes from the environment or a flag, where everything is a text.
    """
    value = _read(key, written, is_text=is_text)
    if key.choices and value not in key.choices:
        raise ValueError(f"must be one of {', '.join(key.choices)}")
    for check in key.checks:
        check.check(value)  # type: ignore[arg-type] # the schema puts each check beside the type that it is for
    return value


def show(key: Key, value: Value) -> str:
    """Write the value as TOML, without secrets."""
    if key.is_secret:
        return "(set, not shown)" if value else '""'
    match value:
        case bool():
            return "true" if value else "false"
        case int() if key.is_size:
            return _show_size(value)
        case int() | float():
            return f"{value:g}" if isinstance(value, float) else str(value)
        case tuple():
            return json.dumps(list(value), ensure_ascii=False)
        case _:
            return json.dumps(redact(str(value)), ensure_ascii=False)


def redact(url: str) -> str:
    """Take the name and the password out of a URL; any other text is returned as it is."""
    if "@" not in url or "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not shown)"
    return urlunsplit(parts._replace(netloc="***@" + parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else url


def quote(key: Key, written: object) -> str:
    """Quote a refused value in an error's sentence: shortened, escaped, and never a secret."""
    if key.is_secret or (key.section.startswith("upstream") and any(mark in str(written) for mark in "@?")):
        return "(not shown)"
    text = repr(written)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _read(key: Key, written: object, *, is_text: bool) -> Value:
    if key.kind is bool:
        return _bool(written, is_text=is_text)
    if key.is_size:
        return read_size(written)
    if key.kind is int:
        return _int(written, is_text=is_text)
    if key.kind is float:
        return _float(written, is_text=is_text)
    if key.kind is tuple:
        return _texts(written, is_text=is_text)
    if not isinstance(written, str):
        raise ValueError("must be a text in quotes")  # noqa: TRY004 - all refusals are of one type
    if "\0" in written:
        raise ValueError("must not hold a NUL character")
    return Path(written) if key.kind is Path else written


def _bool(written: object, *, is_text: bool) -> bool:
    if isinstance(written, bool):
        return written
    if is_text and str(written).strip().lower() in _TRUE | _FALSE:
        return str(written).strip().lower() in _TRUE
    raise ValueError("must be true or false")


def _int(written: object, *, is_text: bool) -> int:
    if isinstance(written, int) and not isinstance(written, bool):
        return written
    if is_text and re.fullmatch(r"[+-]?\d{1,18}", str(written).strip(), re.ASCII):
        return int(str(written))
    raise ValueError("must be a whole number")


def _float(written: object, *, is_text: bool) -> float:
    number = math.nan
    if is_text:
        try:
            number = float(str(written))
        except ValueError:
            number = math.nan
    elif isinstance(written, int | float) and not isinstance(written, bool):
        number = float(written)
    if not math.isfinite(number):
        raise ValueError("must be a number")
    return number


def read_size(written: object) -> int:
    """Return a number of bytes. Raise ValueError."""
    if isinstance(written, int) and not isinstance(written, bool):
        return written
    match = _SIZE.fullmatch(written.strip()) if isinstance(written, str) and len(written) <= _LONGEST_SHOWN else None
    if match is None:
        raise ValueError('must be a number of bytes, such as 1048576 or "128 MiB"')
    return int(float(match["number"]) * _UNITS[match["unit"]]) if match["unit"] else int(float(match["number"]))


def _show_size(value: int) -> str:
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if value and value % _UNITS[unit] == 0:
            return f'"{value // _UNITS[unit]} {unit}"'
    return str(value)


def _texts(written: object, *, is_text: bool) -> tuple[str, ...]:
    items = written
    if is_text:
        text = str(written).strip()
        if text.startswith("["):
            try:
                items = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise ValueError("must be a JSON list of texts, or texts with commas between them") from error
        else:
            items = [item.strip() for item in text.split(",") if item.strip()]
    if not isinstance(items, list) or not all(isinstance(item, str) and item and "\0" not in item for item in items):
        raise ValueError("must be a list of texts")
    return tuple(items)
