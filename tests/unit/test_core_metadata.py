"""Core metadata of a stranger costs a bounded amount of work, and fails in one way."""

from __future__ import annotations

import time
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.fakes.wheels import make_wheel

from buildthrough.builders.core_metadata import bounded, read_fields
from buildthrough.builders.listed_wheel import metadata_of

if TYPE_CHECKING:
    from pathlib import Path

HEAD = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"


@pytest.mark.parametrize(
    "content",
    [
        HEAD,
        HEAD.replace(b"\n", b"\r\n") + b"Requires-Dist: a\r\n\r\nText: of\r\nthe: body\r\n",
        HEAD + b"Requires-Dist: a\n" * 10_000,
        HEAD + b"\n" + b"body: line\n" * 500_000,
    ],
    ids=["small", "windows", "many requirements", "long body"],
)
def test_honest_metadata_is_read(content):
    raw, _ = read_fields(content)
    assert (raw["name"], raw["version"]) == ("demo", "1.0")


@pytest.mark.parametrize(
    "content",
    [
        HEAD + b"".join(b"x%d: 1\n" % number for number in range(300_000)),
        HEAD + b"a: b\n" * 1_000_000,
        HEAD + b"Summary: a\n" + b" b\n" * 1_000_000,
        HEAD + b"Keywords: " + b"," * (3 << 20),
        b"x" * (9 << 20),
    ],
    ids=["a name for each field", "many fields", "folded", "long field", "large"],
)
def test_bombs_are_refused_at_once(content):
    begun = time.process_time()
    with pytest.raises(ValueError, match="METADATA"):
        read_fields(content)
    assert time.process_time() - begun < 30


def test_what_the_parsers_raise_becomes_one_kind():
    for error in (RecursionError(), ValueError("digits"), KeyError("x"), UnicodeError()):

        def read(error=error):
            raise error

        with pytest.raises(ValueError, match="it cannot be read"):
            bounded(read, "it")


def test_metadata_of_a_wheel_that_an_index_lists(tmp_path: Path) -> None:
    assert metadata_of(make_wheel(tmp_path)).startswith(b"Metadata-Version: 2.1\nName: demo\n")


def packed(path: Path, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("demo-1.0.dist-info/METADATA", content)
    return path


def several(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("demo", "other"):
            archive.writestr(f"{name}-1.0.dist-info/METADATA", HEAD)
    return path


def with_a_huge_directory(path: Path) -> Path:
    """Write an end record that claims a central directory of almost 4 GiB, in a sparse file."""
    with path.open("wb") as file:
        file.truncate(0xFFFFFF00)
        file.seek(0xFFFFFF00)
        end = b"PK\5\6" + bytes(4) + b"\xff\xff\xff\xff" + (0xFFFFFF00).to_bytes(4, "little") + bytes(6)
        file.write(end)
    return path


HOSTILE = {
    "no archive": lambda path: path.write_bytes(b"<html>") and path,
    "empty": lambda path: path.touch() or path,
    "no METADATA": lambda path: (zipfile.ZipFile(path, "w").close(), path)[1],
    "several": several,
    "bomb": lambda path: packed(path, bytes(100 << 20)),
    "LZMA, whose dictionary may take gigabytes": lambda path: packed(path, HEAD, zipfile.ZIP_LZMA),
    "bzip2": lambda path: packed(path, HEAD, zipfile.ZIP_BZIP2),
    "huge directory": with_a_huge_directory,
    "encrypted": lambda path: path.write_bytes(flagged(packed(path, HEAD).read_bytes(), 1)) and path,
    "damaged": lambda path: path.write_bytes(packed(path, HEAD * 9).read_bytes().replace(b"\x01", b"\x07")) and path,
}


def flagged(data: bytes, flag: int) -> bytes:
    changed = bytearray(data)
    changed[6] |= flag
    changed[changed.find(b"PK\1\2") + 8] |= flag
    return bytes(changed)


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_wheel_that_cannot_be_read_is_refused_with_bounded_memory(tmp_path: Path, make) -> None:
    path = make(tmp_path / "demo-1.0-py3-none-any.whl")
    begun = time.process_time()
    with pytest.raises(ValueError, match=r"."):
        metadata_of(path)
    assert time.process_time() - begun < 30
