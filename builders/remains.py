"""Looks for what a command left behind, when everything of it is said to be dead. All calls block."""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from buildthrough.builders.cgroup import Cgroup

_PATIENCE_SECONDS = 1.0
"""What was killed stays for moments until whoever inherited it has taken note."""
_OF_A_SERVER = re.compile(r"/buildthrough-(?P<supervisor>\d+)-\d+(?:/|$)", re.MULTILINE)
_DEAD = ("Z", "X")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """By what the processes of one command can be told from all others."""

    uid: int | None
    """Of a user who runs nothing else; None where there is none."""
    namespace: int | None
    """Of process ids, as its inode number; None where none was made."""
    cgroup: Cgroup | None


def find_remains(marks: Marks, proc: Path = Path("/proc")) -> tuple[str, ...]:
    """Return a description of each process that is still alive, nothing in a sound machine.

    What is found is given a second to be gone, then it is killed; it is returned all the same. Another server's
    builds may have the same user; what is in another living server's control group is not counted.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while left := tuple(_alive(marks, proc)):
        if time.monotonic() > deadline:
            described = tuple(_describe(proc / str(pid)) for pid in left)
            for pid in left:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            return described
        time.sleep(0.01)
    return ()


def _alive(marks: Marks, proc: Path) -> Iterator[int]:
    members = frozenset() if marks.cgroup is None else marks.cgroup.members()
    for entry in os.scandir(proc):
        if not entry.name.isdecimal():
            continue
        process = proc / entry.name
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            if (
                int(entry.name) in members
                or (marks.namespace is not None and _namespace(process) == marks.namespace)
                or (marks.uid is not None and _belongs_to(process, marks.uid) and not _is_of_another_server(process))
            ) and _state(process) not in _DEAD:
                yield int(entry.name)


def _namespace(process: Path) -> int | None:
    try:
        return (process / "ns" / "pid").stat().st_ino
    except PermissionError:  # it is of somebody whom we do not build as
        return None


def _status(process: Path) -> dict[str, str]:
    rows = (line.partition(":") for line in (process / "status").read_text().splitlines())
    return {name: value.strip() for name, _, value in rows}


def _belongs_to(process: Path, uid: int) -> bool:
    """Whether one of its four user ids is this one."""
    return str(uid) in _status(process)["Uid"].split()


def _state(process: Path) -> str:
    return _status(process)["State"][:1]


def _is_of_another_server(process: Path) -> bool:
    groups = {int(match["supervisor"]) for match in _OF_A_SERVER.finditer((process / "cgroup").read_text())}
    return any(pid != os.getpid() and Path("/proc", str(pid)).exists() for pid in groups)


def _describe(process: Path) -> str:
    try:
        status = _status(process)
    except (FileNotFoundError, ProcessLookupError):
        return f"{process.name} (gone meanwhile)"
    return f"{process.name} ({status['Name']}, uid {status['Uid'].split()[0]})"
