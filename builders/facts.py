"""What a build learns about itself on its way, for the record of its wheel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from buildthrough.builders.sandbox import Limits
    from buildthrough.builders.stages import Stages


Verdict = Literal["imported", "excused", "failed", "nothing", "unchecked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedWheel:
    """A wheel that was installed to build."""

    project: str
    """Normalised name."""
    version: str
    filename: str
    sha256: str | None
    """None where the index names no digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedModule:
    """What came of the import of one module."""

    module: str
    kind: str = ""
    """Empty where it was imported; else the dotted class of what happened, such as ``import.library``."""
    excused: str = ""
    """Why that says nothing against the wheel, such as ``display``: what the sandbox lacks."""
    line: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportCheck:
    """Whether the modules of a wheel can be imported. The modules' own code said so: it can lie, about itself alone."""

    verdict: Verdict
    """``excused``: some ask for what no sandbox has; ``nothing``: no module is in it; ``unchecked``: see ``line``."""
    line: str = ""
    modules: tuple[ImportedModule, ...] = ()
    dependencies: tuple[UsedWheel, ...] = ()
    """What was installed beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AbiClaim:
    """What a wheel said of CPython's stable ABI, and what is true of it: the tags that it has now."""

    claimed: str
    """Interpreter and ABI tags, such as ``cp37-abi3``."""
    true: str
    because: tuple[str, ...] = ()
    """Names, with the version that added them where there is one, or files, that the claim does not bear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraftedLibrary:
    """A library of the machine that built it, which travels with a wheel."""

    file: str
    """Where it lies in the wheel."""
    sha256: str
    """There: it is changed on the way, at least its name."""
    soname: str = ""
    """What it is called on the machine."""
    source: str = ""
    """Where it lies on the machine; empty where no file there has the digest that its name tells."""
    source_sha256: str = ""
    package: str = ""
    """Debian package of the source, with ``version``; both empty where that is not known."""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignFile:
    """Something in a wheel that does not go with its project's name, and may be in another's way."""

    name: str
    """The top level, script, or path."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFacts:
    """What is known so far. Whoever learns more makes a new one: `buildthrough.builders.build_log.BuildLog.learn`."""

    sdist_path: str = ""
    """Where the sdist is on our own index, below its root."""
    upstream: str = ""
    """Name of the upstream that lists it; empty where there is but one."""
    source_date_epoch: int | None = None
    """The time that the build was told, of the sdist's newest file; seconds since 1970."""
    limits: Limits | None = None
    isolation: str = ""
    """Level of the sandbox that it was built in."""
    requirements: tuple[UsedWheel, ...] = ()
    """Everything that was in the build environment, by name."""
    toolchain: Mapping[str, str] = field(default_factory=dict)
    """Versions of the interpreter, compilers and tools, by name."""
    stages: Stages = ()
    """How long each stage of the last try took."""
    chain: tuple[str, ...] = ()
    """For whose sake it was first started, each ``project==version``, the one that was asked for first."""
    time_cut: datetime | None = None
    """The requirements are those of the index as it was then, since with today's it could not be built."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """What the recipe that applied does, as JSON's types, with its ``digest``; empty where none applied."""
    imported: ImportCheck | None = None
    """None where it did not come to that."""
    abi3: AbiClaim | None = None
    """None where the wheel claims nothing of the stable ABI."""
    grafted: tuple[GraftedLibrary, ...] = ()
    foreign: tuple[ForeignFile, ...] = ()
