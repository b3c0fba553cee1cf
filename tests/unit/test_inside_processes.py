"""The time of programs inside a sandbox: in what of it others had the processors is not counted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from buildthrough.builders.inside.processes import is_late, starved

if TYPE_CHECKING:
    from pathlib import Path

SPIN = "while True: pass"


@pytest.mark.parametrize(
    ("passed", "waited", "late"),
    [
        (1.9, 0.0, False),
        (2.0, 0.0, True),
        (4.9, 3.0, False),
        (5.0, 3.0, True),
        (9.9, 100.0, False),
        (10.0, 100.0, True),
    ],
)
def test_the_time_that_a_program_waits_for_a_processor_is_not_its_own(passed: float, waited: float, late: bool) -> None:
    assert is_late(passed, 2.0, waited) is late


def test_it_is_told_how_long_a_process_waited_for_a_processor() -> None:
    """Of three that want the same one, each waits most of the time."""
    cpu = min(os.sched_getaffinity(0))
    spinning = [
        subprocess.Popen([sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{cpu}}})\n{SPIN}"])
        for _ in range(3)
    ]
    try:
        while any(starved(each.pid) < 0.05 for each in spinning):
            time.sleep(0.01)
    finally:
        for each in spinning:
            each.kill()
            each.wait()


def test_where_nobody_tells_nothing_is_forgiven(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "schedstat").write_text("")
    assert starved(1, tmp_path) == 0
    assert starved(2, tmp_path) == 0
