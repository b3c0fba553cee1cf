"""The layers of the design hold, and their contracts do catch a breach."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint(folder):
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder / ".editable"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def copy(tmp_path):
    """Copy the sources with their links, so that a breach can be tried."""
    for folder in ("proxy", "builders", "config"):
        shutil.copytree(ROOT / folder, tmp_path / ".editable" / "buildthrough" / folder)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_layers_hold():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("builders/target.py", "import buildthrough.proxy.entry"),
        ("builders/request.py", "import asyncio"),
        ("proxy/entry.py", "import sqlite3"),
        ("proxy/upstream.py", "import buildthrough.config"),
        ("proxy/upstream.py", "import buildthrough.proxy.web"),
    ],
)
def test_a_breach_is_seen(copy, module, line):
    path = copy / ".editable" / "buildthrough" / module
    path.write_text(path.read_text() + f"\n{line}\n")
    done = lint(copy)
    assert done.returncode == 1, done.stdout
    assert "BROKEN" in done.stdout
