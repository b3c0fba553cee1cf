"""A rebuilt wheel gets the next build tag, and is a sound wheel again."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes.wheels import make_entry, make_wheel

from buildthrough.builders.build_tag import next_build_tag, with_build_tag
from buildthrough.builders.target import Environment
from buildthrough.builders.wheel import check_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from buildthrough.builders.artifact import CheckedWheel

ENVIRONMENT = Environment(
    implementation="cp", python=(3, 11), abi="cp311", system="manylinux", system_version=(2, 36), arch="x86_64"
)
PLAIN = "demo-1.0-py3-none-any.whl"


def checked(path: Path) -> CheckedWheel:
    return check_wheel(path, project="demo", version="1.0", environment=ENVIRONMENT)


@pytest.mark.parametrize(
    ("used", "number"),
    [
        ([], None),
        (["other-1.0-py3-none-any.whl", "demo-1.1-py3-none-any.whl", "demo-1.0-py2-none-any.whl", "x.tar.gz"], None),
        ([PLAIN], 1),
        (["Demo-1.0-py3-none-any.whl"], 1),
        ([PLAIN, "demo-1.0-1-py3-none-any.whl"], 2),
        ([PLAIN, "demo-1.0-9-py3-none-any.whl", "demo-1.0-10x-py3-none-any.whl"], 11),
        (["demo-1.0-3-py3-none-any.whl"], 4),
    ],
)
def test_next_number(tmp_path: Path, used: list[str], number: int | None) -> None:
    wheel = checked(make_wheel(tmp_path))
    assert next_build_tag(dict.fromkeys(used, "0" * 64), wheel) == number


def test_same_bytes_need_no_number(tmp_path: Path) -> None:
    wheel = checked(make_wheel(tmp_path))
    assert next_build_tag({PLAIN: wheel.sha256, "demo-1.0-1-py3-none-any.whl": "0" * 64}, wheel) is None


def test_tag_of_the_project_s_own(tmp_path: Path) -> None:
    wheel = checked(make_wheel(tmp_path, build="5"))
    assert next_build_tag({PLAIN: "0" * 64}, wheel) is None
    assert next_build_tag({wheel.filename: "0" * 64}, wheel) == 6


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"build": "1b"},
        {"tag": "py2.py3-none-any"},
        {"files": {"demo/a, b.txt": "x", "demo/café.txt": "y", "demo/empty": ""}},
        {"entries": [(make_entry("demo/", attributes=0o040755 << 16), b"")]},
        {"entries": [(make_entry("demo-1.0.dist-info/RECORD.jws"), b"{}")]},
        {"wheel": b"Wheel-Version: 1.0\r\nRoot-Is-Purelib: true\r\nTag: py3-none-any\r\n\r\n"},
    ],
)
def test_tagged_wheel_is_sound(tmp_path: Path, arguments: dict[str, Any]) -> None:
    (tmp_path / "out").mkdir()
    wheel = checked(make_wheel(tmp_path, **arguments))
    tagged = with_build_tag(wheel, 7, tmp_path / "out")
    assert replace(checked(tagged.path), files=()) == replace(tagged, files=())
    assert tagged.filename.split("-")[:3] == ["demo", "1.0", "7"]
    assert tagged.metadata == wheel.metadata
    with zipfile.ZipFile(wheel.path) as before, zipfile.ZipFile(tagged.path) as after:
        for name in after.namelist():
            if not name.endswith(("/WHEEL", "/RECORD")):
                assert after.read(name) == before.read(name)
        assert b"Build: 7\n" in after.read("demo-1.0.dist-info/WHEEL")
        assert after.testzip() is None


def test_executable_stays_executable(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    path = make_wheel(tmp_path, files={"demo-1.0.data/scripts/run": "#!/bin/sh\n"})
    with zipfile.ZipFile(path) as archive:
        contents = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            mode = 0o100755 if name.endswith("/run") else 0o100644
            archive.writestr(make_entry(name, attributes=mode << 16), content)
    tagged = with_build_tag(checked(path), 1, tmp_path / "out")
    with zipfile.ZipFile(tagged.path) as archive:
        assert archive.getinfo("demo-1.0.data/scripts/run").external_attr >> 16 == 0o100755


def test_same_wheel_and_number_give_the_same_bytes(tmp_path: Path) -> None:
    wheel = checked(make_wheel(tmp_path))
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        digests.add(with_build_tag(wheel, 1, tmp_path / name).sha256)
    assert len(digests) == 1
