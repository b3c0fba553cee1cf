"""The corpus: real sdists, each with why it is there."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("corpus.tsv")
IMPOSSIBLE: Final = frozenset({"broken-c-api", "broken-py2", "rust-wrong-platform", "wrong-platform"})
"""Categories that no builder on this system can build: another platform, Python 2 only, parts of the C API gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One release to build."""

    name: str
    version: str
    category: str
    note: str

    @property
    def is_possible(self) -> bool:
        """Whether some builder on this system could build it."""
        return self.category not in IMPOSSIBLE


def read(names: frozenset[str] = frozenset()) -> list[Row]:
    """Return the rows, in the file's order; only those of the projects named, where any is."""
    with FILE.open(newline="") as file:
        rows = [Row(**row) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    return [row for row in rows if not names or row.name in names]
