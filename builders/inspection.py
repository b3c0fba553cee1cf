"""What is in a checked wheel that its record should tell: libraries of this machine, and files in others' way."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from buildthrough.builders.archive import open_archive
from buildthrough.builders.foreign import find_foreign
from buildthrough.builders.grafted import find_grafted, sentence

if TYPE_CHECKING:
    from pathlib import Path

    from buildthrough.builders.artifact import CheckedWheel
    from buildthrough.builders.build_log import BuildLog

_ENTRY_POINTS_BYTES = 1 << 20
_SECTION = re.compile(r"\[\s*(?P<name>[^\]]{1,100}?)\s*\]")
_SCRIPT = re.compile(r"(?P<name>[^\s=:#;\[][^=:]{0,200}?)\s*[=:]")


def inspect_wheel(wheel: CheckedWheel, *, project: str, root: Path | None, log: BuildLog) -> None:
    """Let the log learn ``grafted`` and ``foreign``. ``root`` is the target's root file system. Blocking."""
    grafted = find_grafted(wheel, root)
    foreign = find_foreign(wheel.files, project, scripts_of(_entry_points(wheel)))
    log.learn(grafted=grafted, foreign=foreign)
    for library in grafted:
        log.note(f"borrowed: {sentence(library)}")
    for file in foreign:
        log.note(f"warning: {file.name}: {file.why}")


def scripts_of(entry_points: str) -> tuple[str, ...]:
    """Return the names of the commands that entry points make. What is malformed is passed over."""
    names = []
    section = ""
    for line in entry_points.splitlines():
        text = line.strip()
        if match := _SECTION.fullmatch(text):
            section = match["name"]
        elif section in {"console_scripts", "gui_scripts"} and (match := _SCRIPT.match(text)):
            names.append(match["name"])
    return tuple(names)


def _entry_points(wheel: CheckedWheel) -> str:
    path = next((file for file in wheel.files if re.fullmatch(r"[^/]+\.dist-info/entry_points\.txt", file)), None)
    if path is None:
        return ""
    with wheel.path.open("rb") as file:
        archive = open_archive(file, max_files=1_000_000, max_bytes=1 << 40)
        entry = next(entry for entry in archive.entries if entry.path == path)
        return archive.read(entry, limit=_ENTRY_POINTS_BYTES).decode(errors="replace")
