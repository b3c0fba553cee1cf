# tables of cases read best with few lines
"""Cases 72 to 106 of docs/hostile-sdists.md: what a build hands out is taken for a stranger's bytes."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.fakes.wheels import make_entry, make_wheel
from tests.fuzz.archives import Member, Model, write
from tests.sandbox.outside import Outside, traps
from tests.sandbox.workbench import Workbench, package, workbench

from buildthrough.builders.faults import PackageFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fakes.sdists import Sdist

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a build a user of its own")
NAME = "sample-1.0-py3-none-any.whl"
INFO = "sample-1.0.dist-info"
DATA = "sample-1.0.data"
REGULAR = 0o100644


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    with workbench() as bench:
        yield bench


@pytest.fixture(scope="module")
def outside(bench: Workbench) -> Iterator[Outside]:
    with traps(bench.folder / "traps") as outside:
        yield outside


def hands_out(wheel: bytes = b"", *, how: str = "bytes", **more: object) -> Sdist:
    told = {"how": how, **more}
    return package("hands-out", more={"wheel.bin": wheel, "how.json": json.dumps(told).encode()})


def wheel_of(folder: Path, **arguments: object) -> bytes:
    return make_wheel(folder, **{"name": "sample", "files": {"sample.py": "x = 1\n"}, **arguments}).read_bytes()


def extra(path: str, content: bytes = b"x", mode: int = REGULAR) -> Callable[[Path], bytes]:
    return lambda folder: wheel_of(folder, entries=[(make_entry(path, attributes=mode << 16), content)])


def listed(path: str, content: str = "x") -> Callable[[Path], bytes]:
    return lambda folder: wheel_of(folder, files={"sample.py": "", path: content})


def changed(change: Callable[[bytes], bytes]) -> Callable[[Path], bytes]:
    return lambda folder: wheel_of(folder, change=change)


def modelled(change: Callable[[Model], Model]) -> Callable[[Path], bytes]:
    """Take an honest wheel apart and write it again with headers that lie."""

    def make(folder: Path) -> bytes:
        with zipfile.ZipFile(make_wheel(folder, name="sample", files={"sample.py": "x = 1\n"})) as archive:
            members = tuple(Member(name, archive.read(name)) for name in archive.namelist())
        return write(change(Model(members=members)))

    return make


def first(**changes: object) -> Callable[[Model], Model]:
    return lambda model: replace(model, members=(replace(model.members[0], **changes), *model.members[1:]))


def metadata(text: str) -> Callable[[Path], bytes]:
    return lambda folder: wheel_of(folder, metadata=text.encode())


HEAD = "Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n"
BYTES: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "72 another project": ("dist-info", lambda folder: wheel_of(folder, name="evil")),
    "73 METADATA of another project": ("name-mismatch", metadata(HEAD.replace("sample", "evil"))),
    "74 another version": ("version-mismatch", metadata(HEAD.replace("1.0", "1.1"))),
    "75 climbs": ("path-traversal", extra("../evil.py")),
    "76 an absolute path": ("absolute-path", extra("/etc/cron.d/evil")),
    "77 a backslash": ("backslash", extra("..\\evil.py")),
    "78 a drive letter": ("drive-letter", extra("C:evil.py")),
    "79 climbs out of .data": ("path-traversal", extra(f"{DATA}/scripts/../../../evil")),
    "80 an unknown .data key": ("data-key", listed(f"{DATA}/evil/x")),
    "81 a file not in RECORD": ("not-in-record", extra("sample/more.py")),
    "82 a wrong hash": (
        "record-hash",
        lambda folder: wheel_of(folder, change=lambda data: data, record=wrong_record()),
    ),
    "83 a ghost in RECORD": (
        "record-ghost",
        lambda folder: wheel_of(folder, record=right_record(folder) + b"ghost.py,sha256=" + b"A" * 43 + b",0\n"),
    ),
    "84 a file twice": ("duplicate", extra("sample.py")),
    "85 twice but for case": ("case-duplicate", extra("SAMPLE.py")),
    "85 twice but for the way to write an accent": (
        "case-duplicate",
        lambda folder: wheel_of(folder, files={"caf\xe9.py": "", "cafe\u0301.py": ""}),
    ),
    "85 twice but for a dot at the end": ("case-duplicate", extra("sample.py.")),
    "85 twice by way of .data": ("duplicate", listed(f"{DATA}/purelib/sample.py")),
    "86 two dist-info folders": ("dist-info", extra("evil-1.0.dist-info/METADATA")),
    "86 another's dist-info by way of .data": ("dist-info", listed(f"{DATA}/purelib/evil-1.0.dist-info/METADATA")),
    "87 a symbolic link": ("file-type", extra("link", b"/etc/passwd", 0o120777)),
    "88 a setuid bit": ("setuid", extra("run", b"", 0o104755)),
    "89 a zip bomb of 1 GB that admits it": ("too-large", lambda _: bomb(3 << 30)),
    "89 a zip bomb that lies about its size": (
        "size",
        modelled(first(content=bytes(64 << 20), local={"size": 9}, central={"size": 9})),
    ),
    "90 bytes after the archive": ("trailing-bytes", changed(lambda data: data + b"x")),
    "90 a comment": ("trailing-bytes", modelled(lambda model: replace(model, comment=b"PK\5\6"))),
    "91 bytes before the archive": ("prepended", changed(lambda data: b"#!/bin/sh\n" + data)),
    "91 another archive before it": ("prepended", changed(lambda data: data + data)),
    "92 a local header that names another file": ("local-header", modelled(first(local={"raw": b"evil1.py"}))),
    "92 a local header with another size": ("local-header", modelled(first(local={"size": 1}))),
    "92 a second name in an extra field": (
        "name-encoding",
        modelled(first(extra=struct.pack("<HHBL", 0x7075, 8, 1, 0) + b"e.p")),
    ),
    "92 overlapping files": (
        "hidden-data",
        modelled(
            lambda model: replace(
                model, members=(model.members[0], replace(model.members[1], central={"offset": 0}), *model.members[2:])
            )
        ),
    ),
    "92 a file that the central directory leaves out": (
        "hidden-data",
        modelled(
            lambda model: replace(
                model, members=(model.members[0], Member("evil.py", b"", absent=True), *model.members[1:])
            )
        ),
    ),
    "92 a size after the data": ("data-descriptor", modelled(first(local={"flags": 8}, central={"flags": 8}))),
    "92 encrypted": ("encrypted", modelled(first(local={"flags": 1}, central={"flags": 1}))),
    "92 a zip64 size that is not there": ("zip64", modelled(first(central={"size": 0xFFFFFFFF}))),
    "92 a billion entries": ("not-a-zip", modelled(lambda model: replace(model, end={"count": 0xFFFF}))),
    "94 a tag that differs from the name": (
        "tag-mismatch",
        lambda folder: wheel_of(folder, wheel=b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py2-none-any\n"),
    ),
    "94 a million tags": (
        "tag-mismatch",
        lambda folder: wheel_of(
            folder,
            wheel=b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: "
            + b"-".join([b".".join(b"a%d" % n for n in range(100))] * 3)
            + b"\n",
        ),
    ),
    "95 newline and ESC in a name": ("control-character", extra("a\n\x1b[2J.py")),
    "95 letters that run backwards": ("control-character", extra("\u202eyp.exe")),
    "95 a letter that nobody sees": ("control-character", extra("sam\u200bple.py")),
    "96 no zip archive": ("not-a-zip", lambda _: b"<html>" * 99),
    "96 nothing": ("not-a-zip", lambda _: b""),
    "a million fields in METADATA": (
        "bad-metadata",
        metadata(HEAD + "".join(f"x{number}: 1\n" for number in range(500_000))),
    ),
    "a version of 5,000 digits": ("bad-metadata", metadata(HEAD.replace("1.0", "1" * 5000))),
    "Requires-Python that is markup": ("bad-metadata", metadata(HEAD + "Requires-Python: ===<script>\n")),
    "machine code of four bytes": ("bad-elf", listed("sample.so", "\x7fELF")),
    "a script that climbs": (
        "script",
        listed(f"{INFO}/entry_points.txt", "[console_scripts]\n../../evil = sample:f\n"),
    ),
    "a script in the place of the interpreter": ("script", listed(f"{DATA}/scripts/python")),
}


def right_record(folder: Path) -> bytes:
    with zipfile.ZipFile(make_wheel(folder, name="sample", files={"sample.py": "x = 1\n"})) as archive:
        return archive.read(f"{INFO}/RECORD")


def wrong_record() -> bytes:
    return (
        b"".join(
            b"%s,sha256=%s,\n" % (path.encode(), b"A" * 43)
            for path in ("sample.py", f"{INFO}/METADATA", f"{INFO}/WHEEL")
        )
        + f"{INFO}/RECORD,,\n".encode()
    )


def bomb(size: int) -> bytes:
    """Return an archive that announces so many bytes and holds far fewer."""
    return write(Model(members=(Member("zeros", b"", local={"size": size}, central={"size": size}),)))


@pytest.mark.parametrize("case", BYTES)
async def test_wheels_that_mean_harm_are_refused(bench, outside, tmp_path, case):
    """Cases 72 to 96: each by its own class."""
    word, make = BYTES[case]

    attack = await outside.attack(bench, hands_out(make(tmp_path)))

    assert attack.kind == f"output.{word}", attack.fault
    assert attack.fault.line.isprintable()


NAMES = {
    "72 another project": "evil-1.0-py3-none-any.whl",
    "74 another version": "sample-1.1-py3-none-any.whl",
    "95 newline and ESC": "sample-1.0-py3-none-any\n\x1b[2J.whl",
    "95 no text": "sample-1.0-py3-none-any\udcff.whl",
    "no name of a wheel": "sample.whl",
    "as long as can be": "sample-1.0-py3-none-" + "a" * 230 + ".whl",
    "of 50,000 tags": "sample-1.0-"
    + "-".join([".".join(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o"] * 2)] * 3)
    + ".whl",
    "for Windows": "sample-1.0-py3-none-win_amd64.whl",
    "an option": "--plat.whl",
}


@pytest.mark.parametrize("case", NAMES)
async def test_file_names_that_mean_harm_are_refused(bench, outside, tmp_path, case):
    """Cases 72, 74, 95: no part of the name comes to be on the host before it is that of a wheel."""
    attack = await outside.attack(bench, hands_out(wheel_of(tmp_path), name=NAMES[case]))
    assert isinstance(attack.fault, PackageFault)
    assert attack.kind.startswith("output.")
    assert attack.fault.line.isprintable()


async def test_a_manylinux_tag_is_earned_not_claimed(bench, outside, tmp_path):
    """Case 93: what the backend says is taken off; the name that is published is what was found out."""
    attack = await outside.attack(bench, "claims-an-old-libc")
    assert attack.kind == "output.no-manylinux" or "manylinux_2_5" not in attack.wheel.filename


@pytest.mark.parametrize(
    "content",
    [b"<html>", b"", b"PK\5\6" + bytes(18), b"\x7fELF" * 99],
    ids=["no zip", "nothing", "no files", "machine code"],
)
async def test_what_is_no_wheel_is_the_packages_fault_at_the_repair_too(bench, outside, content):
    """Cases 93 and 96: auditwheel gets hostile bytes as well; its own faults are not held to be ours."""
    name = (
        f"sample-1.0-cp{bench.target.environment.python[0]}{bench.target.environment.python[1]}-none-linux_x86_64.whl"
    )
    attack = await outside.attack(bench, hands_out(content, name=name))
    assert (attack.fault.stage, attack.kind) == ("repair", "output.bad-archive")


HOW = {
    "97 a symbolic link": "output.unsafe",
    "98 a FIFO": "output.unsafe",
    "98 a socket": "output.unsafe",
    "99 a folder": "output.unsafe",
    "100 two wheels": "output.many",
    "100 many files": "output.many",
    "101 no wheel": "output.none",
    "102 out/ replaced by a symbolic link": "output.unsafe",
    "102 out/ replaced by a file": "output.unsafe",
    "102 out/ removed": "output.unsafe",
    "102 out/ closed": "output.unsafe",
    "a file that nobody may read": "output.unsafe",
}
MEANS = dict(
    zip(
        HOW,
        (
            "link",
            "pipe",
            "socket",
            "folder",
            "two",
            "many",
            "none",
            "replaced",
            "replaced by a file",
            "removed",
            "closed",
            "unreadable",
        ),
        strict=True,
    )
)


@pytest.mark.parametrize("case", HOW)
async def test_output_that_is_not_one_file_is_refused(bench, outside, tmp_path, case):
    """Cases 97 to 102."""
    attack = await outside.attack(bench, hands_out(wheel_of(tmp_path), how=MEANS[case]))
    assert (attack.fault.stage, attack.kind) == ("collect", HOW[case])


async def test_a_link_to_a_file_of_the_host_is_not_followed(bench, outside):
    """Case 97: nor could it be, for inside there is none."""
    attack = await outside.attack(bench, hands_out(how="link", target=str(outside.token)))
    assert attack.kind == "output.unsafe"


async def test_a_wheel_of_600_mb_is_refused(bench, outside):
    """Case 103: before a byte of it comes."""
    attack = await outside.attack(
        bench,
        hands_out(how="sparse", size=600 << 20),
        max_wheel_bytes=512 << 20,
        file_bytes=1 << 30,
        disk_bytes=1 << 30,
    )
    assert (attack.fault.stage, attack.kind) == ("collect", "limit.output")


@pytest.mark.parametrize("returned", ["../../../../etc/passwd", "/etc/passwd", "", "x" * 9999, 7, None, ["a"]], ids=str)
async def test_what_the_hook_returns_is_not_believed(bench, outside, tmp_path, returned):
    """Case 104: the one file that is there is taken, or the build fails."""
    attack = await outside.attack(bench, hands_out(wheel_of(tmp_path), returned=returned))
    assert isinstance(attack.fault, PackageFault) or attack.wheel.filename == NAME


async def test_a_hard_linked_output_is_taken_by_its_bytes(bench, outside, tmp_path):
    """Case 105."""
    attack = await outside.attack(bench, hands_out(wheel_of(tmp_path), how="hard link"))
    assert attack.wheel.filename == NAME


async def test_modules_that_run_at_every_start_or_are_another_projects_are_told(bench, outside, tmp_path):
    """Case 106: it is built, with three warnings; its author could publish such a wheel."""
    files = {"sample.pth": "import sample\n", "pip/__init__.py": "", "sitecustomize.py": "", "sample.py": ""}
    attack = await outside.attack(bench, hands_out(wheel_of(tmp_path, files=files)))
    assert attack.wheel is not None, attack.fault
    told = attack.log.rpartition("==>")[2]
    assert all(part in told for part in ("sample.pth", "pip", "sitecustomize.py")), told
