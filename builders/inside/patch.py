"""Unified diffs, applied strictly: every line of context has to be there, at its place or at one other place only.

Paths are relative, with ``a/`` and ``b/`` in front. Files can be changed, made and removed; nothing is renamed, no
mode is set and nothing binary is understood. Serves the host too, which reads the diffs of recipes when it starts.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@.*")
_NOWHERE = "/dev/null"
_NO_NEWLINE = b"\\ No newline"
_NOT_UNDERSTOOD = (b"GIT binary patch", b"Binary files ", b"rename from ", b"copy from ", b"new file mode 12")


class NotAPatch(ValueError):
    """The text is no unified diff that is understood here; the message says why."""


class DoesNotApply(Exception):
    """The sources are not what the patch expects; the message says where."""


@dataclass(frozen=True)
class Hunk:
    """One change: these lines, with their ends, become those."""

    start: int
    """Index of the first old line."""
    old: tuple[bytes, ...]
    new: tuple[bytes, ...]


@dataclass(frozen=True)
class FileChange:
    """What becomes of one file."""

    path: str
    """Relative, in the sources."""
    makes: bool
    removes: bool
    hunks: tuple[Hunk, ...]


def parse_patch(text: bytes) -> tuple[FileChange, ...]:
    """Read a unified diff. Raise `NotAPatch`."""
    lines = _lines(text)
    changes: list[FileChange] = []
    at = 0
    while at < len(lines):
        if lines[at].startswith(_NOT_UNDERSTOOD):
            raise NotAPatch(f"line {at + 1}: only changes of text files are understood")
        if lines[at].startswith(b"@@"):
            raise NotAPatch(f"line {at + 1}: no file is named before this change")
        if not (lines[at].startswith(b"--- ") and at + 1 < len(lines) and lines[at + 1].startswith(b"+++ ")):
            at += 1
            continue
        old, new = _path(lines[at], b"a/", at), _path(lines[at + 1], b"b/", at + 1)
        at += 2
        if old != new and _NOWHERE not in {old, new}:
            raise NotAPatch(f"line {at}: {old} would become {new}, and nothing is renamed")
        hunks = []
        while at < len(lines) and lines[at].startswith(b"@@"):
            hunk, at = _read_hunk(lines, at)
            hunks.append(hunk)
        path = old if new == _NOWHERE else new
        if path == _NOWHERE or not hunks:
            raise NotAPatch(f"line {at}: it changes nothing")
        changes.append(FileChange(path=path, makes=old == _NOWHERE, removes=new == _NOWHERE, hunks=tuple(hunks)))
    if not changes:
        raise NotAPatch("it changes no file")
    return tuple(changes)


def apply_patch(root: Path, changes: tuple[FileChange, ...]) -> None:
    """Change the files below a folder. Raise `DoesNotApply`; some may be changed by then."""
    for change in changes:
        path = _inside(root, change.path)
        if change.makes:
            if os.path.lexists(path):
                raise DoesNotApply(f"{change.path} is there already")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(apply_hunks(b"", change))
            continue
        if not os.path.lexists(path) or not stat.S_ISREG(path.lstat().st_mode):
            raise DoesNotApply(f"there is no file {change.path}")
        changed = apply_hunks(path.read_bytes(), change)
        if not change.removes:
            path.write_bytes(changed)
        elif changed:
            raise DoesNotApply(f"{change.path} holds more than the patch removes")
        else:
            path.unlink()


def apply_hunks(content: bytes, change: FileChange) -> bytes:
    """Return what a file's content becomes. Raise `DoesNotApply`."""
    lines = _lines(content)
    done: list[bytes] = []
    begin = 0
    """First line that no hunk has taken."""
    drift = 0
    for number, hunk in enumerate(change.hunks, start=1):
        at = _find(lines, hunk, begin, hunk.start + drift)
        if at is None:
            raise DoesNotApply(f"{change.path}: change {number} does not fit what is there")
        done += [*lines[begin:at], *hunk.new]
        begin = at + len(hunk.old)
        drift = at - hunk.start
    return b"".join([*done, *lines[begin:]])


def _lines(content: bytes) -> list[bytes]:
    """Split at line feeds alone, which stay: a carriage return is part of its line."""
    return re.findall(rb"[^\n]*\n|[^\n]+", content)


def _find(lines: list[bytes], hunk: Hunk, begin: int, expected: int) -> int | None:
    """Return where the old lines are: as expected, else at the only place; None for none, and for several."""
    wanted = list(hunk.old)
    if not wanted:
        return expected if begin <= expected <= len(lines) else None
    if expected >= begin and lines[expected : expected + len(wanted)] == wanted:
        return expected
    places = [at for at in range(begin, len(lines) - len(wanted) + 1) if lines[at : at + len(wanted)] == wanted]
    return places[0] if len(places) == 1 else None


def _read_hunk(lines: list[bytes], at: int) -> tuple[Hunk, int]:
    match = _HUNK.match(lines[at])
    if match is None:
        raise NotAPatch(f"line {at + 1}: this is no beginning of a change")
    start, old_left, new_left = int(match[1]), int(match[2] or 1), int(match[4] or 1)
    begin = at
    old: list[bytes] = []
    new: list[bytes] = []
    start -= old_left > 0  # an empty range names the line before it
    at += 1
    while at < len(lines) and (old_left or new_left or lines[at].startswith(_NO_NEWLINE)):
        line = lines[at]
        kind, body = (line[:1], line[1:]) if line not in (b"\n", b"\r\n") else (b" ", line)
        if line.startswith(_NO_NEWLINE):
            _strip_end(lines[at - 1][:1], old, new)
        elif kind not in {b" ", b"-", b"+"}:
            break
        else:
            if kind != b"+":
                old.append(body)
                old_left -= 1
            if kind != b"-":
                new.append(body)
                new_left -= 1
        at += 1
    if old_left or new_left:
        raise NotAPatch(f"line {begin + 1}: the change is not as long as it says")
    return Hunk(start=start, old=tuple(old), new=tuple(new)), at


def _strip_end(kind: bytes, old: list[bytes], new: list[bytes]) -> None:
    if kind != b"+" and old:
        old[-1] = old[-1].rstrip(b"\n")
    if kind != b"-" and new:
        new[-1] = new[-1].rstrip(b"\n")


def _path(line: bytes, prefix: bytes, at: int) -> str:
    name = line[4:].split(b"\t")[0].strip()
    if name == _NOWHERE.encode():
        return _NOWHERE
    path = PurePosixPath(name.removeprefix(prefix).decode("utf-8", "replace"))
    if not name.startswith(prefix) or path.is_absolute() or ".." in path.parts or not path.parts:
        raise NotAPatch(f"line {at + 1}: the path does not begin with {prefix.decode()}, or leaves the sources")
    return str(path)


def _inside(root: Path, name: str) -> Path:
    """Return the path of a file of the sources. Raise `DoesNotApply` where a link leads out of them."""
    path = root / name
    if not path.parent.resolve().is_relative_to(root.resolve()):
        raise DoesNotApply(f"{name} lies behind a link that leaves the sources")
    return path
