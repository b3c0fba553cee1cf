"""Rot: what once could be built cannot, since its requirements moved on. Then it is tried once as of its own time.

The table says which failures may be healed so. The second try is part of the same build: one record, one log.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from buildthrough.builders.faults import PackageFault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from buildthrough.builders.artifact import CheckedWheel
    from buildthrough.builders.build_log import BuildLog
    from buildthrough.builders.facts import UsedWheel

    Supply = Callable[[Sequence[str], Path], Awaitable[None]]
    """Puts the wheels that satisfy requirements into a folder."""
    Used = tuple[UsedWheel, ...]

_LINE_CHARACTERS = 500
_WRITES_C: Final = frozenset(
    {"cython", "numpy", "pybind11", "cffi", "swig", "nanobind", "sip", "oldest-supported-numpy"}
)
"""Build requirements that write C for the compiler, or that C is compiled against."""
_ANY: Final[frozenset[str]] = frozenset()
SIGNS: Final[tuple[tuple[str, str, frozenset[str]], ...]] = (
    ("rot", "", _ANY),
    ("deps.unresolvable", "", _ANY),
    # What the compiler says may be about C that Cython wrote, or about numpy's headers.
    ("capi", "", _WRITES_C),
    ("compiler", "", _WRITES_C),
    ("deps.undeclared", r"\b(?:pkg_resources|distutils|setuptools|imp|six|cython|numpy)\b", _ANY),
    # A module that was once in the standard library or came with a tool; 2to3 would have mended the others.
    ("incompatible.python", r"No module named", frozenset({"setuptools"})),
    ("build.failed", "", _ANY),
)
"""The beginning of a class, what its line says, and which build requirements must have been there (any of them)."""


def is_rot(fault: PackageFault, used: Sequence[UsedWheel]) -> bool:
    """Whether another age of the build requirements may help. Without any requirement, age makes no difference."""
    if not used and fault.stage != "requires":
        return False
    names = {one.project for one in used}
    return any(
        f"{fault.kind}.".startswith(f"{kind}.")
        and re.search(line, fault.line, re.IGNORECASE) is not None
        and (not needed or bool(needed & names))
        for kind, line, needed in SIGNS
    )


async def build_or_turn_back(
    build: Callable[[Supply, bool], Awaitable[CheckedWheel]],
    *,
    resolve: Callable[[Sequence[str], Path, datetime | None], Awaitable[Used]],
    uploaded: Callable[[], Awaitable[datetime | None]],
    log: BuildLog,
) -> CheckedWheel:
    """Build with today's index; where that looks like rot, once more with the index of the sdist's upload.

    ``build`` is told how to come by wheels, and whether it is the second try. ``resolve`` takes the moment that the
    index is to be of, None for now. ``uploaded`` says when the sdist was uploaded. The log learns ``requirements`` and
    ``time_cut``. Raise what ``build`` raises: of two failures the first, unless the second tells more.
    """
    today = _Supplies(resolve, None, log)
    try:
        return await build(today.supply, False)  # noqa: FBT003 # a callable's parameters have no names
    except PackageFault as fault:
        first = fault
    if not is_rot(first, today.sets[-1] if today.sets else ()):
        raise first
    moment = await uploaded()
    if moment is None:
        log.note(f"{first.kind} looks like rot, but nobody says when the sdist was uploaded")
        raise first
    log.note(f"failed: {first}")
    log.note(
        f"that looks like rot: once more, with build requirements as of {moment:%Y-%m-%d %H:%M}, the sdist's upload"
    )
    log.learn(time_cut=moment, requirements=())
    then = _Supplies(resolve, moment, log, unless=(today.sets, first))
    try:
        return await build(then.supply, True)  # noqa: FBT003 # as above
    except PackageFault as second:
        if second is first:
            log.note("the index of that time gives the same build requirements")
            log.learn(time_cut=None)
            raise
        raise _told(first, second, moment) from second


class _Supplies:
    """Resolves for one try, and remembers what each round gave."""

    def __init__(
        self,
        resolve: Callable[[Sequence[str], Path, datetime | None], Awaitable[Used]],
        moment: datetime | None,
        log: BuildLog,
        unless: tuple[list[Used], PackageFault] | None = None,
    ) -> None:
        """``unless``: end with this fault where all rounds give what they gave before, since all the rest would too."""
        self.sets: list[Used] = []
        self._resolve = resolve
        self._moment = moment
        self._log = log
        self._unless = unless

    async def supply(self, requirements: Sequence[str], folder: Path) -> None:
        """Put the wheels into the folder."""
        used = await self._resolve(requirements, folder, self._moment)
        self.sets.append(used)
        for one in used:
            self._log.note(f"build requirement {one.filename} sha256:{one.sha256}")
        self._log.learn(requirements=used)
        if self._unless is not None and self.sets == self._unless[0]:
            raise self._unless[1]


_VAGUE: Final = ("rot", "build.failed", "deps.unresolvable", "requires.refused", "deps.undeclared")


def _told(first: PackageFault, second: PackageFault, moment: datetime) -> PackageFault:
    """Return the failure to tell of: the second where it names a cause, and the first is healed but for that."""
    is_clearer = not any(f"{second.kind}.".startswith(f"{kind}.") for kind in _VAGUE)
    chosen = second if is_clearer else first
    tried = f" (tried with build requirements of {moment:%Y-%m-%d} as well)"
    line = chosen.line[: _LINE_CHARACTERS - len(tried)] + tried
    fault = PackageFault(chosen.stage, chosen.kind, line)
    fault.wheel = second.wheel  # what the first built is gone, and the second's may be kept for the operator
    return fault
