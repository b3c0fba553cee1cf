"""Environments that wheels are built for or asked for, and the compatibility tags that they accept.

Tags are derived from a few facts, so that they can be computed for a machine that is not this one.
Sources: the platform compatibility tags specification; PEP 425, 600, 656.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from packaging.tags import Tag, compatible_tags, cpython_tags, generic_tags, mac_platforms
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

Implementation = Literal["cp", "pp"]
System = Literal["manylinux", "musllinux", "macosx", "win"]

_LEGACY = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}
_OLDEST_GLIBC = {"x86_64": 5, "i686": 5}
_OLDEST_GLIBC_ELSEWHERE = 17
_FIRST_DEBUG_THAT_LOADS_RELEASE = (3, 8)
_SLUG = re.compile(
    r"(?P<impl>cp|pp)(?P<major>[1-9])(?P<minor>[0-9]{1,3})-(?P<abi>[a-z0-9_]{1,64})"
    r"-(?:(?P<system>manylinux|musllinux|macosx)_(?P<first>[0-9]{1,3})_(?P<second>[0-9]{1,3})_(?P<arch>[a-z0-9_]{1,32})"
    r"|win_(?P<win>[a-z0-9_]{1,32})|(?P<win32>win32))"
)
"""Numbers are bounded, because ladders of tags are made of them."""
_LONGEST_FILENAME = 255  # no file system takes more; a longer name would only buy a giant set of tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the compatibility tags of one interpreter on one machine depend on."""

    implementation: Implementation
    python: tuple[int, int]
    abi: str
    """The ABI tag: ``cp311``, ``cp313t``, ``pypy39_pp73``."""
    system: System
    system_version: tuple[int, int]
    """glibc's, musl's or macOS's version; (0, 0) on Windows."""
    arch: str

    @property
    def interpreter(self) -> str:
        """The interpreter tag, for example ``cp311``."""
        return f"{self.implementation}{self.python[0]}{self.python[1]}"

    @property
    def slug(self) -> str:
        """The three tags of the newest wheel that fits; `parse_environment` reads it back."""
        if self.system == "win":
            platform = self.arch if self.arch == "win32" else f"win_{self.arch}"
        else:
            platform = f"{self.system}_{self.system_version[0]}_{self.system_version[1]}_{self.arch}"
        return f"{self.interpreter}-{self.abi}-{platform}"

    def __str__(self) -> str:
        return self.slug


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python on this machine, as it described itself."""

    executable: Path
    """The real file, not a link of a virtual environment."""
    prefixes: tuple[Path, ...]
    """Folders that it needs to run and to compile against: the prefix, the exec prefix, the headers."""
    environment: Environment
    markers: Mapping[str, str]
    """Its environment markers (PEP 508), for evaluating requirements."""
    has_headers: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An environment that can be built for here, and the interpreter that does it."""

    environment: Environment
    interpreter: Interpreter
    root: Path | None = None
    """The folder of the distribution that the interpreter belongs to; None for this machine's own."""

    @property
    def slug(self) -> str:
        """Name of the target in requests, records and settings."""
        return self.environment.slug


def parse_environment(slug: str) -> Environment:
    """Read the environment back from its slug. Raise ValueError where it is none."""
    match = _SLUG.fullmatch(slug)
    if match is None:
        msg = f"{slug!r} does not name an environment such as cp311-cp311-manylinux_2_36_x86_64"
        raise ValueError(msg)
    environment = Environment(
        implementation=match["impl"],  # type: ignore[arg-type] # the pattern admits just these
        python=(int(match["major"]), int(match["minor"])),
        abi=match["abi"],
        system=match["system"] or "win",  # type: ignore[arg-type] # the pattern admits just these
        system_version=(int(match["first"] or 0), int(match["second"] or 0)),
        arch=match["arch"] or match["win"] or match["win32"],
    )
    if environment.slug != slug:  # a second spelling, such as manylinux_2_036, would be a second target
        msg = f"{slug!r} is spelled {environment.slug!r}"
        raise ValueError(msg)
    return environment


@lru_cache(maxsize=256)
def tags(environment: Environment) -> tuple[Tag, ...]:
    """Return the tags of the wheels that fit, best first.

    Clients disagree on ``linux_*``, which packaging 26.3 and pip 26.3 rank before manylinux, others behind. Here it is
    last: indexes do not take such wheels and we publish none.
    """
    platforms = tuple(_platforms(environment))
    if environment.implementation == "cp":
        specific: Iterable[Tag] = cpython_tags(environment.python, _abis(environment), platforms)
        interpreter = environment.interpreter
    else:
        specific = generic_tags(environment.interpreter, [environment.abi], platforms)
        interpreter = f"pp{environment.python[0]}"
    return (*specific, *compatible_tags(environment.python, interpreter, platforms))


@lru_cache(maxsize=256)
def tag_ranks(environment: Environment) -> Mapping[Tag, int]:
    """Return each fitting tag's rank: 0 is best."""
    ranks: dict[Tag, int] = {}
    for tag in tags(environment):
        ranks.setdefault(tag, len(ranks))
    return ranks


@lru_cache(maxsize=65536)
def wheel_tags(filename: str) -> frozenset[Tag]:
    """Return the tags in a wheel's file name; none for a name that is no wheel's."""
    if len(filename) > _LONGEST_FILENAME:
        return frozenset()
    try:
        return parse_wheel_filename(filename)[3]
    except InvalidWheelFilename:
        return frozenset()


def rank(filename: str, environment: Environment) -> int | None:
    """Rank of a wheel in the environment, 0 is best; None where it does not fit."""
    ranks = tag_ranks(environment)
    return min((ranks[tag] for tag in wheel_tags(filename) if tag in ranks), default=None)


def serves(target: Environment, client: Environment) -> bool:
    """Whether a wheel built for the target can be hoped to fit the client.

    Interpreter, ABI, kind of libc and architecture must agree. The libc versions need not: a repaired wheel
    carries the oldest libc that it really needs, which is known only once it is built.
    """
    return (target.interpreter, target.abi, target.system, target.arch) == (
        client.interpreter,
        client.abi,
        client.system,
        client.arch,
    )


def _abis(environment: Environment) -> list[str]:
    """Return the ABIs that a CPython loads: since 3.8 a debug build also loads what was built for a release build."""
    release = environment.abi.removesuffix("d")
    if release != environment.abi and environment.python >= _FIRST_DEBUG_THAT_LOADS_RELEASE:
        return [environment.abi, release]
    return [environment.abi]


def _platforms(environment: Environment) -> Iterator[str]:
    major, minor = environment.system_version
    arch = environment.arch
    match environment.system:
        case "manylinux":
            oldest = _OLDEST_GLIBC.get(arch, _OLDEST_GLIBC_ELSEWHERE)
            for step in range(minor, oldest - 1, -1):
                yield f"manylinux_{major}_{step}_{arch}"
                if (major, step) in _LEGACY:
                    yield f"{_LEGACY[major, step]}_{arch}"
            yield f"linux_{arch}"
        case "musllinux":
            for step in range(minor, -1, -1):
                yield f"musllinux_{major}_{step}_{arch}"
            yield f"linux_{arch}"
        case "macosx":
            yield from mac_platforms((major, minor), arch)
        case "win":
            yield arch if arch == "win32" else f"win_{arch}"
