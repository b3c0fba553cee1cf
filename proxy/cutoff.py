"""Cut-off times: what was uploaded later is not there (PEP 700's ``upload-time``). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

LONGEST_AGE: Final = timedelta(days=36_500)

_rfc3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ](?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}"
    r"(?:\.[0-9]{1,20})?(?:Z|[+-][0-9]{2}:[0-9]{2})",
    re.IGNORECASE,
).fullmatch
_words = re.compile(r"(?:\s*,?\s*[0-9]{1,9}\s*[a-z]+)+\s*").fullmatch
_word = re.compile(r"([0-9]+)\s*([a-z]+)").findall
_iso8601 = re.compile(
    r"P(?:(?P<weeks>[0-9]{1,9})W)?(?:(?P<days>[0-9]{1,9})D)?"
    r"(?:T(?=[0-9])(?:(?P<hours>[0-9]{1,9})H)?(?:(?P<minutes>[0-9]{1,9})M)?(?:(?P<seconds>[0-9]{1,9})S)?)?"
).fullmatch
_UNITS: Final = {
    spelling: unit
    for unit, spellings in {
        "weeks": ("week", "weeks", "w"),
        "days": ("day", "days", "d"),
        "hours": ("hour", "hours", "h"),
        "minutes": ("minute", "minutes", "min"),
        "seconds": ("second", "seconds", "s"),
    }.items()
    for spelling in spellings
}
_EXAMPLES: Final = 'a time such as 2026-01-31T00:00:00Z, or an age such as "7 days" or P7D'


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutoff:
    """A moment that stands still, or one that moves along at a distance: a cooldown."""

    moment: datetime | None = None
    age: timedelta | None = None

    def at(self, now: datetime) -> datetime:
        """Return the moment from which on nothing is there."""
        if self.moment is not None:
            return self.moment
        return now - (self.age or timedelta())


def parse_cutoff(text: str) -> Cutoff | None:
    """Read a setting: a time, an age, or nothing. Raise ValueError, whose text follows the words "the value …"."""
    text = text.strip()
    if not text:
        return None
    if _rfc3339(text):
        return Cutoff(moment=parse_time(text))
    age = _age(text)
    if not timedelta() < age <= LONGEST_AGE:
        raise ValueError(f"must be an age of more than nothing and at most {LONGEST_AGE.days} days")
    return Cutoff(age=age)


@lru_cache(maxsize=4096)
def parse_time(text: str) -> datetime:
    """Read a time in UTC or with an offset (RFC 3339). Digits beyond microseconds are dropped. Raise ValueError."""
    if not _rfc3339(text):
        raise ValueError("must be a time such as 2026-01-31T00:00:00Z (RFC 3339)")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError("must be a time that there was or will be (without leap seconds)") from error


def written(moment: datetime) -> str:
    """Return the one way to write a moment: in UTC, with a ``Z``, no more digits than needed."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def _age(text: str) -> timedelta:
    amounts: dict[str, int] = {}
    match = _iso8601(text.upper()) if text[:1] in "Pp" else None
    if match is not None:
        amounts = {unit: int(number) for unit, number in match.groupdict().items() if number is not None}
    elif _words(text.lower()):
        for number, spelling in _word(text.lower()):
            unit = _UNITS.get(spelling)
            if unit is None:
                raise ValueError(f"must not count in {spelling!r}, but in weeks, days, hours, minutes or seconds")
            if unit in amounts:
                raise ValueError(f"must not name {unit} twice")
            amounts[unit] = int(number)
    if not amounts:
        raise ValueError(f"must be {_EXAMPLES}")
    return timedelta(**amounts) if max(amounts.values()) < 10**8 else LONGEST_AGE * 2
