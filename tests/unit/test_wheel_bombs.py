"""Wheels that are made to cost: refused, or read, in bounded time and memory; nothing is unpacked to a disk."""

from __future__ import annotations

import struct
import tempfile
import time
import tracemalloc
import zlib
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.fuzz.archives import Member, Model, honest, recorded, write

from buildthrough.builders import archived_file
from buildthrough.builders.archive import open_archive
from buildthrough.builders.archived_file import open_entry
from buildthrough.builders.faults import PackageFault
from buildthrough.builders.target import Environment
from buildthrough.builders.wheel import check_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENVIRONMENT = Environment(
    implementation="cp", python=(3, 11), abi="cp311", system="manylinux", system_version=(2, 36), arch="x86_64"
)
SECONDS = 60
"""Processor time, on a machine that does other things as well, with coverage measured: only what grows out of bounds
comes near."""
BYTES = 200 << 20


@contextmanager
def bounded(memory: int = BYTES) -> Iterator[None]:
    begun = time.process_time()
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - begun < SECONDS
    assert peak < memory


def refused(folder: Path, data: bytes) -> str:
    path = folder / "demo-1.0-py3-none-any.whl"
    path.write_bytes(data)
    with bounded(), pytest.raises(PackageFault) as caught:
        check_wheel(path, project="demo", version="1.0", environment=ENVIRONMENT)
    assert caught.value.line.isprintable()
    return caught.value.kind.removeprefix("output.")


def test_megabytes_behind_the_end_of_compressed_data(tmp_path: Path) -> None:
    """Python's zlib would collect them, and copy them for each piece that comes."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = deflate.compress(b"x") + deflate.flush() + bytes(64 << 20)
    lie = {"packed": len(packed), "size": 1, "method": 8, "crc": zlib.crc32(b"x")}
    member = Member("demo/x", packed, deflated=False, local=lie, central=lie)
    truly = honest({"demo/x": b"x"})  # so that RECORD is right
    members = tuple(member if each.name == member.name else each for each in truly.members)
    assert refused(tmp_path, write(replace(truly, members=members))) == "compression"


def test_a_directory_that_is_mostly_names(tmp_path: Path) -> None:
    members = tuple(Member(f"{number}/" + "n" * 250 + "/" + "m" * 250, b"", deflated=False) for number in range(40_000))
    assert refused(tmp_path, write(Model(members=members))) in {"too-large", "dist-info"}


def test_folders_in_folders(tmp_path: Path) -> None:
    members = tuple(Member(f"{number}/" + "d/" * 90 + "x", b"", deflated=False) for number in range(10_000))
    assert refused(tmp_path, write(Model(members=members))) == "too-many-files"


@pytest.mark.parametrize("count", [60_000, 2**32 - 2, 2**64 - 1])
def test_more_files_than_any_wheel_has(tmp_path: Path, count: int) -> None:
    data = write(replace(honest(), zip64=True))
    end = data.rindex(b"PK\6\6")
    told = struct.pack("<QQ", count, count)
    narrow = struct.pack("<HH", *[min(count, 0xFFFF)] * 2)
    changed = data[: end + 24] + told + data[end + 40 : -14] + narrow + data[-10:]
    assert refused(tmp_path, changed) == "too-many-files"


def test_sizes_that_add_up_to_more_than_there_is(tmp_path: Path) -> None:
    members = tuple(
        Member(f"demo/{number}", b"", local={"size": 0xFFFFFFFE}, central={"size": 0xFFFFFFFE}) for number in range(9)
    )
    assert refused(tmp_path, write(Model(members=members))) == "too-large"


def test_a_quine_of_overlapping_files(tmp_path: Path) -> None:
    """Every entry is the same megabytes."""
    big = Member("demo/big", bytes(1 << 20))
    lies = {
        "crc": zlib.crc32(bytes(1 << 20)),
        "size": 1 << 20,
        "packed": len(zlib.compress(bytes(1 << 20))) - 6,
        "offset": 0,
    }
    model = Model(members=(big, *(Member(f"demo/{n}", b"", central=lies) for n in range(1000))))
    assert refused(tmp_path, write(model)) in {"hidden-data", "local-header", "prepended"}


def test_machine_code_that_is_large_is_read_in_pieces_and_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file is made")

    for name in ("TemporaryFile", "NamedTemporaryFile", "mkstemp", "mkdtemp"):
        monkeypatch.setattr(tempfile, name, nowhere)
    monkeypatch.setattr(archived_file, "_HELD_BYTES", 1 << 20)
    head = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, 1 << 30, 1 << 30, 4096)
    dynamic = struct.pack("<IIQQQQQQ", 2, 4, 60 << 20, 60 << 20, 0, 64, 64, 8)
    table = struct.pack("<8Q", 1, 1, 5, 50 << 20, 10, 16, 0, 0)
    code = bytearray(64 << 20)
    code[: len(head + load + dynamic)] = head + load + dynamic
    code[60 << 20 : (60 << 20) + 64] = table
    code[50 << 20 : (50 << 20) + 16] = b"\0libelsewhere.so"[:15] + b"\0"
    tag = "cp311-cp311-manylinux_2_17_x86_64"
    wheel = f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n".encode()
    path = tmp_path / f"demo-1.0-{tag}.whl"
    path.write_bytes(write(recorded(honest({"demo/x.so": bytes(code)}, wheel=wheel))))
    del code
    with bounded(16 << 20), pytest.raises(PackageFault) as caught:
        check_wheel(path, project="demo", version="1.0", environment=ENVIRONMENT)
    assert caught.value.kind == "output.unearned-tag"
    assert "libelsewhere" in caught.value.line


def test_machine_code_cannot_be_read_backwards_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archived_file, "_HELD_BYTES", 0)
    path = tmp_path / "a.zip"
    path.write_bytes(write(Model(members=(Member("x", bytes(4 << 20)),))))
    with path.open("rb") as file:
        archive = open_archive(file, max_files=1, max_bytes=1 << 30)
        code = open_entry(archive, archive.entries[0])

        def read_back_and_forth() -> None:
            for number in range(99):
                code.seek((3 << 20) * (number % 2))
                code.read(10)

        with pytest.raises(ValueError, match="backwards"):
            read_back_and_forth()


def test_a_million_lines_of_record(tmp_path: Path) -> None:
    lines = b"".join(b"%d,sha256=%s,1\n" % (number, b"A" * 43) for number in range(300_000))
    model = honest()
    members = tuple(replace(each, content=lines) if each.name.endswith("/RECORD") else each for each in model.members)
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(write(replace(model, members=members)))
    begun = time.process_time()
    with pytest.raises(PackageFault) as caught:
        check_wheel(path, project="demo", version="1.0", environment=ENVIRONMENT)
    assert caught.value.kind == "output.not-in-record"
    assert time.process_time() - begun < SECONDS
