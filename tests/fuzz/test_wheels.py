"""Wheels that are damaged or lie: refused by a class of fault, or the same files to everybody who reads them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.fuzz.archives import Member, Model, honest, models, recorded, write
from tests.fuzz.fuzzing import SECONDS, fuzz

from buildthrough.builders.archive import open_archive
from buildthrough.builders.build_tag import with_build_tag
from buildthrough.builders.canonical import canonical
from buildthrough.builders.faults import PackageFault
from buildthrough.builders.listed_wheel import metadata_of
from buildthrough.builders.target import Environment
from buildthrough.builders.wheel import check_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from buildthrough.builders.artifact import CheckedWheel

NAME = "demo-1.0-py3-none-any.whl"
ENVIRONMENT = Environment(
    implementation="cp", python=(3, 11), abi="cp311", system="manylinux", system_version=(2, 36), arch="x86_64"
)
INSTALLED = {"INSTALLER", "REQUESTED", "direct_url.json", "RECORD", "uv_cache.json"}
"""Files of the dist-info folder that an installer writes itself."""


def check(path: Path) -> CheckedWheel:
    return check_wheel(path, project="demo", version="1.0", environment=ENVIRONMENT, max_bytes=64 << 20)


def checked(path: Path) -> CheckedWheel | None:
    """Return the wheel, None where it is refused as it has to be."""
    try:
        return check(path)
    except PackageFault as fault:
        refused = fault
    assert refused.stage == "check"
    assert refused.line.isprintable()
    assert len(refused.line) <= 500
    assert refused.kind.startswith("output.")
    return None


def files_of(path: Path) -> dict[str, bytes]:
    """Return the files as our own reader sees them."""
    with path.open("rb") as file:
        archive = open_archive(file, max_files=1000, max_bytes=1 << 30)
        return {entry.path: b"".join(archive.chunks(entry)) for entry in archive.entries if not entry.is_folder}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "again").mkdir()
    return tmp_path


def test_a_wheel_is_refused_or_means_one_thing(folder: Path) -> None:
    """Python's zipfile reads by the central directory, the stream reader by local headers: all have to agree."""

    def read(model: Model) -> str:
        path = folder / NAME
        path.write_bytes(write(model))
        wheel = checked(path)
        if wheel is None:
            return "refused"
        ours = files_of(path)
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert {one.filename: archive.read(one) for one in archive.infolist() if not one.is_dir()} == ours
        assert dict(streamed(path.read_bytes())) == ours
        check_rewritten(wheel, folder / "again", ours)
        return "accepted"

    said = fuzz(read, models(), examples=1500)
    assert said["accepted"] > 20
    assert said["refused"] > 20


def check_rewritten(wheel: CheckedWheel, folder: Path, ours: dict[str, bytes]) -> None:
    """Look whether what is published is accepted as well, and holds the same files."""
    for each in folder.iterdir():
        each.unlink()
    again = canonical(wheel, folder)
    assert check(again.path).sha256 == again.sha256
    changed = {f"{wheel_info(ours)}/{name}" for name in ("RECORD", "RECORD.jws", "RECORD.p7s", "WHEEL")}
    assert without(files_of(again.path), changed) == without(ours, changed)
    tagged = with_build_tag(again, 7, folder)
    assert check(tagged.path).filename.startswith("demo-1.0-7-")
    assert without(files_of(tagged.path), changed) == without(ours, changed)


def wheel_info(files: dict[str, bytes]) -> str:
    return next(path.partition("/")[0] for path in files if path.endswith(".dist-info/WHEEL"))


def without(files: dict[str, bytes], names: set[str]) -> dict[str, bytes]:
    return {path: content for path, content in files.items() if path not in names}


def streamed(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Read the files in the order of the stream, without the central directory, as unpackers of downloads do."""
    import struct
    import zlib

    position = 0
    while data[position : position + 4] == b"PK\3\4":
        _, flags, method, _, _, _, packed, size, name_size, extra_size = struct.unpack_from(
            "<5H3L2H", data, position + 4
        )
        start = position + 30
        name = data[start : start + name_size].decode("utf-8" if flags & 0x800 else "cp437")
        extra = data[start + name_size : start + name_size + extra_size]
        if 0xFFFFFFFF in (packed, size):
            field = extra[extra.index(b"\1\0") :]
            size, packed = struct.unpack_from("<2Q", field, 4)
        content = data[start + name_size + extra_size :][:packed]
        if not name.endswith("/"):
            yield name, zlib.decompress(content, -15) if method == 8 else content
        position = start + name_size + extra_size + packed


def test_what_is_accepted_is_installed_alike_by_uv_and_pip(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A sample: each installation takes a second."""
    accepted: list[bytes] = []

    def collect(model: Model) -> str:
        if len(accepted) >= (100_000 if SECONDS else 6):
            return "enough"
        path = folder / NAME
        path.write_bytes(write(model))
        if checked(path) is None or write(model) in accepted:
            return "refused or known"
        accepted.append(path.read_bytes())
        if SECONDS:
            installed_alike(path, tmp_path_factory.mktemp("installed"))
        return "accepted"

    interesting = models(recorded(replace(honest(), members=(*honest().members, *_MORE))))
    fuzz(collect, interesting, examples=60)
    assert accepted
    for data in [] if SECONDS else accepted:
        path = folder / NAME
        path.write_bytes(data)
        installed_alike(path, tmp_path_factory.mktemp("installed"))


_MORE = (
    Member("demo-1.0.dist-info/entry_points.txt", b"[console_scripts]\nrun = demo:main\n"),
    Member("demo-1.0.data/scripts/tool", b"#!python\nprint()\n"),
    Member("demo-1.0.data/purelib/demo/more.py", b"y = 2\n"),
    Member("demo-1.0.data/data/share/demo.txt", b"text"),
    Member("demo/caf\xe9, \u00fc.txt", b"accents"),
)


UV = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
INSTALLERS = {
    "uv": f"{UV} pip install -q --offline --no-cache --no-config --link-mode copy --python {sys.executable}",
    "pip": f"{sys.executable} -m pip --disable-pip-version-check --no-input install -q --no-index --no-compile"
    " --no-warn-script-location --root-user-action ignore --ignore-installed",
}


def installed_alike(path: Path, folder: Path) -> None:
    for name, command in INSTALLERS.items():
        done = subprocess.run(
            [*command.split(), "--no-deps", "--prefix", str(folder / name), str(path)], capture_output=True, text=True
        )
        assert done.returncode == 0, f"{name}: {done.stderr}"
    trees = [tree(folder / name) for name in ("uv", "pip")]
    assert trees[0].keys() == trees[1].keys()
    assert {place for place in trees[0] if trees[0][place] != trees[1][place]} == set()
    for name in ("uv", "pip"):
        shutil.rmtree(folder / name)


def tree(root: Path) -> dict[str, bytes]:
    """Return the installed files; of scripts the names only: each installer has its own way to begin them."""
    found = {}
    for path in root.rglob("*"):
        place = path.relative_to(root).as_posix()
        if path.is_file() and path.name != ".lock" and not (".dist-info/" in place and path.name in INSTALLED):
            found[place] = b"" if place.startswith("bin/") else path.read_bytes()
    return found


def test_core_metadata_of_any_listed_wheel(folder: Path) -> None:
    """Of wheels that are not ours to refuse: read, or a ValueError."""

    def read(model: Model) -> str:
        path = folder / NAME
        path.write_bytes(write(model))
        try:
            return "read" if metadata_of(path) is not None else "none"
        except ValueError:
            return "refused"

    said = fuzz(read, models(), examples=300)
    assert said["read"] > 10
