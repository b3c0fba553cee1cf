"""``docs/build-yield.md``: the summary and the table, made of outcomes and of the verdicts that a person gave."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.yields.outcome import Outcome

VERDICTS: Final = Path(__file__).with_name("verdicts.toml")
"""By project and version: whether a failure's class is right, checked by hand, and why it fails."""
_ADDRESS = re.compile(r"\w+://\S+")
OTHER: Final = frozenset({"build.failed", "other"})


def verdicts() -> dict[str, dict[str, str]]:
    """Return what was found by hand: ``{"pycrypto 2.6.1": {"class": "capi", "why": "…"}}``."""
    return tomllib.loads(VERDICTS.read_text())


def written(outcomes: Sequence[Outcome], machine: str) -> str:
    """Return the page."""
    checked = verdicts()
    return "\n".join([
        "# What gets built",
        "",
        "Every sdist of `bench/yields/corpus.tsv`, through the running server by a real pip, beside plain `pip wheel`",
        "with the system's Python on the same machine, row by row (`make yield`, which writes this page).",
        "The server builds in a root file system of the same distribution, made by `buildthrough target create",
        "--with-recipes`: it has the libraries that recipes name, which a client's machine has not.",
        f"{machine}",
        "",
        *_summary(outcomes, checked),
        "",
        "`identical`: a second build gave the same bytes. `takes it`: pip, told to use wheels only, took our wheel.",
        "",
        "| project | version | why it is here | pip wheel | s | here | s | identical | takes it |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_row(each) for each in outcomes),
        "",
        "## What fails, and why",
        "",
        "| project | version | class | right | the first telling line | why, found by hand |",
        "|---|---|---|---|---|---|",
        *(_failure(each, checked) for each in outcomes if each.ours.wheel is None),
        "",
    ])  # fmt: skip


def _summary(outcomes: Sequence[Outcome], checked: dict[str, dict[str, str]]) -> list[str]:
    built = [each for each in outcomes if each.ours.wheel]
    failed = [each for each in outcomes if each.ours.wheel is None]
    plain = [each for each in outcomes if each.plain and each.plain.wheel]
    lost = [each for each in plain if each.ours.wheel is None]
    rest = [each for each in outcomes if each.plain and not each.plain.wheel and each.possible]
    more = [each for each in rest if each.ours.wheel]
    again = [each for each in built if each.ours.identical is not None]
    same = [each for each in again if each.ours.identical]
    named = [each for each in failed if each.ours.fault not in OTHER]
    right = [each for each in failed if checked.get(_key(each), {}).get("class") == each.ours.fault]
    return [
        "| | |",
        "|---|---|",
        f"| rows | {len(outcomes)} |",
        f"| `pip wheel` builds | {len(plain)} |",
        f"| built here | {len(built)} |",
        f"| of those that `pip wheel` builds, not built here (wanted: none) | {len(lost)}{_names(lost)} |",
        f"| of those that it does not and that are possible, built here (wanted: half) | {_share(more, rest)} |",
        f"| identical when built again (wanted: 95 %) | {_share(same, again)} |",
        f"| failures with a class other than *other* (wanted: 90 %) | {_share(named, failed)} |",
        f"| failures whose class is right, checked by hand | {_share(right, failed)} |",
    ]


def _row(each: Outcome) -> str:
    plain = each.plain
    there = "-" if plain is None else f"`{plain.wheel}`" if plain.wheel else "fails"
    ours = each.ours
    here = f"`{ours.wheel}`" if ours.wheel else f"`{ours.fault}`"
    marks = [
        *(["time-cut"] if ours.time_cut else []),
        *(["recipe"] if ours.recipe else []),
    ]
    cells = (
        each.name, each.version, each.category, there, "-" if plain is None else f"{plain.seconds:.1f}",
        here + (f" ({', '.join(marks)})" if marks else ""), f"{ours.seconds:.1f}",
        _yes(ours.identical), _yes(ours.installs),
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def _failure(each: Outcome, checked: dict[str, dict[str, str]]) -> str:
    verdict = checked.get(_key(each), {})
    right = (
        "-" if "class" not in verdict else "yes" if verdict["class"] == each.ours.fault else f"no: `{verdict['class']}`"
    )
    cells = (
        each.name, each.version, f"`{each.ours.fault}`", right, _cell(each.ours.line or ""),
        _cell(verdict.get("why", "not looked at")),
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def _cell(text: str) -> str:
    """Return a text that stands in a cell: no bars, no markup, no address of a machine."""
    plain = " ".join(_ADDRESS.sub("(an address)", text).split()).replace("|", "\\|").replace("`", "'")
    return plain if len(plain) <= 160 else plain[:157] + "..."  # characters of a cell


def _key(each: Outcome) -> str:
    return f"{each.name} {each.version}"


def _names(rows: Sequence[Outcome]) -> str:
    return "" if not rows else ": " + ", ".join(each.name for each in rows)


def _share(some: Sequence[object], of: Sequence[object]) -> str:
    return f"{len(some)} of {len(of)}" + (f" ({100 * len(some) / len(of):.0f} %)" if of else "")


def _yes(value: bool | None) -> str:
    return "-" if value is None else "yes" if value else "no"
