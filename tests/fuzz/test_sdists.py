# ruff: noqa: E501 # tables of values that mean harm read best with few lines
"""Sdists that are damaged or lie: unpacked below their folder, or refused as the package's fault.

A process of its own unpacks them, with a folder of the test for its root and, where that can be had, another user.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import os
import resource
import shutil
import stat
import struct
import sys
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from tests.fakes import uids
from tests.fuzz.archives import NAMES, NUMBERS, Member, Model, models, write
from tests.fuzz.fuzzing import fuzz

from buildthrough.builders.inside.dialogue import Fault
from buildthrough.builders.inside.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_BYTES = 8 << 20
KINDS = {"source.invalid", "source.unsafe", "limit.memory"}


class Unpacking:
    """A process that unpacks one archive after the other and tells what came of each."""

    def __init__(self, root: Path) -> None:
        ours, self._requests = os.pipe()
        self._answers, theirs = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._requests)
            os.close(self._answers)
            try:
                _serve(root, os.fdopen(ours, "rb"), os.fdopen(theirs, "wb"))
            finally:
                os._exit(0)
        os.close(ours)
        os.close(theirs)
        self._reader = os.fdopen(self._answers, "rb")

    def __call__(self, name: str, data: bytes) -> str:
        message = memoryview(struct.pack("<64sL", name.encode(), len(data)) + data)
        while message:
            message = message[os.write(self._requests, message) :]
        answer = self._reader.readline()
        assert answer, "the process that unpacks has died"
        told = json.loads(answer)
        assert "outside" not in told, told
        return told["kind"]

    def close(self) -> None:
        os.close(self._requests)
        os.waitpid(self._pid, 0)
        self._reader.close()


def _serve(root: Path, requests: Any, answers: Any) -> None:
    for encoding in ("cp437", "utf-8", "ascii", "iso8859-1"):
        codecs.lookup(encoding)  # their modules are not found later on
    os.chdir(root)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, 64 << 20))
    if os.geteuid() == 0:
        os.chroot(root)
        os.setgroups([])
        os.setresgid(uids.SANDBOX, uids.SANDBOX, uids.SANDBOX)
        os.setresuid(uids.SANDBOX, uids.SANDBOX, uids.SANDBOX)
    while head := requests.read(68):
        name, size = struct.unpack("<64sL", head)
        answers.write(json.dumps(_attempt(name.rstrip(b"\0").decode(), requests.read(size))).encode() + b"\n")
        answers.flush()


def _attempt(name: str, data: bytes) -> dict[str, object]:
    archive, folder = Path(name), Path("src")
    archive.write_bytes(data)
    told: dict[str, object] = {}
    try:
        top = unpack(archive, folder, MOST_BYTES)
        told["kind"] = "unpacked" if stat.S_ISDIR(top.lstat().st_mode) else "no folder"
    except Fault as fault:
        told["kind"] = fault.kind
    except BaseException as error:  # noqa: BLE001 # it is told to the test
        told["outside"] = f"raises {type(error).__name__}: {error}"
    kept = sum(path.lstat().st_size for path in folder.rglob("*") if stat.S_ISREG(path.lstat().st_mode))
    strange = [str(path) for path in folder.rglob("*") if not stat.S_IFMT(path.lstat().st_mode) & 0o160000]
    if kept > MOST_BYTES + (1 << 20) or strange or {path.name for path in Path().iterdir()} - {name, "src"}:
        told["outside"] = f"{kept} bytes, {strange}, {sorted(path.name for path in Path().iterdir())}"
    shutil.rmtree(folder, ignore_errors=True)
    archive.unlink()
    return told


@pytest.fixture
def unpacking(tmp_path: Path) -> Iterator[Unpacking]:
    root = tmp_path / "root"
    root.mkdir()
    if os.geteuid() == 0:
        os.chown(root, uids.SANDBOX, uids.SANDBOX)
        for each in (tmp_path, root):
            each.chmod(0o755)
    process = Unpacking(root)
    yield process
    process.close()


BELOW = st.sampled_from(
    [f"sample-1.0/{name}" for name in ("setup.py", "a", "a/b", "a/b/c", "d", "l", "l/x", "z", "caf\xe9", "é")]
)
TAR_NAMES = st.one_of(
    BELOW,
    BELOW,
    BELOW,
    NAMES.map(lambda name: f"sample-1.0/{name}"),
    st.sampled_from([
        "sample-1.0", "sample-1.0/", "sample-1.0/setup.py", "sample-1.0/a", "sample-1.0/a/b", "sample-1.0/a/b/c", "sample-1.0/l", "sample-1.0/l/x",
        "../out", "/out", "sample-1.0/../out", "sample-1.0/a/../../out", "other/x", "._sample-1.0", ".", "./sample-1.0/x", "sample-1.0/\udcff",
        "sample-1.0/" + "d/" * 500 + "x", "",
    ]),
)  # fmt: skip
TARGETS = st.sampled_from([
    "a", "..", "../..", "../../..", "/", "/src", "../out", "a/b", "l", "x", "", ".", "a/../..", "l/../..", "sample-1.0/setup.py",
    "sample-1.0/l", "/proc/self/environ", "\0", "x" * 5000, "\udcff",
])  # fmt: skip
TYPES = st.one_of(
    st.sampled_from([
        tarfile.REGTYPE, tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE,
        tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, b"Z",
    ]),
    st.binary(min_size=1, max_size=1),
)  # fmt: skip
PAX = st.dictionaries(
    st.sampled_from([
        "path", "linkpath", "size", "mtime", "uid", "GNU.sparse.map", "GNU.sparse.size", "GNU.sparse.major", "GNU.sparse.minor",
        "GNU.sparse.realsize", "GNU.sparse.name", "GNU.sparse.numblocks", "GNU.sparse.offset", "hdrcharset", "comment",
    ]),
    st.one_of(TARGETS, st.sampled_from([
        "1e300", "nan", "inf", "-1", "0", "1", "99999999999999999999", "1,2,3", "0,9223372036854775807", "BINARY", "x",
    ])).map(lambda text: text.replace("\0", "")),
    max_size=3,
)  # fmt: skip


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(
        fileobj=packed, mode="w", format=draw(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
    ) as out:
        for _ in range(draw(st.integers(0, 6))):
            info = tarfile.TarInfo(draw(TAR_NAMES))
            info.type, info.mode = draw(TYPES), draw(st.sampled_from([0o644, 0o755, 0, 0o7777]))
            content = draw(st.sampled_from([b"", b"x", b"print()\n", bytes(600), b"30 path=../out\n" + bytes(497)]))
            if info.type in {tarfile.LNKTYPE, tarfile.SYMTYPE}:
                info.linkname = draw(TARGETS)
            info.size = len(content) if draw(st.integers(0, 6)) else draw(NUMBERS)
            info.pax_headers = draw(PAX) if draw(st.booleans()) else {}
            with suppress(ValueError, UnicodeError, OSError):
                out.addfile(info, io.BytesIO(content.ljust(min(info.size, 1 << 20), b"\0")))
    data = bytearray(packed.getvalue())
    for place, value in draw(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=2)):
        data[int(place * (len(data) - 1))] = value
        if draw(st.booleans()):
            _mend(data, int(place * (len(data) - 1)) // 512 * 512)
    squeezed = bytearray(gzip.compress(bytes(data), mtime=0))
    if draw(st.integers(0, 9)) == 0:
        squeezed[draw(st.integers(0, len(squeezed) - 1))] ^= draw(st.integers(1, 255))
    return bytes(squeezed[: draw(st.integers(0, len(squeezed)))] if draw(st.integers(0, 9)) == 0 else squeezed)


def _mend(data: bytearray, start: int) -> None:
    """Make the checksum of a header right again."""
    header = data[start : start + 512]
    if len(header) == 512:
        header[148:156] = b"%06o\0 " % (sum(header[:148]) + 256 + sum(header[156:]))
        data[start : start + 512] = header


@pytest.mark.skipif(sys.platform != "linux", reason="needs a root of its own")
def test_tar_archives(unpacking: Unpacking) -> None:
    said = fuzz(lambda data: unpacking("sample-1.0.tar.gz", data), tars(), examples=1000)
    assert set(said) <= KINDS | {"unpacked"}
    assert min(said["unpacked"], said["source.unsafe"], said["source.invalid"]) > 10


@pytest.mark.skipif(sys.platform != "linux", reason="needs a root of its own")
def test_zip_archives(unpacking: Unpacking) -> None:
    base = Model(members=tuple(Member(f"sample-1.0/{name}", b"x = 1\n") for name in ("setup.py", "a/b.py", "a/c.py")))
    said = fuzz(lambda model: unpacking("sample-1.0.zip", write(model)), models(base), examples=600)
    assert set(said) <= KINDS | {"unpacked"}
    assert min(said["unpacked"], said["source.invalid"]) > 10
