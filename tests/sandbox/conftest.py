"""Runs scripts in the real sandbox, in both ways: with a user of its own and a control group, and without either."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes import uids

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
FIRST_UID = uids.SANDBOX
"""Users of these tests alone, so that what they leave behind is theirs."""
ORDINARY_UID = uids.ORDINARY
PYTHON = "/usr/bin/python3"

PRELUDE = """
import ctypes, errno, json, os, signal, socket, subprocess, sys, time
_messages = open(int(sys.argv[2]), "w")
def say(**message):
    _messages.write(json.dumps(message) + "\\n")
    _messages.flush()
def attempt(action):
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "done"
_libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    result = _libc.syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments))
    return errno.errorcode.get(ctypes.get_errno(), "?") if result == -1 else "done"
"""


@dataclass
class Outcome:
    """What a script inside said, and how it ended."""

    messages: list[dict[str, Any]]
    exit_code: int
    overrun: str | None
    log: str
    seconds: float
    peak_memory_bytes: int | None
    cpu_seconds: float | None
    refused_forks: int

    @property
    def said(self) -> dict[str, Any]:
        """All messages as one; a script that said nothing shows its log."""
        assert self.messages, self.log
        return {key: value for message in self.messages for key, value in message.items()}


@dataclass
class Inside:
    """Runs Python scripts inside, under a supervisor process that is root or nobody in particular."""

    uid: int | None
    work: Path
    walls: str = "namespaces"
    """What keeps them in: ``namespaces`` or ``landlock``."""
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    """In the command line of all that runs inside, by which survivors are found."""

    def job(self, script: str, *, mounts: dict[str, str] | None = None, **limits: float) -> dict[str, Any]:
        return {
            "argv": [PYTHON, "-I", "-S", "-c", f"# {self.token}\n{PRELUDE}\n{script}"],
            "mounts": [[source, target] for target, source in (mounts or {}).items()],
            "limits": {"memory_bytes": 256 << 20, "wall_seconds": 120.0} | limits,
            "first_uid": FIRST_UID,
            "work": str(self.work / "own"),
            "walls": self.walls,
            "probe": False,
        }

    def supervisor(self) -> list[str]:
        if self.uid is None:
            return [sys.executable, "-I", "-S", str(self.work / "supervisor.py"), str(self.work)]
        become = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "--inh-caps=-all", "--"]
        return [*become, PYTHON, "-I", "-S", str(self.work / "supervisor.py"), str(self.work)]

    async def start(self, job: dict[str, Any]) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *self.supervisor(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        process.stdin.write(json.dumps(job).encode())
        process.stdin.close()
        return process

    async def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        process = await self.start(job)
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return json.loads(out)

    async def __call__(self, script: str, *, mounts: dict[str, str] | None = None, **limits: float) -> Outcome:
        outcome = Outcome(**await self.ask(self.job(script, mounts=mounts, **limits)))
        assert self.survivors() == []
        return outcome

    def survivors(self) -> list[int]:
        return [pid for pid in _pids() if self.token.encode() in _command_line(pid)]

    def clear(self) -> None:
        for pid in self.survivors():
            os.kill(pid, signal.SIGKILL)

    async def left_after(self, seconds: float, *, but: str | None = None) -> list[str]:
        """Wait until nothing is left, for so long; describe what is left then, but for lines with ``but``."""
        deadline = time.monotonic() + seconds
        while (left := self._left(but)) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        return left

    def _left(self, but: str | None) -> list[str]:
        lines = map(_describe, self.survivors())
        return [line for line in lines if line is not None and (but is None or but not in line)]


def _pids() -> list[int]:
    return [int(process.name) for process in Path("/proc").glob("[0-9]*")]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _describe(pid: int) -> str | None:
    """Return a line about a process; None for one that has ended, and that init may not have reaped yet."""
    try:
        program = Path(f"/proc/{pid}/comm").read_text().strip()
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        waits = Path(f"/proc/{pid}/wchan").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if "State:\tZ (zombie)" in status:
        return None
    return f"{pid} {program} {waits} " + " ".join(
        line for line in status if line.startswith(("State", "PPid", "NSpid"))
    )


@pytest.fixture
def work() -> Iterator[Path]:
    """Make a folder that every user can read, with a copy of the code in it; pytest's own is its owner's alone."""
    folder = Path(tempfile.mkdtemp(prefix="sandbox-tests-"))
    folder.chmod(0o755)
    shutil.copytree(ROOT / "builders", folder / "buildthrough/builders", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).with_name("supervisor.py"), folder)
    (folder / "own").mkdir()
    (folder / "own").chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=["own-user-and-control-group", "ordinary-user"])
def inside(request: pytest.FixtureRequest, work: Path) -> Inside:
    """Run in the sandbox under a supervisor that is root, and under one that is nobody in particular."""
    if os.geteuid() != 0:
        if request.param != "ordinary-user":
            pytest.skip("only root can give a slot a user of its own")
        return Inside(uid=None, work=work)
    return Inside(uid=None if request.param != "ordinary-user" else ORDINARY_UID, work=work)
