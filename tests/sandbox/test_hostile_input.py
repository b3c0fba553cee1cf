# ruff: noqa: E501 # tables of cases read best with few lines
"""Cases 41 to 71 of docs/hostile-sdists.md: requirements, archives, files and answers that mean harm."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.fakes.sdists import MTIME, Sdist, make_sdist, tar_gz
from tests.fakes.wheels import make_entry, make_wheel
from tests.sandbox.outside import Outside, traps
from tests.sandbox.workbench import Asked, Workbench, package, workbench

from buildthrough.builders.faults import PackageFault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a build a user of its own")


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    with workbench() as bench:
        yield bench


@pytest.fixture(scope="module")
def outside(bench: Workbench) -> Iterator[Outside]:
    with traps(bench.folder / "traps") as outside:
        yield outside


def statically(*requires: str) -> Sdist:
    toml = f"[build-system]\nrequires = {json.dumps(requires)}\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    return package("asks-for", more={"pyproject.toml": toml.encode(), "list.json": b"[]"})


def dynamically(asked: object) -> Sdist:
    return package("asks-for", more={"list.json": json.dumps(asked).encode()})


def raw(data: bytes, filename: str = "sample-1.0.tar.gz") -> Sdist:
    return Sdist(project="sample", version="1.0", filename=filename, data=data)


NAMED = "http://127.0.0.1:{tcp}/x-1.0.tar.gz"
REQUIREMENTS = {
    "41 a file of the host": "x @ file:///etc/passwd",
    "42 an address in the network": f"x @ {NAMED}",
    "42 the metadata service of a cloud": "x @ http://169.254.169.254/latest/meta-data/",
    "43 a repository by ssh": "x @ git+ssh://git@127.0.0.1/x",
    "44 an option that names another index": "--index-url=http://127.0.0.1:{tcp}/simple/",
    "45 an option that reads a file": "-r/etc/passwd",
    "46 a line end and another requirement": "setuptools\n--index-url=http://127.0.0.1:{tcp}/",
    "47 a path": "./sample-1.0",
    "47 an absolute path": "/etc/passwd",
    "terminal escapes in a marker": "x; os_name == '\x1b]52;c;QUJD\x07'",
    "a marker of 400 parentheses": "x; " + "(" * 400 + "os_name == 'a'" + ")" * 400,
    "a version of a thousand digits": "x >= " + "9" * 900,
}


@pytest.mark.parametrize("way", ["static", "dynamic"])
@pytest.mark.parametrize("case", REQUIREMENTS)
async def test_requirements_name_projects_and_nothing_else(bench, outside, case, way):
    """Cases 41 to 47, and 49: the same asked for by a hook. Nothing is fetched, nobody is asked."""
    text = REQUIREMENTS[case].format(tcp=outside.tcp.getsockname()[1])
    resolve = Asked(fault=PackageFault("requires", "deps.unresolvable", "there is no x"))

    attack = await outside.attack(bench, statically(text) if way == "static" else dynamically([text]), resolve=resolve)

    refused = {"requires.refused", "source.invalid"}  # a TOML file of such requirements is read by `build` first
    assert attack.kind in refused | ({"deps.unresolvable"} if resolve.requirements else set())
    assert not any(" @ " in each or each.startswith(("-", ".", "/")) for each in sum(resolve.requirements, ()))


@pytest.mark.parametrize("way", ["static", "dynamic"])
async def test_5000_requirements_are_refused(bench, outside, way):
    """Case 48."""
    many = [f"project-{number}" for number in range(5000)]
    attack = await outside.attack(bench, statically(*many) if way == "static" else dynamically(many))
    assert attack.kind == "requires.refused"


async def test_100_mb_of_requirements_are_refused(bench, outside):
    """Case 50: the answer is not even read."""
    attack = await outside.attack(bench, dynamically("100 MB"))
    assert attack.fault.stage == "requires"
    assert "too large" in attack.log


async def test_requirements_that_are_long_together_are_refused(bench, outside):
    attack = await outside.attack(
        bench, dynamically([f"x{number}" + "x" * 900 for number in range(190)] * 2 + ["y" * 900000])
    )
    assert attack.kind == "requires.refused"


TYPES = {
    "a number": [1],
    "mixed": ["a", 1, None],
    "lists": [["a"]],
    "a text": "a-project-that-is-not-there",
    "an object": {"a-project-that-is-not-there": 1},
    "nothing": None,
}


@pytest.mark.parametrize("case", TYPES)
async def test_requirements_of_wrong_types_are_the_packages_fault(bench, outside, case):
    """Case 51."""
    attack = await outside.attack(bench, dynamically(TYPES[case]))
    assert isinstance(attack.fault, PackageFault)
    assert attack.fault.stage in {"requires", "install"}  # a text is a list of letters, an object one of its keys


async def test_a_requirement_that_does_not_exist_cannot_be_installed(bench, outside):
    """Case 52."""
    attack = await outside.attack(bench, dynamically(["a-project-that-is-not-there"]))
    assert (attack.fault.stage, attack.kind) == ("install", "deps.unresolvable")


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **pax: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mtime = kind, link, MTIME
    info.pax_headers = pax
    return info


def tar_of(*entries: tarfile.TarInfo, content: bytes = b"raise SystemExit(1)") -> Sdist:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for each in entries:
            each.size = len(content) if each.isreg() else 0
            archive.addfile(each, io.BytesIO(content) if each.isreg() else None)
    return raw(packed.getvalue())


SETUP = entry("sample-1.0/setup.py")
LINK, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE


def escape_by_long_paths() -> Sdist:
    """Return the way of CVE-2025-4517: links whose resolution becomes too long to be looked at, then a way out."""
    part, steps = "d" * 247, "abcdefghijklmnop"
    entries, path = [entry("sample-1.0/setup.py")], "sample-1.0"
    for step in steps:
        entries += [entry(f"{path}/{part}", tarfile.DIRTYPE), entry(f"{path}/{step}", LINK, part)]
        path += f"/{part}"
    short = "sample-1.0/" + "/".join(steps)
    entries += [
        entry(f"{short}/{'l' * 254}", LINK, "../" * len(steps)),
        entry("sample-1.0/escape", LINK, f"{short.removeprefix('sample-1.0/')}/{'l' * 254}/../../../tmp"),
        entry("sample-1.0/hard", HARD, "sample-1.0/escape/out"),
        entry("sample-1.0/hard"),
    ]
    return tar_of(*entries)


def sparse_header(size: str) -> Sdist:
    pax = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": f"0,1,{size},1", "GNU.sparse.size": size}
    return tar_of(SETUP, entry("sample-1.0/sparse", **pax))


def nested_headers(count: int) -> Sdist:
    """Return an archive whose headers say of each other that another one comes, more often than Python can call."""
    header = entry("x", tarfile.XHDTYPE).tobuf(tarfile.USTAR_FORMAT)
    packed = io.BytesIO()
    with gzip.open(packed, "wb") as file:
        file.write(header * count)
    return raw(packed.getvalue())


def huge_header() -> Sdist:
    header = bytearray(entry("x", tarfile.XHDTYPE).tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = b"77777777777\0"
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 256 + sum(header[156:512]))
    return raw(gzip.compress(bytes(header) + bytes(8 << 20)))


def zip_sdist(*entries: tuple[zipfile.ZipInfo, bytes]) -> Sdist:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for info, content in entries:
            archive.writestr(info, content)
    return raw(packed.getvalue(), "sample-1.0.zip")


def bomb(size: int) -> bytes:
    """Return a tar.gz with one file of so many zeros, which is some thousandth of it."""
    header = tarfile.TarInfo("sample-1.0/zeros")
    header.size = size
    packed = io.BytesIO()
    with gzip.open(packed, "wb", compresslevel=1) as file:
        file.write(header.tobuf())
        block = bytes(1 << 24)
        for _ in range(300 << 20 >> 24):  # nobody reads farther than that
            file.write(block)
    return packed.getvalue()


def overlapping_zip() -> Sdist:
    """Return a zip whose entries are all the same megabytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(make_entry("sample-1.0/a"), bytes(16 << 20))
        first = archive.infolist()[0]
        for number in range(200):
            copy = make_entry(f"sample-1.0/{number}")
            copy.CRC, copy.compress_size, copy.file_size, copy.header_offset = (
                first.CRC, first.compress_size, first.file_size, first.header_offset,
            )  # fmt: skip
            archive.filelist.append(copy)
    return raw(packed.getvalue(), "sample-1.0.zip")


def lzma_zip() -> Sdist:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("sample-1.0/setup.py", b"x" * 999)
    data = bytearray(packed.getvalue())
    data[60:70] = b"\xff" * 10
    return raw(bytes(data), "sample-1.0.zip")


def encrypted_zip() -> Sdist:
    data = bytearray(zip_sdist((make_entry("sample-1.0/setup.py"), b"x")).data)
    data[6] |= 1
    data[data.find(b"PK\1\2") + 8] |= 1
    return raw(bytes(data), "sample-1.0.zip")


ARCHIVES = {
    "53 climbs": (lambda: tar_of(SETUP, entry("sample-1.0/../../out")), "source.unsafe"),
    "54 an absolute path": (lambda: tar_of(SETUP, entry("/tmp/out")), "source.unsafe"),
    "55 through a symbolic link": (
        lambda: tar_of(SETUP, entry("sample-1.0/l", LINK, "/tmp"), entry("sample-1.0/l/out")), "source.unsafe",
    ),
    "55 through a link behind a link": (
        lambda: tar_of(
            SETUP, entry("sample-1.0/p/q/y", LINK, "../../"), entry("sample-1.0/z", LINK, "p/q/y/../.."), entry("sample-1.0/z/out", LINK, "x"),
        ), "source.unsafe",
    ),
    "56 a device": (lambda: tar_of(SETUP, entry("sample-1.0/d", tarfile.BLKTYPE)), "source.unsafe"),
    "56 a character device": (lambda: tar_of(SETUP, entry("sample-1.0/d", tarfile.CHRTYPE)), "source.unsafe"),
    "57 a FIFO": (lambda: tar_of(SETUP, entry("sample-1.0/p", tarfile.FIFOTYPE)), "source.unsafe"),
    "58 a hard link to a file of the host": (lambda: tar_of(SETUP, entry("sample-1.0/l", HARD, "/etc/shadow")), "source.unsafe"),
    "58 a hard link to itself": (lambda: tar_of(SETUP, entry("sample-1.0/l", HARD, "sample-1.0/l")), "source.unsafe"),
    "59 pyproject.toml as a symbolic link": (
        lambda: tar_of(entry("sample-1.0/x"), entry("sample-1.0/pyproject.toml", LINK, "x")), "source.unsafe",
    ),
    "60 two folders at the top": (lambda: raw(tar_gz({"sample-1.0/setup.py": b"", "other/setup.py": b""})), "source.invalid"),
    "61 a bomb of 3 GB": (lambda: raw(bomb(3 << 30)), "source.unsafe"),
    "61 a sparse file of 8 EB": (lambda: sparse_header(str(2**63 - 1)), None),
    "61 overlapping zip entries": (overlapping_zip, None),
    "62 CVE-2025-4517": (escape_by_long_paths, "source.unsafe"),
    "63 a pyproject.toml of 50 MB": (
        lambda: make_sdist("sample", "1.0", {"pyproject.toml": "#" * (50 << 20)}), "source.invalid",
    ),
    "64 TOML nested 100,000 deep": (
        lambda: make_sdist("sample", "1.0", {"pyproject.toml": "a = " + "[" * 100_000}), "source.invalid",
    ),
    "headers nested 5,000 deep": (lambda: nested_headers(5000), "source.invalid"),
    "a header of 8 GB": (huge_header, "source.unsafe"),
    "a time that no clock knows": (lambda: tar_of(entry("sample-1.0/setup.py", mtime="1e300")), None),
    "a time that is no number": (lambda: tar_of(entry("sample-1.0/setup.py", mtime="nan")), None),
    "folders 2,000 deep": (lambda: tar_of(entry("sample-1.0/" + "d/" * 1900 + "x")), "source.unsafe"),
    "a name of 300 characters": (lambda: tar_of(SETUP, entry("sample-1.0/" + "n" * 300)), "source.invalid"),
    "a name that is no text": (lambda: tar_of(entry("sample-1.0/\udcff\udcfe"), SETUP), None),
    "names with escapes": (lambda: tar_of(SETUP, entry("sample-1.0/\x1b]52;c;QUJD\x07", tarfile.FIFOTYPE)), "source.unsafe"),
    "a file that is a folder": (lambda: tar_of(SETUP, entry("sample-1.0/setup.py/x")), "source.unsafe"),
    "cut short": (lambda: raw(tar_gz({"sample-1.0/setup.py": os.urandom(9999)})[:5000]), "source.invalid"),
    "no gzip": (lambda: raw(b"PK\3\4 and no more"), "source.invalid"),
    "bzip2 under the name of gzip": (lambda: raw(b"BZh91AY&SY" + bytes(99)), "source.invalid"),
    "zstd under the name of gzip": (lambda: raw(b"\x28\xb5\x2f\xfd" + bytes(99)), "source.invalid"),
    "xz as such": (lambda: raw(b"\xfd7zXZ\0" + bytes(99), "sample-1.0.tar.xz"), "source.invalid"),
    "zip: climbs": (lambda: zip_sdist((make_entry("sample-1.0/../../out"), b"")), "source.unsafe"),
    "zip: a symbolic link": (
        lambda: zip_sdist((make_entry("sample-1.0/l", attributes=0o120777 << 16), b"/etc/passwd")), "source.unsafe",
    ),
    "zip: LZMA that is none": (lzma_zip, "source.invalid"),
    "zip: encrypted": (encrypted_zip, "source.invalid"),
    "Requires-Python of 5,000 digits": (
        lambda: package("asks-for", more={"list.json": b"[]", "PKG-INFO": b"Requires-Python: >=" + b"9" * 5000}), None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ARCHIVES)
async def test_archives_are_unpacked_inside_or_refused_as_the_packages_fault(bench, outside, case):
    """Cases 53 to 64. Whatever comes of it, it is never held to be a fault of ours, to be tried again."""
    make, kind = ARCHIVES[case]

    attack = await outside.attack(bench, make())

    assert isinstance(attack.fault, PackageFault) or attack.wheel is not None
    assert kind is None or attack.kind == kind, attack.fault


async def test_the_drivers_descriptors_cannot_be_written_to(bench, outside):
    """Case 65."""
    attack = await outside.attack(bench, "speaks-for-the-driver")
    assert attack.fault.stage == "build"
    assert "nobody was fooled" in attack.log


async def test_standard_input_is_empty(bench, outside):
    """Case 66."""
    reads = b"import sys\nprint(repr(sys.stdin.read()))\nraise SystemExit('it was read')\n"
    attack = await outside.attack(bench, package("hands-out", more={"backend.py": reads, "how.json": b"{}"}))
    assert "''" in attack.log


async def test_a_pth_file_of_a_requirement_runs_inside_only(bench, outside, tmp_path):
    """Case 67: at the second installation the environment's own interpreter is started, and it obeys the first's."""
    mark = bench.folder / "was-here"
    here = f"os.path.isdir({str(bench.folder)!r})"
    evil = f"import os, sys; open({str(mark)!r}, 'w') if {here} else print('pth ran inside', file=sys.stderr)"
    wheels = [
        make_wheel(tmp_path, name="evil", files={"evil.pth": evil + "\n", "evil.py": ""}),
        make_wheel(tmp_path, name="second", files={"second.py": ""}),
    ]

    class WithWheels(Asked):
        async def __call__(self, requirements: Sequence[str], folder: Path) -> None:
            self.requirements.append(tuple(requirements))
            for wheel in wheels:
                (folder / wheel.name).write_bytes(wheel.read_bytes())

    resolve = WithWheels()
    toml = b"[build-system]\nrequires = ['evil']\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    sdist = package("asks-for", more={"pyproject.toml": toml, "list.json": b'["second"]'})

    attack = await outside.attack(bench, sdist, resolve=resolve)

    assert attack.wheel is not None, attack.log
    assert len(resolve.requirements) == 2
    assert "pth ran inside" in attack.log
    assert not mark.exists()


ANSWERS = {
    "68 warnings that name a file of the host": {
        "text": json.dumps(
            {
                "return_val": "x",
                "warnings": [{"message": "m", "category": "UserWarning", "filename": "{token}", "lineno": 1}],
            }
        )
    },
    "69 a symbolic link to a file of the host": {"link": "{token}"},
    "69 a symbolic link to a device": {"link": "/dev/zero"},
    "70 a FIFO": {"pipe": True},
    "71 nested 100,000 deep": {"nested": 100_000},
    "a folder": {"folder": True},
    "of 100 MB": {"size": 100 << 20},
    "no JSON": {"text": "{"},
    "no object": {"text": "[]"},
    "the folder of it is gone": {"gone": True},
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_answers_of_a_hook_are_read_inside_and_with_distrust(bench, outside, case):
    """Cases 68 to 71: no line of a file of the host is shown, and nothing hangs."""
    how = json.dumps(ANSWERS[case]).replace("{token}", str(outside.token))

    attack = await outside.attack(bench, package("answers", more={"how.json": how.encode()}))

    assert attack.wheel is not None or isinstance(attack.fault, PackageFault), attack.fault
    assert attack.fault is None or attack.fault.stage == "build"
