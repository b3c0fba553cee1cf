"""Runs programs as the first process of the sandbox, and leaves none of them, nor their children, alive."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from buildthrough.builders.inside.places import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PR_SET_DUMPABLE = 4


def hide() -> None:
    """Keep the sandbox's other processes away from this one's file descriptors and memory."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


class TooLate(Exception):
    """A program took too long and was ended."""


def run(
    argv: Sequence[str],
    *,
    folder: str,
    environment: Mapping[str, str],
    seconds: float = 0,
    inherited: tuple[int, ...] = (),
) -> int:
    """Run a program until it ends, then end everything else in the sandbox. Return its exit code as a shell gives it.

    Orphans are reaped while waiting: nobody else does it for the first process. ``seconds`` is its time, 0 is for
    ever; raise `TooLate` after it. ``inherited`` are file descriptors that it gets.
    """
    if not (os.getpid() == 1 or _is_kept_in()):
        raise AssertionError("killing everybody is for those only who reach nobody outside")
    late = False

    def ring(_number: int, _frame: object) -> None:
        nonlocal late
        if time.monotonic() < deadline:
            return  # the program can send this signal as well
        late = True
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)

    deadline = time.monotonic() + seconds
    signal.signal(signal.SIGALRM, ring)
    program = subprocess.Popen(
        list(argv),
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=inherited,
    )
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)  # again each second: the first may come a little early
    status = 0
    ended = 0
    while ended != program.pid:
        ended, status = os.waitpid(-1, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    code = os.waitstatus_to_exitcode(status)
    program.returncode = code
    end_all()
    if late:
        raise TooLate
    return code if code >= 0 else 128 - code


def _is_kept_in() -> bool:
    """Whether Landlock keeps our signals in: then not even our parent, of our own user, gets one."""
    if not ROOT:
        return False
    try:
        os.kill(os.getppid(), 0)
    except PermissionError:
        return True
    return False


def end_all() -> None:
    """Kill every other process of the sandbox and wait until the last one is gone."""
    while True:
        with suppress(ProcessLookupError):  # there may be none to kill, but one to reap
            os.kill(-1, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return
