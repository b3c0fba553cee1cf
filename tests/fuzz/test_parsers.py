# ruff: noqa: E501 # tables of values that mean harm read best with few lines
"""Machine code, messages and texts of a stranger: each reader answers, or raises its one kind of error, quickly."""

from __future__ import annotations

import io
import json
import struct
import unicodedata
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from tests.fuzz.archives import HEADER_TEXT, METADATA
from tests.fuzz.fuzzing import fuzz

from buildthrough.builders import archived_file
from buildthrough.builders.archive import open_archive
from buildthrough.builders.build_log import BuildLog, plain_line, plain_text
from buildthrough.builders.core_metadata import read_fields
from buildthrough.builders.diagnosis import diagnose
from buildthrough.builders.elf import parse_elf
from buildthrough.builders.faults import PackageFault
from buildthrough.builders.imports import judge_all
from buildthrough.builders.layout import check_entry_points
from buildthrough.builders.messages import read_message
from buildthrough.builders.metadata_check import check_metadata
from buildthrough.builders.record import check_record, read_record
from buildthrough.builders.sandbox import DialogueError

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

WORDS = st.one_of(st.sampled_from([0, 1, 2, 5, 10, 0x10, 0x40, 0x200, 0x400, 0x500, 0xFFFF, 0x10000, 0x6FFFFFFE, 0x6FFFFFFF,
                                   0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**62, 2**63 - 1, 2**63, 2**64 - 1]), st.integers(0, 2**64 - 1))  # fmt: skip
HALVES = WORDS.map(lambda number: number & 0xFFFF)


@st.composite
def machine_code(draw: st.DrawFn) -> bytes:
    """Draw an ELF file with program headers, a dynamic section, strings and version records, some of which lie."""

    def lie(truth: int, bits: int = 64) -> int:
        return draw(WORDS) & ((1 << bits) - 1) if draw(st.integers(0, 12)) == 0 else truth

    strings = b"\0libc.so.6\0GLIBC_2.17\0GLIBCXX_3.4.9\0libx.so\0"
    content = bytearray(0x800)
    content[:16] = b"\x7fELF" + bytes([lie(2, 8) % 4, lie(1, 8) % 4, 1]) + bytes(9)
    head = (3, lie(62, 16), 1, 0, lie(64), 0, 0, 64, lie(56, 16), lie(2, 16), 0, 0, 0)
    content[16:64] = struct.pack("<HHIQQQIHHHHHH", *head)
    load = (1, 4, lie(0), lie(0), 0, lie(0x800), 0x800, 4096)
    dynamic = (lie(2, 32), 4, lie(0x200), 0x200, 0, lie(0x100), 0x100, 8)
    content[64:176] = struct.pack("<IIQQQQQQ", *load) + struct.pack("<IIQQQQQQ", *dynamic)
    table = [1, lie(1), 1, lie(35), 5, lie(0x400), 10, lie(len(strings)), 0x6FFFFFFE, lie(0x500), 0, 0]
    content[0x200 : 0x200 + 8 * len(table)] = struct.pack(f"<{len(table)}Q", *table)
    content[0x400 : 0x400 + len(strings)] = strings
    content[0x500:0x510] = struct.pack("<HHIII", 1, lie(2, 16), lie(1, 32), lie(16, 32), lie(0, 32))
    content[0x510:0x520] = struct.pack("<IHHII", 0, 0, 0, lie(11, 32), lie(16, 32))
    content[0x520:0x530] = struct.pack("<IHHII", 0, 0, 0, lie(22, 32), lie(0, 32))
    for place, value in draw(st.lists(st.tuples(st.integers(0, 0x7FF), st.integers(0, 255)), max_size=4)):
        content[place] = value
    return bytes(content[: draw(st.integers(0, 0x800))] if draw(st.integers(0, 5)) == 0 else content)


def outcome(read: Any) -> object:
    try:
        return read()
    except (ValueError, struct.error) as error:
        return type(error).__mro__[-3]


def test_machine_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read out of an archive in pieces is what is read out of memory."""
    monkeypatch.setattr(archived_file, "_HELD_BYTES", 0)
    path = tmp_path / "a.zip"

    def read(content: bytes) -> str:
        in_memory = outcome(lambda: parse_elf(io.BytesIO(content)))
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo("a.so"), content)
        with path.open("rb") as file:
            opened = open_archive(file, max_files=1, max_bytes=1 << 20)
            in_pieces = outcome(lambda: parse_elf(archived_file.open_entry(opened, opened.entries[0])))
        assert in_pieces == in_memory or isinstance(in_pieces, type)
        return "malformed" if isinstance(in_memory, type) else "read"

    said = fuzz(read, machine_code(), examples=1000)
    assert said["read"] > 50
    assert said["malformed"] > 50


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["stage", "requires", "wheel", "fault", "build", "hook", "driver", "a-1-py3-none-any.whl", "../a.whl"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip
REQUIREMENTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from([
        "setuptools", "a>=1", "x @ file:///etc/passwd", "-r/etc/passwd", "a; python_version > '3'", "a; " + "(" * 900, "a>=" + "9" * 990,
        "a; os_name == '\x1b[2J'", "a[" + "b," * 400 + "c]", "a\nb", "\ud800", "a; os_name == '\ud800'", "a === \u202e", "a===" + "x" * 900,
        "a; extra in 'b'", "a ~= 1", "a (>=1)", "a;" + "os_name=='a' and " * 50 + "os_name=='a'",
    ]),
)  # fmt: skip
MESSAGES = st.one_of(
    st.fixed_dictionaries({"t": st.just("requires"), "list": st.lists(REQUIREMENTS | JSON, max_size=5)}),
    st.fixed_dictionaries({"t": st.just("wheel"), "name": st.text(max_size=30).map(lambda name: name + ".whl"), "size": JSON}),
    st.fixed_dictionaries({"t": st.just("stage"), "stage": JSON}),
    st.fixed_dictionaries({"t": st.just("told"), "source_date_epoch": JSON | st.integers(), "toolchain": st.dictionaries(st.text(), JSON)}),
    st.fixed_dictionaries({
        "t": st.just("fault"), "kind": st.sampled_from(["hook", "driver", "output.none", "infra.disk"]),
        "stage": st.sampled_from(["build", "repair", "x"]), "line": st.text(max_size=600),
    }),
    st.dictionaries(st.sampled_from(["t", "stage", "list", "name", "size", "kind", "line"]), JSON),
)  # fmt: skip


def test_messages() -> None:
    """Whatever a driver says is read as one of four messages, or refused; nothing in it can act on a terminal."""

    def read(message: dict[str, Any]) -> str:
        with suppress(ValueError):  # what JSON cannot say never comes
            message = json.loads(json.dumps(message, allow_nan=False))
        try:
            return f"{type(read_message(message)).__name__} {check_plain(repr(read_message(message)))}"
        except DialogueError:
            return "no message"
        except PackageFault as fault:
            return f"refused {check_plain(fault.line)}"

    said = fuzz(read, MESSAGES, examples=1000)
    assert said["no message"] > 20


def check_plain(text: str) -> str:
    assert {unicodedata.category(char) for char in text} & {"Cc", "Cf", "Cs", "Zl", "Zp"} == set(), ascii(text)
    assert len(text) < 10_000
    return ""


TEXTS = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from([
            "\x1b[2J", "\x1b]52;c;AAAA\x07", "\u202e", "\r", "\r\n", "\b" * 5, "\0", "<script>", "\x9b31m", "\u2028", "\U000e0041", "\ud800",
            "\ufeff", "a" * 500, "\n", "error: ", "fatal error: x.h: No such file or directory", "\x85", "\v", "\u00ad", "==> build: ",
            "\ufffd", "\u061c", "\u2066",
        ])
    ).map("".join),
)  # fmt: skip


def test_texts() -> None:
    """No character that a log shows moves, hides or reorders others."""

    def read(text: str) -> str:
        log = BuildLog()
        for shown in (plain_text(text), log.output(text.encode("utf-8", "surrogatepass")), log.text()):
            assert all(
                char in "\n\t" or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in shown
            ), ascii(shown)
            shown.encode()
        assert plain_line(text).isprintable() or any(unicodedata.category(char) in {"Cn", "Co", "Zs"} for char in text)
        assert len(plain_line(text)) <= 500
        kind, line = diagnose("build", log.text())
        assert len(line) <= 500
        return kind

    fuzz(read, TEXTS, examples=1000)


FIELDS = st.lists(st.one_of(HEADER_TEXT, st.binary(max_size=30), st.just(METADATA)), max_size=8).map(b"".join)


def test_core_metadata() -> None:
    def read(content: bytes) -> str:
        try:
            read_fields(content)
        except ValueError:
            return "refused"
        return "read"

    fuzz(read, FIELDS, examples=500)


def test_metadata_of_built_wheels() -> None:
    def check(content: bytes) -> str:
        try:
            _, remarks = check_metadata(content, project="demo", version="1.0")
        except PackageFault as fault:
            return fault.kind
        assert len(remarks) <= 20
        assert all(remark.isprintable() and len(remark) <= 200 for remark in remarks)
        return "untidy" if remarks else "valid"

    fuzz(check, FIELDS, examples=500)


ROWS = st.lists(
    st.sampled_from([
        b"demo/__init__.py,sha256=" + b"A" * 43 + b",1\n", b"a,sha512=x,\n", b'"a,b",sha256=' + b"A" * 43 + b",\n", b'"', b",,\n", b"\r",
        b"a,md5=x,1\n", b"demo-1.0.dist-info/RECORD,,\n", b"\n", b"\0", b"\xff", b"a,sha256=" + b"A" * 43 + b",1_0\n", b"a" * 200_000,
        b"a,sha256=====,1\n", b"a,sha256=\xc3\xa9,1\n", b"a,b,c,d\n", b"../x,sha256=" + b"_" * 43 + b"," + b"9" * 5000 + b"\n",
    ]) | st.binary(max_size=20)
).map(b"".join)  # fmt: skip


def test_records() -> None:
    unhashed = frozenset({"demo-1.0.dist-info/RECORD"})

    def read(content: bytes) -> str:
        try:
            check_record(read_record(content, unhashed=unhashed), ["demo/__init__.py"], unhashed=unhashed)
        except PackageFault as fault:
            check_plain(fault.line)
            return fault.kind
        return "sound"

    fuzz(read, ROWS, examples=500)


LINES = st.lists(
    st.sampled_from([
        b"[console_scripts]\n", b"[gui_scripts]\n", b"[other]\n", b"run = demo:main\n", b"  indented = a:b\n", b"../x = a:b\n", b"= a:b\n",
        b"[", b"]\n", b"#\n", b"\r\n", b"\xff", b"python = a:b\n", b"a = b\n", b"a = b:c [x, y]\n", b"\0", b"a" * 5000 + b" = b:c\n",
    ]) | st.binary(max_size=20)
).map(b"".join)  # fmt: skip


def test_entry_points() -> None:
    def read(content: bytes) -> str:
        try:
            check_entry_points(content)
        except PackageFault as fault:
            check_plain(fault.line)
            return fault.kind
        return "sound"

    fuzz(read, LINES, examples=500)


RESULTS = st.lists(
    st.fixed_dictionaries(
        {"module": st.just("demo")},
        optional={
            "imported": JSON, "late": JSON, "type": JSON | st.sampled_from(["ImportError", "ModuleNotFoundError", "\x1b[2J"]),
            "line": JSON | TEXTS, "ended": JSON | st.integers(), "missing": JSON | TEXTS, "environ": JSON, "trace": JSON, "files": JSON,
        },
    ),
    min_size=1, max_size=3,
)  # fmt: skip


def test_results_of_imports() -> None:
    """What is recorded of an import is short, plain text."""

    def read(results: list[dict[str, Any]]) -> str:
        found = judge_all(results, ["demo"], unchecked="", dependencies=())
        for one in found.modules:
            assert len(one.line) <= 500
            assert len(one.kind) <= 40
            check_plain(one.line)
        return found.verdict

    fuzz(read, RESULTS, examples=500)
