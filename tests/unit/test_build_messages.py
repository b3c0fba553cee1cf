"""What a command inside may say, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from buildthrough.builders.faults import PackageFault
from buildthrough.builders.messages import Entered, Failed, Requires, Told, WheelComes, read_message
from buildthrough.builders.sandbox import DialogueError


def test_messages_are_read() -> None:
    assert read_message({"t": "stage", "stage": "build"}) == Entered(stage="build")
    assert read_message({"t": "requires", "list": ["a >= 1; python_version > '3'", "b[c]"]}) == Requires(
        requirements=('a>=1; python_version > "3"', "b[c]")
    )
    assert read_message({"t": "wheel", "name": "a-1-py3-none-any.whl", "size": 3}) == WheelComes(
        filename="a-1-py3-none-any.whl", size=3
    )
    said = {"t": "told", "source_date_epoch": 7, "toolchain": {"cc\x1b": "gcc\n12" + "x" * 300}}
    found = read_message(said)
    assert isinstance(found, Told)
    assert (found.source_date_epoch, list(found.toolchain)) == (7, ["cc\\x1b"])
    assert found.toolchain["cc\\x1b"].startswith("gcc 12x")
    assert len(found.toolchain["cc\\x1b"]) == 200
    told = {"t": "fault", "kind": "output.none", "stage": "collect", "line": "a\nb\x1b"}
    assert read_message(told) == Failed(kind="output.none", stage="collect", line="a b\\x1b")


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"t": "stage", "stage": "party"},
        {"t": "told", "source_date_epoch": -1, "toolchain": {}},
        {"t": "told", "source_date_epoch": 10**4000, "toolchain": {}},
        {"t": "told", "source_date_epoch": 0, "toolchain": {str(number): "" for number in range(9999)}},
        {"t": "stage", "stage": ["build"]},
        {"t": "requires", "list": "setuptools"},
        {"t": "wheel", "name": "a-1-py3-none-any.whl", "size": -1},
        {"t": "wheel", "name": "a-1-py3-none-any.whl", "size": True},
        {"t": "wheel", "name": "a-1-py3-none-any.whl", "size": 1.5},
        {"t": "wheel", "name": 7, "size": 1},
        {"t": "told", "source_date_epoch": True, "toolchain": {}},
        {"t": "told", "source_date_epoch": 1, "toolchain": []},
        {"t": "told", "source_date_epoch": 1, "toolchain": {str(each): "" for each in range(51)}},
        {"t": "fault", "kind": "infra.disk", "stage": "build", "line": ""},
        {"t": "fault", "kind": "output.none", "stage": "collect", "line": None},
        {"t": "fault", "kind": "output.none", "stage": "never", "line": ""},
    ],
)
def test_other_messages_end_the_dialogue(message: dict[str, Any]) -> None:
    with pytest.raises(DialogueError):
        read_message(message)


@pytest.mark.parametrize(
    "name",
    ["../a-1-py3-none-any.whl", "/etc/passwd", "a.whl\n", ".whl", "-a.whl", "a.zip", "a\\b.whl", "a" * 250 + ".whl"],
)
def test_name_that_is_no_wheels_is_the_packages_fault(name: str) -> None:
    with pytest.raises(PackageFault) as caught:
        read_message({"t": "wheel", "name": name, "size": 1})
    assert (caught.value.stage, caught.value.kind) == ("collect", "output.filename")


@pytest.mark.parametrize(
    "requirement",
    [
        "x @ file:///etc/passwd",
        "x @ http://169.254.169.254/",
        "x @ git+ssh://example.org/x",
        "--index-url=http://example.org",
        "-r/etc/passwd",
        "./local",
        "a\nb",
        "",
        7,
        None,
        "x" * 2000,
    ],
)
def test_requirement_that_names_no_project_of_the_index_is_refused(requirement: object) -> None:
    with pytest.raises(PackageFault) as caught:
        read_message({"t": "requires", "list": ["setuptools", requirement]})
    assert (caught.value.stage, caught.value.kind) == ("requires", "requires.refused")
    assert caught.value.line.isprintable()
    assert len(caught.value.line) <= 500


def test_too_many_requirements_are_refused() -> None:
    read_message({"t": "requires", "list": ["a"] * 200})
    with pytest.raises(PackageFault):
        read_message({"t": "requires", "list": ["a"] * 201})
