"""What was measured, as Markdown: tables of medians, the ratios that are wanted and whether each is reached."""

from __future__ import annotations

import os
import platform
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

MARKS = ("<!-- measured -->", "<!-- end of measured -->")
"""Between them stands what was measured last, in the README."""
DIRECT = "no cache between"
"""What a client sees that asks upstream itself."""
ORDER = (
    "buildthrough", "bare aiohttp", "nginx static", "nginx rewriting", "nginx rewriting, gzip", "proxpi", "devpi",
    "simple-repository", DIRECT,
)  # fmt: skip
"""The columns."""


@dataclass(slots=True)
class Table:
    """Rows of peers, columns of what was asked; a cell holds a figure a round, or a word."""

    title: str
    unit: str
    cells: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    words: dict[tuple[str, str], str] = field(default_factory=dict)
    """What stands where there is no figure."""

    def add(self, row: str, column: str, figure: float) -> None:
        """Take the figure of a round."""
        self.cells[row, column].append(figure)

    def say(self, row: str, column: str, word: str) -> None:
        """Put a word where a figure would be."""
        self.words[row, column] = word

    def median(self, row: str, column: str) -> float | None:
        """Return the median of a cell."""
        figures = self.cells.get((row, column))
        return statistics.median(figures) if figures else None

    def ratio(self, ours: tuple[str, str], theirs: tuple[str, str]) -> float | None:
        """Return the median of the rounds' ratios: what both suffered in a round falls out."""
        pairs = list(zip(self.cells.get(ours, []), self.cells.get(theirs, []), strict=False))
        return statistics.median(one / other for one, other in pairs if other) if pairs else None

    @property
    def names(self) -> list[str]:
        """All rows."""
        return list(dict.fromkeys(row for row, _ in [*self.cells, *self.words]))

    @property
    def columns(self) -> list[str]:
        """All columns."""
        return list(dict.fromkeys(column for _, column in [*self.cells, *self.words]))

    def lines(self, names: list[str]) -> list[str]:
        """Return the lines of a table in which each of these names has a column, and each column here is a line."""
        head = f"| **{self.title}**, {self.unit} {'|' * (len(names) + 1)}"
        shown = {column: [self.shown(name, column) for name in names] for column in self.columns}
        return [head, *(f"| {column} | {' | '.join(cells)} |" for column, cells in shown.items())]

    def shown(self, row: str, column: str) -> str:
        """Return a cell: the median, and the word beside it or in its place."""
        found, word = self.median(row, column), self.words.get((row, column), "")
        return word if found is None else f"{number(found)} {word}".rstrip()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Something that is wanted."""

    what: str
    measured: float | None
    wanted: str
    reached: bool

    def markdown(self) -> str:
        """Return it as a row."""
        shown = "not measured" if self.measured is None else number(self.measured)
        return f"| {self.what} | {shown} | {self.wanted} | {'yes' if self.reached else '**no**'} |"


@dataclass(slots=True)
class Report:
    """All of a run."""

    quick: bool = False
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    """How many processes wanted a processor in the minute before it began."""
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    def table(self, title: str, unit: str) -> Table:
        """Begin a table."""
        self.tables.append(Table(title, unit))
        return self.tables[-1]

    def at_least(self, what: str, measured: float | None, wanted: float) -> None:
        """Judge a figure that has to be as high."""
        self.verdicts.append(
            Verdict(what, measured, f">= {number(wanted)}", measured is not None and measured >= wanted)
        )

    def at_most(self, what: str, measured: float | None, wanted: float) -> None:
        """Judge a figure that has to be as low."""
        self.verdicts.append(
            Verdict(what, measured, f"<= {number(wanted)}", measured is not None and measured <= wanted)
        )

    def markdown(self) -> str:
        """Return everything."""
        told = f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine()}, all in one run; load before it {self.load:.1f}."
        lines = [told, "", *(["A quick run, not to be quoted.", ""] if self.quick else [])]
        if self.versions:
            lines += ["Versions: " + "; ".join(f"{name}: {said}" for name, said in self.versions.items()) + ".", ""]
        lines += [f"Not measured: {name}, because: {reason}" for name, reason in self.missing.items()]
        names = [name for name in ORDER if any(name in table.names for table in self.tables)]
        lines += ["", f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        lines += [line for table in self.tables for line in table.lines(names)]
        lines += [""]
        if self.verdicts:
            lines += ["**Wanted and reached**", "", "| | measured | wanted | reached |", "|---|---|---|---|"]
            lines += [verdict.markdown() for verdict in self.verdicts]
        return "\n".join(lines) + "\n"


def written(text: str, measured: str) -> str:
    """Return a text with what stands between the marks replaced. Raise `ValueError` where it has no marks."""
    before, rest = text.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    return f"{before}{MARKS[0]}\n\n{measured}\n{MARKS[1]}{after}"


def number(value: float) -> str:
    """Return three figures, or all of a whole number."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def machine() -> str:
    """Return processor, cores, memory, kernel and Python."""
    info = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    model = models[0] if models else platform.machine()
    cores = f"{len(os.sched_getaffinity(0))} cores"
    return f"{model}, {cores}, {memory:.0f} GB, Linux {platform.release()}, Python {platform.python_version()}"
