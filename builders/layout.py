"""Where installers put a wheel's files, and whether all of them put the same there. Pure.

pip and uv go different ways where two files of a wheel have one place, where a script would replace the interpreter,
and where ``entry_points.txt`` is not what it should be. Such a wheel is refused: it would mean two things.
Sources: the binary distribution format and entry points specifications; what pip 23 and uv 0.13 do.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from buildthrough.builders.archive_entry import name_key, quoted, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

ENTRY_POINTS_BYTES = 1 << 20
_SCRIPTS = ("console_scripts", "gui_scripts")
_INTERPRETER = r"(?:pythonw?[0-9.]*[td]*|pypy[0-9.]*)(?:\.exe)?"
_RESERVED = re.compile(rf"(?:bin/|prefix/(?:scripts/)?){_INTERPRETER}|prefix/pyvenv\.cfg")
_GROUP = re.compile(r"\[([^\[\]]+)\]")
_SCRIPT = re.compile(r"\w[\w.+-]*")
_OBJECT = re.compile(r"\w+(?:\.\w+)*:\w+(?:\.\w+)* *(?:\[ *[\w-]+(?:, *\w+)* *\])?")
_SITE_PACKAGES = re.compile(r"data/lib(?:64)?/python3[^/]*/site-packages/(.+)")
_INSTALLERS = frozenset({"INSTALLER", "REQUESTED", "direct_url.json"})


def check_layout(files: Iterable[str], info: str) -> list[str]:
    """Refuse files that would share a place, or take an interpreter's. Return warnings."""
    data = info.removesuffix(".dist-info") + ".data/"
    taken: dict[str, str] = {}
    folders: dict[str, str] = {}
    warnings = []
    for path in sorted(files):
        place, is_in_data = _place(path, data)
        top, _, name = place.removeprefix("lib/").partition("/")
        if is_in_data and place.startswith("lib/") and top.casefold().endswith((".dist-info", ".egg-info")):
            raise refusal("dist-info", f"{quoted(path)} would be metadata that is not the wheel's own")
        if _RESERVED.fullmatch(place.casefold()):
            raise refusal("script", f"{quoted(path)} would take the place of an interpreter")
        if top == info and name in _INSTALLERS:
            warnings.append(f"{quoted(path)} is for installers to write")
        key = name_key(place)
        if key in taken:
            raise refusal("duplicate", f"{quoted(path)} and {quoted(taken[key])} would be installed at one place")
        taken[key] = path
        while key := key.rpartition("/")[0]:
            if folders.setdefault(key, path) is not path:
                break
    for key in taken.keys() & folders.keys():
        raise refusal(
            "duplicate", f"{quoted(taken[key])} would be installed where {quoted(folders[key])} needs a folder"
        )
    return warnings[:20]


def check_entry_points(content: bytes) -> None:
    """Refuse what is not the one thing to all installers, and scripts that would lie elsewhere or be an interpreter."""
    try:
        groups = _groups(textwrap.dedent(content.decode()))
    except ValueError as error:
        raise refusal("entry-points", f"entry_points.txt cannot be read: {error}") from error
    console, windowed = (groups.get(group, {}) for group in _SCRIPTS)
    for name, value in (*console.items(), *windowed.items()):
        if name in console and name in windowed:
            raise refusal("entry-points", f"the script {quoted(name)} is there twice")
        if not _SCRIPT.fullmatch(name):
            raise refusal("script", f"the script {quoted(name)} cannot be called that")
        if _RESERVED.fullmatch(f"bin/{name.casefold()}"):
            raise refusal("script", f"the script {quoted(name)} would take the place of an interpreter")
        if not _OBJECT.fullmatch(value):
            raise refusal("entry-points", f"the script {quoted(name)} names no function: {quoted(value)}")


def _groups(text: str) -> dict[str, dict[str, str]]:
    """Read the groups. Raise ValueError for lines that readers of such files take for different things."""
    groups: dict[str, dict[str, str]] = {}
    group: dict[str, str] | None = None
    for line in text.replace("\r\n", "\n").split("\n"):
        said = line.rstrip(" \t")
        if not said or said.startswith("#"):
            continue
        if not said.isprintable() or said[0] in " \t;":
            raise ValueError(f"a line of it is indented, or no plain text: {quoted(said)}")
        if match := _GROUP.fullmatch(said):
            if match[1] in groups:
                raise ValueError(f"the group {quoted(match[1])} is there twice")
            group = groups[match[1]] = {}
            continue
        name, equals, value = (part.strip(" \t") for part in said.partition("="))
        if group is None or not equals or not name or name in group:
            raise ValueError(f"{quoted(said)} is in no group, names nothing, or is there twice")
        group[name] = value
    return groups


def _place(path: str, data: str) -> tuple[str, bool]:
    """Return where a file is installed: below ``lib``, ``bin``, ``headers`` or ``prefix``; and whether by ``.data``."""
    if not path.startswith(data):
        return f"lib/{path}", False
    rest = path.removeprefix(data)
    scheme, _, below = rest.partition("/")
    if scheme in {"purelib", "platlib"}:
        return f"lib/{below}", True
    if match := _SITE_PACKAGES.fullmatch(rest):
        return f"lib/{match[1]}", True
    if scheme == "scripts" or rest.startswith("data/bin/"):
        return f"bin/{below.removeprefix('bin/') if scheme == 'data' else below}", True
    return f"{'headers' if scheme == 'headers' else 'prefix'}/{below}", True
