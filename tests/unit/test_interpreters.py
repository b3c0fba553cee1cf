"""Interpreters describe themselves; one per environment becomes a target."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.markers import default_environment
from packaging.tags import sys_tags

from buildthrough.builders.interpreters import (
    NotUsable,
    choose_targets,
    describe,
    find_targets,
    managed_folders,
    read_facts,
)
from buildthrough.builders.target import tag_ranks

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildthrough.builders.target import Interpreter


@pytest.fixture(scope="module")
def own() -> Interpreter:
    return asyncio.run(describe(Path(sys.executable)))


def script(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def facts(**changed: Any) -> dict[str, Any]:
    return {
        "implementation": "cpython",
        "version": [3, 13],
        "soabi": "cpython-313-x86_64-linux-gnu",
        "ext_suffix": ".cpython-313-x86_64-linux-gnu.so",
        "free_threaded": False,
        "debug": False,
        "machine": "x86_64",
        "bits": 64,
        "libc": ["manylinux", [2, 36]],
        "executable": "/nowhere/bin/python3.13",
        "folders": ["/nowhere", "/nowhere", "/nowhere/lib/python3.13", "", "/elsewhere/include"],
        "include": ["/elsewhere/include"],
        "markers": {"python_version": "3.13"},
        **changed,
    }


def test_own_interpreter_describes_itself_as_packaging_does(own: Interpreter) -> None:
    assert own.markers == default_environment()
    ours = list(tag_ranks(own.environment))
    theirs = [tag for tag in sys_tags() if tag in set(ours)]
    assert str(ours[0]).startswith(own.environment.slug)
    assert {str(tag) for tag in sys_tags()} == {str(tag) for tag in ours}
    assert theirs


def test_own_interpreter_is_the_real_one_not_the_virtual_environments(own: Interpreter) -> None:
    assert own.executable == Path(sys.executable).resolve()
    assert own.executable.is_relative_to(sys.base_prefix)
    assert not any(prefix.is_relative_to(sys.prefix) for prefix in own.prefixes if sys.prefix != sys.base_prefix)


def test_prefixes_are_the_outermost_ones() -> None:
    assert read_facts(facts(), Path("python")).prefixes == (Path("/nowhere"), Path("/elsewhere/include"))


@pytest.mark.parametrize(
    ("changed", "slug"),
    [
        ({}, "cp313-cp313-manylinux_2_36_x86_64"),
        ({"free_threaded": True}, "cp313-cp313t-manylinux_2_36_x86_64"),
        ({"debug": True}, "cp313-cp313d-manylinux_2_36_x86_64"),
        ({"free_threaded": True, "debug": True}, "cp313-cp313td-manylinux_2_36_x86_64"),
        ({"libc": ["musllinux", [1, 2]]}, "cp313-cp313-musllinux_1_2_x86_64"),
        ({"machine": "aarch64"}, "cp313-cp313-manylinux_2_36_aarch64"),
        ({"bits": 32}, "cp313-cp313-manylinux_2_36_i686"),
        (
            {"implementation": "pypy", "version": [3, 9], "soabi": "pypy39-pp73"},
            "pp39-pypy39_pp73-manylinux_2_36_x86_64",
        ),
        (
            {"implementation": "pypy", "version": [3, 10], "soabi": None, "ext_suffix": ".pypy310-pp73-x.so"},
            "pp310-pypy310_pp73-manylinux_2_36_x86_64",
        ),
    ],
)
def test_facts_become_an_environment(changed: dict[str, Any], slug: str) -> None:
    assert read_facts(facts(**changed), Path("python")).environment.slug == slug


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"version": [3, 7]}, "too old"),
        ({"implementation": "graalpy"}, "neither CPython nor PyPy"),
        ({"libc": None}, "neither glibc nor musl"),
        ({"implementation": "pypy", "soabi": None, "ext_suffix": None}, "does not name its ABI"),
    ],
)
def test_facts_that_make_no_target_are_said(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(NotUsable, match=says):
        read_facts(facts(**changed), Path("python"))


def test_headers_are_looked_for(tmp_path: Path) -> None:
    assert not read_facts(facts(include=[str(tmp_path)]), Path("python")).has_headers
    (tmp_path / "Python.h").touch()
    assert read_facts(facts(include=[str(tmp_path)]), Path("python")).has_headers


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("exit 127", "exit code 127"),
        ("echo hello", "is no Python"),
        ("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", "more than a Python would"),
    ],
)
async def test_what_is_no_python_is_said(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(NotUsable, match=says):
        await describe(script(tmp_path, "python3", text))


async def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotUsable, match="cannot be run"):
        await describe(tmp_path / "python3")


def test_headers_come_before_readability_and_that_before_order(own: Interpreter) -> None:
    first = replace(own, executable=Path("/first"), has_headers=True)
    readable = replace(own, executable=Path("/readable"), has_headers=True)
    bare = replace(own, executable=Path("/bare"), has_headers=False)

    def chosen(*found: Interpreter, is_readable: Callable[[Path], bool]) -> list[Path]:
        return [target.interpreter.executable for target in choose_targets(found, is_readable)]

    assert chosen(bare, first, readable, is_readable=lambda _: True) == [Path("/first")]
    assert chosen(bare, first, readable, is_readable=lambda path: path == Path("/readable")) == [Path("/readable")]
    assert chosen(bare, first, is_readable=lambda path: path == Path("/bare")) == [Path("/first")]


async def test_search_path_is_searched_in_order_and_what_fails_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "python3.11").symlink_to(sys.executable)
    script(tmp_path / "two", "python3-config", "exit 1")
    launcher = script(tmp_path / "two", "python3.13", "exit 1")
    broken = Path(shutil.copy("/bin/false", tmp_path / "two" / "python3.12"))
    search_path = os.pathsep.join(str(tmp_path / name) for name in ("one", "two", "not-there"))

    discovery = await find_targets(named=[tmp_path / "gone"], search_path=search_path, is_readable=lambda _: True)

    assert [target.environment for target in discovery.targets] == [discovery.own.environment]
    named, on_path = discovery.sentences[:2]
    assert str(tmp_path / "gone") in named
    assert str(broken) in on_path
    assert "python3-config" not in on_path
    assert str(launcher) not in on_path


async def test_target_without_headers_is_said(own: Interpreter, monkeypatch: pytest.MonkeyPatch) -> None:
    async def bare(path: Path) -> Interpreter:
        return replace(own, has_headers=False)

    monkeypatch.setattr("buildthrough.builders.interpreters.describe", bare)

    discovery = await find_targets(named=(), search_path="", is_readable=lambda _: True)

    assert any("has no Python.h" in sentence for sentence in discovery.sentences)


def test_pythons_of_version_managers_are_found_the_newest_first(tmp_path):
    for name in ("3.9.18", "3.10.1", "3.13.0", "pypy3.10-7.3.12"):
        (tmp_path / ".pyenv/versions" / name / "bin").mkdir(parents=True)
    (tmp_path / ".pyenv/versions/3.13").symlink_to("3.13.0")
    (tmp_path / "share/uv/python/cpython-3.12.4-linux-x86_64-gnu/bin").mkdir(parents=True)
    found = managed_folders(tmp_path, {"XDG_DATA_HOME": str(tmp_path / "share")})
    assert [folder.parent.name for folder in found] == [
        "3.13.0", "pypy3.10-7.3.12", "3.10.1", "3.9.18", "cpython-3.12.4-linux-x86_64-gnu",
    ]  # fmt: skip


def test_version_managers_may_be_elsewhere_or_nowhere(tmp_path):
    (tmp_path / "a/versions/3.12.1/bin").mkdir(parents=True)
    (tmp_path / "b/cpython-3.11.9/bin").mkdir(parents=True)
    places = {"PYENV_ROOT": str(tmp_path / "a"), "UV_PYTHON_INSTALL_DIR": str(tmp_path / "b")}
    assert [folder.parent.name for folder in managed_folders(tmp_path, places)] == ["3.12.1", "cpython-3.11.9"]
    assert managed_folders(tmp_path / "nobody", {}) == ()
