"""``docs/conformance.md`` has no gap, and each test that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = re.findall(r"^\| (T?\d+) \| (.+) \| ([^|]+) \|$", (ROOT / "docs" / "conformance.md").read_text(), re.MULTILINE)
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
NUMBERS = [*(str(number) for number in range(1, 121)), *(f"T{number}" for number in range(1, 21))]
WAITING = {"T12", "T13", *(str(number) for number in range(115, 121))}


def defined_in(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_every_number_has_one_line_and_they_are_in_order():
    assert [number for number, _, _ in ROWS] == NUMBERS


@pytest.mark.parametrize(("number", "held"), [(number, held) for number, _, held in ROWS])
def test_a_line_names_tests_or_says_why_not(number, held):
    named = NAMED.findall(held)
    if held.startswith("comes later"):
        assert number in WAITING | {"112"}
    elif not named:
        assert re.match(r"does not apply\b.{10,}", held), held
    assert held.count("::") == len(named), f"a test is not written as `file::name`: {held}"
    for file, name in named:
        path = ROOT / "tests" / file
        assert path.is_file(), file
        assert name in defined_in(path), f"{file} has no {name}"


@pytest.mark.parametrize("file", sorted(path.name for path in (ROOT / "tests" / "conformance").glob("test_*.py")))
def test_every_test_of_conformance_is_named(file):
    named = {name for _, _, held in ROWS for path, name in NAMED.findall(held) if path == f"conformance/{file}"}
    assert defined_in(ROOT / "tests" / "conformance" / file) - named == set()
