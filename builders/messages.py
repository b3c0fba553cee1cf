"""What the command inside says, read with distrust: of known kinds, of bounded sizes, of printable text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from packaging.requirements import InvalidRequirement, Requirement

from buildthrough.builders.build_log import plain_line
from buildthrough.builders.faults import PackageFault, Stage
from buildthrough.builders.sandbox import DialogueError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_REQUIREMENTS = 200
LONGEST_REQUIREMENT = 1000
LATEST = 4354819199
"""Seconds since 1970: 2107 ends, and with it what an archive can hold."""
DEEPEST_MARKER = 50
"""Parentheses that may be open: parsing, evaluating and writing a marker go as deep as these."""
MOST_TOOLS = 50
_STAGES: frozenset[str] = frozenset(get_args(Stage))
_FILENAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+!-]{0,240}\.whl")
KINDS = frozenset({
    "driver",
    "hook",
    "incompatible.python",
    "limit.disk",
    "limit.file-size",
    "limit.inodes",
    "limit.memory",
    "output.bad-archive",
    "output.many",
    "output.no-manylinux",
    "output.none",
    "output.not-installable",
    "output.unsafe",
    "requires.refused",
    "recipe.delete",
    "recipe.patch",
    "source.invalid",
    "source.unsafe",
})  # fmt: skip
"""The classes of faults that may come from inside; ``hook`` is to be diagnosed, ``driver`` is our own failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """A stage begins."""

    stage: Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Requires:
    """Wheels that satisfy these requirements are wanted."""

    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelComes:
    """The bytes of the wheel follow."""

    filename: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """There will be no wheel."""

    kind: str
    stage: Stage
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the driver found out, for the record of the wheel."""

    source_date_epoch: int
    toolchain: Mapping[str, str]
    """The first line of what each program says of its version, by name."""


Message = Entered | Requires | WheelComes | Failed | Told


def read_message(message: Mapping[str, Any]) -> Message:
    """Read one message. Raise `DialogueError` for one that no driver sends, `PackageFault` for refused requirements."""
    match message:
        case {"t": "stage", "stage": str() as stage}:
            return Entered(stage=_stage(stage))
        case {"t": "requires", "list": list() as requirements}:
            return Requires(requirements=check_requirements(requirements))
        case {"t": "wheel", "name": str() as name, "size": int() as size} if type(size) is int and size >= 0:
            if not _FILENAME.fullmatch(name):
                raise PackageFault("collect", "output.filename", plain_line(f"{name!r} is no wheel's file name"))
            return WheelComes(filename=name, size=size)
        case {"t": "fault", "kind": str() as kind, "stage": str() as stage, "line": str() as line} if kind in KINDS:
            return Failed(kind=kind, stage=_stage(stage), line=plain_line(line))
        case {"t": "told", "source_date_epoch": int() as epoch, "toolchain": dict() as toolchain} if _is_time(epoch):
            return Told(source_date_epoch=epoch, toolchain=_toolchain(toolchain))
        case _:
            raise DialogueError("the build sends a message that nobody asked for")


def check_requirements(requirements: Sequence[object]) -> tuple[str, ...]:
    """Return the requirements if each names a project of an index: no URL, no path, no option. Raise `PackageFault`."""
    if len(requirements) > MOST_REQUIREMENTS:
        raise _refused(f"{len(requirements)} build requirements, more than {MOST_REQUIREMENTS}")
    checked = []
    for each in requirements:
        if not isinstance(each, str):
            raise _refused("a build requirement that is no text")
        if len(each) > LONGEST_REQUIREMENT:
            raise _refused(f"a build requirement of {len(each)} characters")
        if each.count("(") > DEEPEST_MARKER:
            raise _refused(f"a build requirement with more than {DEEPEST_MARKER} parentheses")
        try:
            requirement = Requirement(each)
        except InvalidRequirement:
            raise _refused(f"{each!r} is no requirement") from None
        if requirement.url is not None:
            raise _refused(f"{each!r} names a place, not a project of the index")
        checked.append(str(requirement))
    return tuple(checked)


def _is_time(epoch: int) -> bool:
    return type(epoch) is int and 0 <= epoch <= LATEST


def _toolchain(told: Mapping[object, object]) -> dict[str, str]:
    if len(told) > MOST_TOOLS:
        raise DialogueError("the build names too many tools")
    return {plain_line(str(name), 40): plain_line(str(said), 200) for name, said in told.items()}


def _refused(line: str) -> PackageFault:
    return PackageFault("requires", "requires.refused", plain_line(line))


def _stage(stage: str) -> Stage:
    if stage not in _STAGES:
        raise DialogueError("the build names a stage that there is none of")
    return stage  # type: ignore[return-value] # just looked up among the literals
