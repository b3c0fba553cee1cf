"""What came of one row, and how it is kept between runs. Nothing is asked or built here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """What ``pip wheel`` made of it."""

    wheel: str | None
    seconds: float
    line: str
    """The last line that tells why, where there is no wheel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """What the server made of it."""

    wheel: str | None
    seconds: float
    """From the claim of the build to its end."""
    fault: str | None = None
    line: str | None = None
    identical: bool | None = None
    """Whether a second build gave the same bytes; None where there was none."""
    installs: bool | None = None
    """Whether pip took the wheel from our page."""
    time_cut: str | None = None
    recipe: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One row of the table."""

    name: str
    version: str
    category: str
    possible: bool
    plain: Plain | None
    ours: Ours


def store(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write outcomes as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(each) for each in outcomes], indent=1) + "\n")


def load(path: Path) -> list[Outcome]:
    """Read outcomes back."""
    return [_outcome(each) for each in json.loads(path.read_text())]


def _outcome(raw: dict[str, Any]) -> Outcome:
    plain = None if raw["plain"] is None else Plain(**raw["plain"])
    return Outcome(**{**raw, "plain": plain, "ours": Ours(**raw["ours"])})
