"""Files that Windows cannot hold are told of; they keep nothing from being published."""

from __future__ import annotations

import pytest
from tests.fakes.wheels import make_wheel

from buildthrough.builders.target import parse_environment
from buildthrough.builders.wheel import check_wheel
from buildthrough.builders.windows_names import unfit_for_windows


@pytest.mark.parametrize(
    ("path", "is_unfit"),
    [
        ("demo/aux.py", True),
        ("demo/AUX.PY", True),
        ("demo/CON", True),
        ("aux/__init__.py", True),
        ("demo/com1.tar.gz", True),
        ("demo/lpt\xb2", True),
        ("demo/nul .txt", True),
        ("demo/data.", True),
        ("demo/data ", True),
        ("demo/folder./x.py", True),
        ("demo/a:b", True),
        ('demo/a"b', True),
        ("demo/what?.txt", True),
        ("demo/auxiliary.py", False),
        ("demo/console.py", False),
        ("demo/com10.py", False),
        ("demo/com0.py", False),
        ("demo/.aux", False),
        ("demo/x.aux", False),
        ("demo/__init__.py", False),
    ],
)
def test_names_that_windows_reserves(path, is_unfit):
    assert bool(unfit_for_windows([path])) is is_unfit


def test_a_few_are_named():
    told = unfit_for_windows(f"demo/{number}/aux.py" for number in range(100))
    assert len(told) == 5
    assert told[0] == "'demo/0/aux.py' cannot be installed on Windows"


@pytest.mark.parametrize(("tag", "remarks"), [("py3-none-any", 1), ("cp311-cp311-manylinux_2_17_x86_64", 0)])
def test_wheels_that_windows_could_take_are_published_with_a_remark(tmp_path, tag, remarks):
    path = make_wheel(tmp_path, tag=tag, files={"demo/aux.py": ""})
    environment = parse_environment("cp311-cp311-manylinux_2_36_x86_64")
    wheel = check_wheel(path, project="demo", version="1.0", environment=environment)
    assert len(wheel.warnings) == remarks
