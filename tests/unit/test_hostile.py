"""``docs/hostile-sdists.md`` has no gap, and each test that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "hostile-sdists.md").read_text()
ROWS = re.findall(r"^\| (\d+|[a-h]) \| (.+) \| (.+) \| ([^|]+) \|$", DOCUMENT, re.MULTILINE)
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
NUMBERS = [*(str(number) for number in range(1, 107)), *"abcdefgh"]
OURS = sorted(path.name for path in (ROOT / "tests" / "sandbox").glob("test_hostile_*.py"))


def defined_in(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_every_number_has_one_line_and_they_are_in_order():
    assert [number for number, *_ in ROWS] == NUMBERS


@pytest.mark.parametrize(("number", "seen", "held"), [(number, seen, held) for number, _, seen, held in ROWS])
def test_a_line_names_tests_or_says_why_not(number, seen, held):
    named = NAMED.findall(held)
    if not named:
        assert re.match(r"open\b|does not apply\b.{10,}", held), held
    assert held.count("::") == len(named), f"a test is not written as `file::name`: {held}"
    for file, name in named:
        path = ROOT / "tests" / file
        assert path.is_file(), file
        assert name in defined_in(path), f"{file} has no {name}"


@pytest.mark.parametrize("file", OURS)
def test_every_hostile_test_is_named(file):
    named = {name for *_, held in ROWS for path, name in NAMED.findall(held) if path == f"sandbox/{file}"}
    assert defined_in(ROOT / "tests" / "sandbox" / file) - named == set()
