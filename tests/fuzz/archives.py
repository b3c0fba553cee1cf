# ruff: noqa: E501 # tables of values that mean harm read best with few lines
"""Zip archives whose every header may lie, made from a few changes to a sound wheel; and bytes that are damaged."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

INFO = "demo-1.0.dist-info"
TAG = "cp311-cp311-manylinux_2_17_x86_64"
METADATA = (
    b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Python: >=3.8\nRequires-Dist: other>=1\n\nText.\n"
)
WHEEL = b"Wheel-Version: 1.0\nGenerator: fuzz\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
LOCAL = ("signature", "needed", "flags", "method", "time", "date", "crc", "packed", "size", "name", "extra")
CENTRAL = (
    "signature", "made", "needed", "flags", "method", "time", "date", "crc", "packed", "size", "name", "extra", "comment",
    "disk", "internal", "external", "offset",
)  # fmt: skip
END = ("signature", "disk", "first", "here", "count", "size", "start", "comment")


@dataclass(frozen=True)
class Member:
    """A file of an archive, and what its headers say instead of the truth."""

    name: str
    content: bytes
    deflated: bool = True
    mode: int = 0o100644
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)
    extra: bytes = b""
    local_extra: bytes = b""
    gap: bytes = b""
    """Bytes in front of the local header."""
    absent: bool = False
    """Whether the central directory leaves it out."""


@dataclass(frozen=True)
class Model:
    """An archive to be written."""

    members: tuple[Member, ...]
    end: dict[str, Any] = field(default_factory=dict)
    before: bytes = b""
    between: bytes = b""
    after: bytes = b""
    comment: bytes = b""
    zip64: bool = False
    flips: tuple[tuple[float, int], ...] = ()
    """Places, as fractions of the whole, and what is added to the bytes there."""
    cut: float = 1.0
    sorted: bool = True
    """Whether the central directory has the order of the files."""


def honest(files: dict[str, bytes] | None = None, *, wheel: bytes = WHEEL, metadata: bytes = METADATA) -> Model:
    """Return a sound wheel's archive."""
    contents = {"demo/__init__.py": b"x = 1\n" * 20, "demo/data.txt": b"", **(files or {})}
    contents |= {f"{INFO}/METADATA": metadata, f"{INFO}/WHEEL": wheel}
    contents[f"{INFO}/RECORD"] = record(contents)
    return Model(members=tuple(Member(name, content) for name, content in contents.items()))


def record(contents: dict[str, bytes]) -> bytes:
    lines = []
    for path, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        quoted = '"' + path.replace('"', '""') + '"' if set(path) & set(',"\r\n') else path
        lines.append(f"{quoted},sha256={digest},{len(content)}\n")
    return ("".join(lines) + f"{INFO}/RECORD,,\n").encode("utf-8", "surrogatepass")


def recorded(model: Model) -> Model:
    """Return it with a RECORD that is true of its files."""
    contents = {each.name: each.content for each in model.members if not each.name.endswith(("/", "/RECORD"))}
    right = record(contents)
    members = tuple(replace(each, content=right) if each.name.endswith("/RECORD") else each for each in model.members)
    return replace(model, members=members)


def write(model: Model) -> bytes:  # one field after the other
    out = bytearray(model.before)
    directory = []
    for member in model.members:
        out += member.gap
        raw = member.name.encode("utf-8", "surrogatepass")
        packed = member.content
        if member.deflated:
            deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
            packed = deflate.compress(member.content) + deflate.flush()
        flags = 0 if raw.isascii() else 0x800
        method = 8 if member.deflated else 0
        truth = {
            "needed": 20, "made": 0x314, "flags": flags, "method": method, "time": 0, "date": 33, "crc": zlib.crc32(member.content),
            "packed": len(packed), "size": len(member.content), "name": len(raw), "comment": 0, "disk": 0, "internal": 0,
            "external": member.mode << 16, "offset": len(out),
        }  # fmt: skip
        local_raw = member.local.get("raw", raw)
        head = (
            truth | {"signature": 0x04034B50, "extra": len(member.local_extra), "name": len(local_raw)} | member.local
        )
        out += _packed("<L5H3L2H", LOCAL, head) + local_raw + member.local_extra + packed
        if not member.absent:
            central = truth | {"signature": 0x02014B50, "extra": len(member.extra)} | member.central
            directory.append(_packed("<L6H3L5H2L", CENTRAL, central) + raw + member.extra)
    out += model.between
    start = len(out)
    for each in directory if model.sorted else reversed(directory):
        out += each
    size, count = len(out) - start, len(directory)
    if model.zip64:
        where = len(out)
        out += struct.pack("<LQ2H2L4Q", 0x06064B50, 44, 45, 45, 0, 0, count, count, size, start)
        out += struct.pack("<LLQL", 0x07064B50, 0, where, 1)
    end = {
        "signature": 0x06054B50, "disk": 0, "first": 0, "here": count, "count": count, "size": size, "start": start,
        "comment": len(model.comment),
    }  # fmt: skip
    out += _packed("<L4H2LH", END, end | model.end) + model.comment + model.after
    for place, change in model.flips:
        if out:
            position = min(int(place * len(out)), len(out) - 1)
            out[position] = (out[position] + change) % 256
    return bytes(out[: int(len(out) * model.cut)])


def _packed(form: str, names: Sequence[str], values: dict[str, Any]) -> bytes:
    widths = struct.unpack(f"{len(names)}B", bytes(_widths(form)))
    return struct.pack(form, *(values[name] & ((1 << 8 * w) - 1) for name, w in zip(names, widths, strict=True)))


def _widths(form: str) -> list[int]:
    widths, number = [], ""
    for letter in form.lstrip("<"):
        if letter.isdigit():
            number += letter
            continue
        widths += [{"L": 4, "H": 2}[letter]] * int(number or 1)
        number = ""
    return widths


NAMES = st.sampled_from([
    "../evil", "/abs", "a\\b", "C:x", "demo/../x", "demo//x", "demo/./x", "demo/", "demo", "demo/__init__.py/x", "DEMO/__init__.py",
    "demo/\u0130", "demo/i\u0307", "demo/e\u0301", "demo/\xe9", "demo/a.", "demo/a ", "demo/a", "demo/con", "demo/nul.txt", "demo/a:b",
    "demo/\u200b", "demo/\u202e", "demo/\ufeff", "demo/a\nb", "demo/a\x00b", "demo/a\x1b[2J", "demo/" + "x" * 300, "d/" * 200 + "x",
    "demo-1.0.data/scripts/run", "demo-1.0.data/purelib/demo/__init__.py", "demo-1.0.data/purelib/demo/more.py",
    "demo-1.0.data/platlib/demo/more.py", "demo-1.0.data/data/bin/run", "demo-1.0.data/scripts/python", "demo-1.0.data/evil/x",
    "demo-1.0.data/x", "demo-2.0.data/scripts/x", "demo-1.0.data/../x", "demo-1.0.data/data/share/x", "demo-1.0.data/headers/x.h",
    f"{INFO}/entry_points.txt", f"{INFO}/INSTALLER", f"{INFO}/direct_url.json", f"{INFO}/RECORD.jws", f"{INFO}/RECORD.p7s",
    f"{INFO}/licenses/LICENSE", "evil-1.0.dist-info/METADATA", "Demo-1.0.dist-info/METADATA", "demo-1.0.DIST-INFO/x",
    f"{INFO}/METADATA", f"{INFO}/record", "sitecustomize.py", "x.pth", "pip/__init__.py", "demo,1.py", 'demo"1.py', "demo/\xff",
    "demo/\u212a", "demo/k", "demo/\uff41", "\ud800", "demo/\U000e0041", "a" * 255, "ss", "\xdf", "demo/\u3164", "demo/x\u034f",
])  # fmt: skip
CONTENTS = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([
        b"", b"\x7fELF", b"\x7fELF\2\1\1" + bytes(60), b"PK\3\4", bytes(1 << 16), b"[console_scripts]\nrun = demo:main\n",
        b"[console_scripts]\n../x = demo:main\n", b"[console_scripts]\npython = demo:main\n", b"#!python\nprint()\n",
    ]),
)  # fmt: skip
NUMBERS = st.one_of(
    st.sampled_from([0, 1, 2, 8, 9, 12, 14, 20, 45, 63, 64, 93, 95, 99, 0x7F, 0xFF, 0x100, 0x800, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF,
                     0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]),
    st.integers(0, 0xFFFFFFFF),
)  # fmt: skip
EXTRAS = st.one_of(
    st.binary(max_size=24),
    st.builds(lambda kind, data: struct.pack("<HH", kind, len(data)) + data,
              st.sampled_from([0x0001, 0x5455, 0x7875, 0x7075, 0x6375, 0x9901, 0xCAFE, 0x000A, 0x0017]), st.binary(max_size=32)),
    st.builds(lambda numbers: struct.pack(f"<HH{len(numbers)}Q", 1, 8 * len(numbers), *numbers),
              st.lists(st.integers(0, 2**64 - 1), max_size=4)),
)  # fmt: skip
HEADER_TEXT = st.sampled_from([
    b"Name: demo\n", b"Name: evil\n", b"Version: 1.0\n", b"Version: 1.0.0\n", b"Version: 1\n", b"Version: " + b"1" * 5000 + b"\n",
    b"Metadata-Version: 2.1\n", b"Metadata-Version: 9.9\n", b"\n", b" folded\n", b"junk\n", b"Requires-Python: >=3\n",
    b"Requires-Python: ===<script>\n", b"Requires-Python: >=" + b"9" * 5000 + b"\n", b"Requires-Dist: a; " + b"(" * 3000 + b"\n",
    b"Requires-Dist: a @ file:///etc\n", b"Requires-Dist: " + b"a" * 5000 + b"\n", b"\xff\xfe\n", b"\r", b"\x00\n", b"Name:\n",
    b"Summary: =?utf-8?q?=00?=\n", b'Description-Content-Type: text/x; charset="\n', b"Dynamic: name\n", b"Keywords: a,b\n",
    b"Wheel-Version: 1.0\n", b"Wheel-Version: 2.0\n", b"Root-Is-Purelib: false\n", b"Root-Is-Purelib: TRUE\n", b"Tag: py2-none-any\n",
    b"Tag: py3-none-any\n", b"Tag: cp311-cp311-linux_x86_64\n", b"Build: 1\n", b"Build: 1a\n", b"Tag: .-.-.\n", b"Author: \xc3\xa9\n",
    b"Project-URL: a, b\n", b"Provides-Extra: ..\n", b"License-Expression: MIT OR\n", b"License-File: ../../x\n", b"Import-Name: x\n",
])  # fmt: skip


@st.composite
def models(draw: st.DrawFn, base: Model | None = None) -> Model:
    """Draw a wheel with a few changes; about half of them keep a RECORD that is true of what the wheel holds."""
    model = base or honest()
    for _ in range(draw(st.integers(0, 3))):
        model = draw(st.sampled_from(_CHANGES))(draw, model)
    if draw(st.booleans()):
        model = recorded(model)
    if draw(st.integers(0, 3)) == 0:
        flips = draw(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=4))
        model = replace(model, flips=tuple(flips))
    return model


def _one(draw: st.DrawFn, model: Model, **changes: Any) -> Model:
    index = draw(st.integers(0, len(model.members) - 1))
    members = list(model.members)
    members[index] = replace(members[index], **changes)
    return replace(model, members=tuple(members))


def _added(draw: st.DrawFn, model: Model) -> Model:
    mode = draw(
        st.sampled_from(
            [0, 0o100644, 0o100755, 0o40755, 0o120777, 0o104755, 0o102755, 0o20666, 0o10644, 0o140644, 0o177777]
        )
    )
    member = Member(draw(NAMES), draw(CONTENTS), deflated=draw(st.booleans()), mode=mode)
    index = draw(st.integers(0, len(model.members)))
    return replace(model, members=(*model.members[:index], member, *model.members[index:]))


def _repeated(draw: st.DrawFn, model: Model) -> Model:
    member = draw(st.sampled_from(model.members))
    return replace(model, members=(*model.members, replace(member, content=draw(CONTENTS))))


def _removed(draw: st.DrawFn, model: Model) -> Model:
    if len(model.members) == 1:
        return model
    index = draw(st.integers(0, len(model.members) - 1))
    return replace(model, members=model.members[:index] + model.members[index + 1 :])


def _rewritten(draw: st.DrawFn, model: Model) -> Model:
    """Change the text of METADATA, WHEEL or RECORD by a line."""
    index = draw(st.integers(0, len(model.members) - 1))
    members = list(model.members)
    lines = members[index].content.splitlines(keepends=True)
    at = draw(st.integers(0, len(lines)))
    kept = lines[at + draw(st.integers(0, 1)) :]
    members[index] = replace(members[index], content=b"".join([*lines[:at], draw(HEADER_TEXT), *kept]))
    return replace(model, members=tuple(members))


def _ended(draw: st.DrawFn, model: Model) -> Model:
    return replace(model, end={**model.end, draw(st.sampled_from(END)): draw(NUMBERS)})


def _both(draw: st.DrawFn, model: Model) -> Model:
    """Let both headers tell the same lie."""
    name, value = draw(st.sampled_from(LOCAL[1:9])), draw(NUMBERS)
    return _one(draw, model, local={name: value}, central={name: value})


_CHANGES = (
    _both,
    _added,
    _added,
    _repeated,
    _removed,
    _rewritten,
    _rewritten,
    _ended,
    lambda draw, model: _one(draw, model, name=draw(NAMES)),
    lambda draw, model: _one(draw, model, deflated=draw(st.booleans())),
    lambda draw, model: _one(draw, model, local={draw(st.sampled_from(LOCAL)): draw(NUMBERS)}),
    lambda draw, model: _one(draw, model, central={draw(st.sampled_from(CENTRAL)): draw(NUMBERS)}),
    lambda draw, model: _one(draw, model, extra=draw(EXTRAS)),
    lambda draw, model: _one(draw, model, local_extra=draw(EXTRAS)),
    lambda draw, model: _one(draw, model, gap=draw(st.binary(max_size=8))),
    lambda draw, model: _one(draw, model, absent=True),
    lambda draw, model: _one(draw, model, local={"raw": draw(NAMES).encode("utf-8", "surrogatepass")}),
    lambda draw, model: replace(model, before=draw(st.binary(max_size=8))),
    lambda draw, model: replace(model, between=draw(st.binary(max_size=8))),
    lambda draw, model: replace(model, after=draw(st.binary(max_size=8))),
    lambda draw, model: replace(model, comment=draw(st.binary(max_size=8))),
    lambda _, model: replace(model, zip64=True),
    lambda _, model: replace(model, sorted=False),
    lambda draw, model: replace(model, cut=draw(st.floats(0, 1))),
)
