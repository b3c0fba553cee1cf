"""A wheel is what was asked for, and means one thing only, or it is refused by its own class."""

from __future__ import annotations

import io
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes.wheels import make_entry, make_metadata, make_record, make_wheel, make_wheel_file

from buildthrough.builders.faults import PackageFault
from buildthrough.builders.target import Environment
from buildthrough.builders.wheel import check_wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from buildthrough.builders.artifact import CheckedWheel

ENVIRONMENT = Environment(
    implementation="cp", python=(3, 11), abi="cp311", system="manylinux", system_version=(2, 36), arch="x86_64"
)
INFO = "demo-1.0.dist-info"
BINARY = "cp311-cp311-manylinux_2_17_x86_64"
EXTENSION = "demo/_speed.cpython-311-x86_64-linux-gnu.so"


def check(path: Path, **limits: int) -> CheckedWheel:
    return check_wheel(path, project="demo", version="1.0", environment=ENVIRONMENT, **limits)


def refused(path: Path, **limits: int) -> str:
    with pytest.raises(PackageFault) as caught:
        check(path, **limits)
    assert caught.value.stage == "check"
    assert caught.value.line.isprintable()
    assert 0 < len(caught.value.line) <= 500
    return caught.value.kind


def elf(*, machine: int = 62) -> bytes:
    """Machine code that needs nothing: a header, no segments."""
    return b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 0, 0, 0, 64, 56, 0, 0, 0, 0)


def test_honest_wheel(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, requires=["other>=2"], requires_python=">=3.8")
    wheel = check(path)
    with zipfile.ZipFile(path) as archive:
        assert wheel.metadata == archive.read(f"{INFO}/METADATA")
    assert (wheel.filename, wheel.size, wheel.requires_python) == (path.name, path.stat().st_size, ">=3.8")
    assert wheel.warnings == ()


HONEST: dict[str, dict[str, Any]] = {
    "compressed tags": {"tag": "py2.py3-none-any"},
    "extension": {"tag": BINARY, "files": {EXTENSION: elf()}},
    "two platforms": {"tag": f"{BINARY}.manylinux2014_x86_64", "files": {EXTENSION: elf()}},
    "stable abi": {"tag": "cp38-abi3-manylinux_2_17_x86_64", "files": {EXTENSION: elf()}},
    "build tag": {"build": "2a"},
    "data folder": {"files": {"demo-1.0.data/scripts/run": "#!python\n", "demo.py": ""}},
    "no files but metadata": {"files": {}},
    "old spelling": {"dist_info": "Demo-1.0.dist-info", "filename": "Demo-1.0-py3-none-any.whl"},
    "comma and blank": {"files": {"demo/a, b.txt": "x"}},
    "accents": {"files": {"demo/café.txt": "x"}},
    "folder entry": {"entries": [(make_entry("demo/", attributes=0o040755 << 16), b"")]},
    "signature": {"entries": [(make_entry(f"{INFO}/RECORD.jws"), b"{}")]},
    "nested dist-info": {"files": {"demo/_vendor/six-1.0.dist-info/METADATA": "x"}},
    "binary data of another machine": {"tag": BINARY, "files": {EXTENSION: elf(), "demo/firmware.bin": elf(machine=8)}},
}


@pytest.mark.parametrize("arguments", HONEST.values(), ids=HONEST)
def test_accepts(tmp_path: Path, arguments: dict[str, Any]) -> None:
    assert check(make_wheel(tmp_path, **arguments)).warnings == ()


def entry(path: str, content: bytes = b"x", **how: int) -> dict[str, Any]:
    return {"entries": [(make_entry(path, **how), content)]}


HOSTILE: dict[str, tuple[str, dict[str, Any]]] = {
    "other project": ("name-mismatch", {"name": "evil"}),
    "other project in METADATA": ("name-mismatch", {"metadata": make_metadata(name="evil")}),
    "other version": ("version-mismatch", {"version": "1.1"}),
    "longer version": ("version-mismatch", {"version": "1.0.0"}),
    "local version": ("version-mismatch", {"version": "1.0+prx"}),
    "other version in METADATA": ("version-mismatch", {"metadata": make_metadata(version="1.0+prx")}),
    "no file name of a wheel": ("filename", {"filename": "demo-1.0.whl"}),
    "ESC in the file name": ("filename", {"filename": "demo-1.0-py3-none-any\x1b.whl"}),
    "climbs": ("path-traversal", entry("../evil.py")),
    "climbs later": ("path-traversal", entry("demo/../../evil.py")),
    "empty part": ("path-traversal", entry("demo//evil.py")),
    "absolute": ("absolute-path", entry("/etc/cron.d/evil")),
    "backslash": ("backslash", entry("..\\evil.py")),
    "drive letter": ("drive-letter", entry("C:evil.py")),
    "data traversal": ("path-traversal", entry("demo-1.0.data/scripts/../../../evil")),
    "unknown data key": ("data-key", {"files": {"demo-1.0.data/evil/x": ""}}),
    "data key without a file": ("data-key", {"files": {"demo-1.0.data/scripts": ""}}),
    "foreign data folder": ("data-folder", {"files": {"demo-2.0.data/scripts/x": ""}}),
    "long name": ("long-path", {"files": {f"demo/{'x' * 300}": ""}}),
    "not in RECORD": ("not-in-record", entry("demo/more.py")),
    "RECORD is no text": ("bad-record", {"record": b"\xff\xfe"}),
    "RECORD has two columns": ("bad-record", {"record": b"demo/__init__.py,sha256=x\n"}),
    "RECORD twice": ("bad-record", {"record": b"a,sha256=" + b"A" * 43 + b",0\n" + b"a,sha256=" + b"A" * 43 + b",0\n"}),
    "RECORD with md5": ("weak-record", {"record": b"demo/__init__.py,md5=AAAA,3\n"}),
    "RECORD without hash": ("weak-record", {"record": b"demo/__init__.py,,\n"}),
    "RECORD with half a hash": ("bad-record", {"record": b"demo/__init__.py,sha256=AAAA,3\n"}),
    "duplicate": ("duplicate", entry("demo/__init__.py")),
    "duplicate by case": ("case-duplicate", entry("demo/__INIT__.py")),
    "file and folder": ("duplicate", entry("demo/__init__.py/x")),
    "two dist-info": ("dist-info", entry("evil-1.0.dist-info/METADATA")),
    "other dist-info": ("dist-info", {"dist_info": "demo-1.1.dist-info"}),
    "dist-info without version": ("dist-info", {"dist_info": "demo.dist-info"}),
    "symlink": ("file-type", entry("demo/link", b"/etc/passwd", attributes=(stat.S_IFLNK | 0o777) << 16)),
    "device": ("file-type", entry("demo/null", b"", attributes=(stat.S_IFCHR | 0o666) << 16)),
    "setuid": ("setuid", entry("demo/run", attributes=(stat.S_IFREG | 0o4755) << 16)),
    "bzip2": ("compression", entry("demo/x", method=zipfile.ZIP_BZIP2)),
    "newline in a name": ("control-character", entry("demo/a\nb.py")),
    "ESC in a name": ("control-character", entry("demo/\x1b[31m.py")),
    "right to left": ("control-character", entry("demo/\u202eyp.exe")),
    "trailing bytes": ("trailing-bytes", {"change": lambda data: data + b"x"}),
    "prepended": ("prepended", {"change": lambda data: b"#!/bin/sh\n" + data}),
    "no zip": ("not-a-zip", {"change": lambda _: b"<html>" * 100}),
    "empty": ("not-a-zip", {"change": lambda _: b""}),
    "cut": ("not-a-zip", {"change": lambda data: data[: len(data) // 2]}),
    "tags differ": ("tag-mismatch", {"wheel": make_wheel_file("py2-none-any")}),
    "fewer tags": ("tag-mismatch", {"tag": "py2.py3-none-any", "wheel": make_wheel_file("py3-none-any")}),
    "build differs": ("build-mismatch", {"build": "1", "wheel": make_wheel_file(build="2")}),
    "build only in WHEEL": ("build-mismatch", {"wheel": make_wheel_file(build="2")}),
    "WHEEL of the future": ("bad-wheel-file", {"wheel": b"Wheel-Version: 2.0\nTag: py3-none-any\n"}),
    "WHEEL without a root": ("bad-wheel-file", {"wheel": b"Wheel-Version: 1.0\nTag: py3-none-any\n"}),
    "WHEEL is no text": ("bad-wheel-file", {"wheel": b"\xff"}),
    "linux tag": ("linux-tag", {"tag": "cp311-cp311-linux_x86_64"}),
    "linux tag among others": ("linux-tag", {"tag": f"{BINARY}.linux_x86_64"}),
    "other Python": ("bad-tags", {"tag": "cp312-cp312-manylinux_2_17_x86_64"}),
    "newer libc": ("bad-tags", {"tag": "cp311-cp311-manylinux_2_99_x86_64"}),
    "machine code for any": ("not-any", {"files": {EXTENSION: elf()}}),
    "machine code in purelib": (
        "purelib",
        {"tag": BINARY, "files": {EXTENSION: elf()}, "wheel": make_wheel_file(BINARY, purelib=True)},
    ),
    "machine code of another machine": ("wrong-machine", {"tag": BINARY, "files": {EXTENSION: elf(machine=183)}}),
    "malformed machine code": ("bad-elf", {"tag": BINARY, "files": {EXTENSION: b"\x7fELF" + b"\xff" * 200}}),
    "METADATA is no text": ("bad-metadata", {"metadata": make_metadata() + b"\xff"}),
    "METADATA without a name": ("bad-metadata", {"metadata": b"Metadata-Version: 2.1\nVersion: 1.0\n"}),
    "METADATA with two names": ("bad-metadata", {"metadata_extra": "Name: demo"}),
    "METADATA without its version": ("bad-metadata", {"metadata": b"Name: demo\nVersion: 1.0\n"}),
    "Requires-Dist is none": ("bad-requirement", {"metadata_extra": "Requires-Dist: a b c"}),
    "Requires-Python is none": ("bad-metadata", {"requires_python": "three"}),
    "Requires-Python is markup": ("bad-metadata", {"requires_python": "===<script>"}),
    "Requires-Python is long": ("bad-metadata", {"requires_python": ",".join([">=3.8"] * 500)}),
    "Requires-Python has thousands of digits": ("bad-metadata", {"requires_python": ">=" + "9" * 5000}),
    "a version of thousands of digits": ("bad-metadata", {"metadata": make_metadata(version="1" * 5000)}),
    "tags that stand for a million": (
        "tag-mismatch",
        {"wheel": make_wheel_file("py3-none-any") + b"Tag: " + b"-".join([b".".join([b"a", b"b"] * 50)] * 3) + b"\n"},
    ),
    "WHEEL with a line that is no field": ("bad-wheel-file", {"wheel": make_wheel_file() + b"and more\n"}),
    "duplicate by accents": ("case-duplicate", {"files": {"demo/caf\xe9": "", "demo/cafe\u0301": ""}}),
    "duplicate by a dot at the end": ("case-duplicate", entry("demo/__init__.py.")),
    "duplicate by letters that nobody sees": ("case-duplicate", entry("demo/__init__\u3164.py")),
    "invisible": ("control-character", entry("demo/\u200b.py")),
    "folders too deep": ("long-path", entry("d/" * 120 + "x")),
    "two files at one place": ("duplicate", {"files": {"demo/a": "", "demo-1.0.data/purelib/demo/a": ""}}),
    "a script that climbs": ("script", {"files": {f"{INFO}/entry_points.txt": "[console_scripts]\n../x = a:b\n"}}),
    "machine code of four bytes": ("bad-elf", {"files": {"demo/x": b"\x7fELF"}}),
}


@pytest.mark.parametrize(("word", "arguments"), HOSTILE.values(), ids=HOSTILE)
def test_refuses(tmp_path: Path, word: str, arguments: dict[str, Any]) -> None:
    assert refused(make_wheel(tmp_path, **arguments)) == f"output.{word}"


def test_wrong_hash_in_record(tmp_path: Path) -> None:
    with zipfile.ZipFile(make_wheel(tmp_path)) as archive:
        contents = {name: archive.read(name) for name in archive.namelist() if not name.endswith("RECORD")}
    record = make_record({**contents, "demo/__init__.py": b"other"}, f"{INFO}/RECORD")
    assert refused(make_wheel(tmp_path, record=record)) == "output.record-hash"


def test_ghost_in_record(tmp_path: Path) -> None:
    with zipfile.ZipFile(make_wheel(tmp_path)) as archive:
        contents = {name: archive.read(name) for name in archive.namelist() if not name.endswith("RECORD")}
    record = make_record({**contents, "demo/ghost.py": b""}, f"{INFO}/RECORD")
    assert refused(make_wheel(tmp_path, record=record)) == "output.record-ghost"


def rewritten(find: bytes, put: bytes, *, last: bool = False) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        position = data.rfind(find) if last else data.find(find)
        assert position >= 0
        return data[:position] + put + data[position + len(find) :]

    return change


def local(offset: int, value: bytes) -> Callable[[bytes], bytes]:
    """Change a field of the first local header."""
    return lambda data: data[:offset] + value + data[offset + len(value) :]


MANGLED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "local header names another file": ("local-header", rewritten(b"demo/__init__.py", b"demo/__evil__.py")),
    "central directory names another file": (
        "local-header",
        rewritten(b"demo/__init__.py", b"demo/__evil__.py", last=True),
    ),
    "local header says another size": ("local-header", local(22, struct.pack("<L", 7))),
    "local header says another checksum": ("local-header", local(14, struct.pack("<L", 7))),
    "data descriptor in the local header only": ("local-header", local(6, struct.pack("<H", 8))),
    "local header is none": ("local-header", local(0, b"PK\7\x08")),
    "size promised by a zip64 field that is missing": ("zip64", local(22, b"\xff" * 4)),
    "end record counts wrongly": ("not-a-zip", lambda data: data[:-14] + b"\x09\0" + data[-12:]),
    "end record with a comment": ("trailing-bytes", lambda data: data[:-2] + b"\1\0x"),
    "end record points elsewhere": ("prepended", lambda data: data[:-6] + b"\1\0\0\0" + data[-2:]),
}


@pytest.mark.parametrize(("word", "change"), MANGLED.values(), ids=MANGLED)
def test_one_meaning_only(tmp_path: Path, word: str, change: Callable[[bytes], bytes]) -> None:
    assert refused(make_wheel(tmp_path, change=change)) == f"output.{word}"


def test_bytes_between_the_entries(tmp_path: Path) -> None:
    def change(data: bytes) -> bytes:
        start = struct.unpack("<L", data[-6:-2])[0]
        return data[:start] + b"hidden" + data[start:-6] + struct.pack("<L", start + 6) + data[-2:]

    assert refused(make_wheel(tmp_path, change=change)) == "output.hidden-data"


def test_data_descriptors(tmp_path: Path) -> None:
    class Stream(io.RawIOBase):
        """What cannot seek gets the sizes after the data."""

        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += data
            return len(data)

    path = make_wheel(tmp_path)
    stream = Stream()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(stream, "w") as copy:
        for name in source.namelist():
            copy.writestr(name, source.read(name))
    path.write_bytes(stream.data)
    assert refused(path) == "output.data-descriptor"


def test_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    bomb = bytes(50 << 20)

    def change(data: bytes) -> bytes:
        true, lie = struct.pack("<LL", zlib.crc32(bomb), 0)[:4], struct.pack("<L", 10)
        assert data.count(struct.pack("<L", len(bomb))) == 2
        assert true in data
        return data.replace(struct.pack("<L", len(bomb)), lie)

    path = make_wheel(tmp_path, files={"demo/zeros": bomb}, change=change)
    assert refused(path) == "output.size"


def test_limits(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, files={"demo/zeros": bytes(1 << 20)})
    assert refused(path, max_bytes=1 << 20) == "output.too-large"
    assert refused(path, max_archive_bytes=100) == "output.too-large"
    assert refused(path, max_files=3) == "output.too-many-files"
    assert check(path, max_files=4, max_bytes=2 << 20)


def test_checksum_of_the_archive(tmp_path: Path) -> None:
    files = {"demo/__init__.py": b"x"}
    crc = struct.pack("<L", zlib.crc32(b"x"))
    path = make_wheel(tmp_path, files=files, change=lambda data: data.replace(crc, b"\1\2\3\4"))
    assert refused(path) == "output.checksum"


def test_zip64(tmp_path: Path) -> None:
    """Writers that do not know the size beforehand reserve 64 bits for it. That is their right."""
    path = make_wheel(tmp_path)
    with zipfile.ZipFile(path) as source:
        contents = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(content)
    assert check(path)


def test_tells_what_is_untidy_in_its_metadata(tmp_path: Path) -> None:
    (remark,) = check(make_wheel(tmp_path, metadata_extra="License-File: LICENSE")).warnings
    assert "license-file" in remark


def compiled(folder: Path, source: str, *options: str) -> bytes:
    code = folder / "code.c"
    code.write_text(source)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", folder / "code.so", code, *options], check=True)
    return (folder / "code.so").read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="compiles for Linux")
class TestEarnedTag:
    def test_more_of_libc_than_promised(self, tmp_path: Path) -> None:
        # arc4random came with glibc 2.36.
        content = compiled(tmp_path, "unsigned arc4random(void); unsigned f(void) { return arc4random(); }")
        files = {EXTENSION: content}
        assert refused(make_wheel(tmp_path, tag=BINARY, files=files)) == "output.unearned-tag"
        assert check(make_wheel(tmp_path, tag="cp311-cp311-manylinux_2_36_x86_64", files=files))

    def test_glibc_in_a_wheel_for_musl(self, tmp_path: Path) -> None:
        content = compiled(tmp_path, "int puts(char*); void f(void) { puts(0); }")
        path = make_wheel(tmp_path, tag="cp311-cp311-musllinux_1_2_x86_64", files={EXTENSION: content})
        musl = Environment(
            implementation="cp", python=(3, 11), abi="cp311", system="musllinux", system_version=(1, 2), arch="x86_64"
        )
        with pytest.raises(PackageFault) as caught:
            check_wheel(path, project="demo", version="1.0", environment=musl)
        assert caught.value.kind == "output.unearned-tag"

    def test_library_of_its_own_and_of_nobody(self, tmp_path: Path) -> None:
        library = compiled(tmp_path, "int g(void) { return 1; }", "-Wl,-soname,libown.so.1")
        (tmp_path / "libown.so.1").write_bytes(library)
        user = compiled(tmp_path, "int g(void); int f(void) { return g(); }", str(tmp_path / "libown.so.1"))
        tag = "cp311-cp311-manylinux_2_36_x86_64"
        assert refused(make_wheel(tmp_path, tag=tag, files={EXTENSION: user})) == "output.unearned-tag"
        assert check(make_wheel(tmp_path, tag=tag, files={EXTENSION: user, "demo.libs/libown.so.1": library}))


def test_machine_code_whose_version_records_never_end(tmp_path: Path) -> None:
    """A record that follows itself, and says that it has 65535 details: the work stays bounded."""
    header = struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, 1 << 16, 1 << 16, 4096)
    dynamic = struct.pack("<IIQQQQQQ", 2, 4, 0x200, 0x200, 0, 80, 80, 8)
    table = struct.pack("<10Q", 5, 0x400, 10, 16, 0x6FFFFFFE, 0x500, 0x6FFFFFFF, 1, 0, 0)
    content = bytearray(1 << 16)
    content[:16] = b"\x7fELF\2\1\1" + bytes(9)
    content[16:64], content[64:176], content[0x200:0x250] = header, load + dynamic, table
    content[0x500:0x510] = struct.pack("<HHIII", 1, 0xFFFF, 1, 16, 0xFFFFFFFF)
    content[0x510:0x520] = struct.pack("<IHHII", 0, 0, 0, 1, 0)
    content[0x50C:0x510] = struct.pack("<I", 0)
    assert check(make_wheel(tmp_path, tag=BINARY, files={EXTENSION: bytes(content)}))
    content[0x50C:0x510] = struct.pack("<I", 0x10)
    content[0x510:0x520] = struct.pack("<HHIII", 1, 0xFFFF, 1, 0, 0)
    assert check(make_wheel(tmp_path, tag=BINARY, files={EXTENSION: bytes(content)}))


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_are_refused(tmp_path: Path, seed: int) -> None:
    """Whatever is damaged, the answer is a class of fault, never another exception."""
    path = make_wheel(tmp_path, files={"demo/__init__.py": "x = 1\n" * 50})
    data = bytearray(path.read_bytes())
    for step in range(3):
        data[(seed * 7919 + step * 104729) % len(data)] ^= 1 + (seed % 255)
    path.write_bytes(data)
    with pytest.raises(PackageFault):
        check(path)
