"""Whether a wheel that says ``abi3`` keeps to the stable ABI: by the names that its machine code wants of Python.

What cannot be seen so: the use of structures whose members are not stable. Sources: PEP 384, 425.
"""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from buildthrough.builders.inside.stable_abi import ADDED

if TYPE_CHECKING:
    from collections.abc import Iterable

_OURS = re.compile(r"_?Py[A-Z_]\w*")
_OF_ONE_VERSION = re.compile(r"\.(?:cpython-\d+\w*|pypy\d+-\w+|cp\d+)[^/]*\.so$")
_CPYTHON = re.compile(r"cp3(\d{1,3})")
_OLDEST = (3, 2)
_MOST_TOLD = 20


@dataclass(frozen=True)
class Claim:
    """What a wheel says of its ABI, and what is true."""

    claimed: str
    """Interpreter and ABI tags, such as ``cp37-abi3``."""
    true: str
    because: tuple[str, ...]
    """Why the claim is false: names with the version that added them, or files that only one version loads."""


def check_claim(wheel: str, filename: str, interpreter: str, abi: str) -> Claim | None:
    """Return what is true of a wheel's claim, None where it claims nothing about the stable ABI.

    ``interpreter`` and ``abi`` are the tags of the target that it was built for.
    """
    pythons, abis = filename.removesuffix(".whl").split("-")[-3:-1]
    if "abi3" not in abis.split("."):
        return None
    claimed = f"{pythons}-{abis}"
    since = [int(match[1]) for match in map(_CPYTHON.fullmatch, pythons.split(".")) if match]
    baseline = (3, min(since)) if since else _OLDEST
    wanted, single = _wanted(wheel)
    strange = sorted(name for name in wanted if name not in ADDED)
    if strange or single:
        return Claim(claimed, f"{interpreter}-{abi}", tuple([*strange, *single][:_MOST_TOLD]))
    newest = max((ADDED[name] for name in wanted), default=_OLDEST)
    if newest <= baseline:
        return Claim(claimed, claimed, ())
    late = sorted(name for name in wanted if ADDED[name] > baseline)
    told = tuple(f"{name} (since {'.'.join(map(str, ADDED[name]))})" for name in late[:_MOST_TOLD])
    return Claim(claimed, f"cp{newest[0]}{newest[1]}-abi3", told)


def _wanted(wheel: str) -> tuple[set[str], list[str]]:
    """Return the names of Python's that the machine code wants, and the modules that only one version loads."""
    wanted: set[str] = set()
    defined: set[str] = set()
    single = []
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                if file.read(4) != b"\x7fELF":
                    continue
            if _OF_ONE_VERSION.search(member.filename):
                single.append(member.filename)
            undefined, here = names(io.BytesIO(archive.read(member)))
            wanted.update(undefined)
            defined.update(here)
    return wanted - defined, sorted(single)


def names(file: BinaryIO) -> tuple[set[str], set[str]]:
    """Return the names of Python's that machine code needs and that it defines; weak ones are not needed."""
    undefined: set[str] = set()
    defined: set[str] = set()
    for symbol in _symbols(ELFFile(file)):
        if _OURS.fullmatch(symbol.name):
            if symbol["st_shndx"] != "SHN_UNDEF":
                defined.add(symbol.name)
            elif symbol["st_info"]["bind"] != "STB_WEAK":
                undefined.add(symbol.name)
    return undefined, defined


def _symbols(elf: ELFFile) -> Iterable[Any]:
    for segment in elf.iter_segments():
        if isinstance(segment, DynamicSegment):
            yield from segment.iter_symbols()
