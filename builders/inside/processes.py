"""Runs programs as the first process of the sandbox, and leaves none of them, nor their children, alive."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from buildthrough.builders.inside.places import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PR_SET_DUMPABLE = 4
_MOST_FORGIVEN = 4
"""Times its own time: so long a program that gets no processor may take."""


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
    ever; raise `TooLate` after it; see `is_late`. ``inherited`` are file descriptors that it gets.
    """
    if not (os.getpid() == 1 or _is_kept_in()):
        raise AssertionError("killing everybody is for those only who reach nobody outside")
    late = False
    pid = 0

    def ring(_number: int, _frame: object) -> None:
        nonlocal late
        if not is_late(time.monotonic() - begun, seconds, starved(pid)):
            return  # the program can send this signal as well
        late = True
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)

    begun = time.monotonic()
    signal.signal(signal.SIGALRM, ring)
    program = subprocess.Popen(
        list(argv),
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=inherited,
    )
    pid = program.pid
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)  # again each second: the first may come too early
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


def is_late(passed: float, seconds: float, waited: float) -> bool:
    """Whether a program's time is over; for how long it ``waited`` for a processor is not counted, within bounds."""
    return passed >= seconds + min(waited, _MOST_FORGIVEN * seconds)


def starved(pid: int, proc: Path = Path("/proc")) -> float:
    """Return the seconds that the first thread of a process waited for a processor, 0 where nobody tells.

    Builds take what others leave: where those leave nothing, a program is not too slow by that.
    """
    try:
        return int((proc / str(pid) / "schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, LookupError):
        return 0.0


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
