"""Starts a command behind Landlock and a system call filter, where no namespaces can be had, and ends all that it left.

Run by a Python of the system, from its text alone, as the user that builds: ``python -c TEXT PLAN``. The process that
begins here stays outside of the walls. It inherits every orphan of the command, so that none gets away, and dies with
the server. Its child puts the walls up round itself, says that it is ready, and becomes the command when it is told to.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import sys
import time
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 22, 36, 38
SECCOMP_MODE_FILTER = 2
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION_WANTED = 6
"""Of Landlock: the first that keeps signals and abstract sockets in (Linux 6.12)."""
LANDLOCK_CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1
EVERY_FILE_RIGHT = (1 << 16) - 1
EVERY_NET_RIGHT = 3
EVERY_SCOPE = 3
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
MAKE_CHAR, MAKE_SOCK, MAKE_BLOCK, IOCTL_DEV = 1 << 6, 1 << 9, 1 << 11, 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
OWN = EVERY_FILE_RIGHT & ~(MAKE_CHAR | MAKE_SOCK | MAKE_BLOCK | IOCTL_DEV)
DEVICE = READ_FILE | WRITE_FILE
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
KILLED = 128 + signal.SIGKILL

libc = ctypes.CDLL(None, use_errno=True)


class Ended(Exception):
    """The host, or its death, ends the command."""


class Ruleset(ctypes.Structure):
    """``struct landlock_ruleset_attr``."""

    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class PathBeneath(ctypes.Structure):
    """``struct landlock_path_beneath_attr``."""

    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


class Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def main() -> None:
    """Run the command of the plan; end with its exit code, as a shell gives it."""
    plan = json.loads(sys.argv[1])
    check(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")
    signal.signal(signal.SIGTERM, end)
    check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0), "prctl")
    code = KILLED
    try:
        child = os.fork()
        if child == 0:
            become(plan)
        for descriptor in (0, 1, plan["seccomp"], *plan["inherited"]):
            os.close(descriptor)
        code = wait(child)
    except Ended:
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end_all()
    os._exit(code)


def end(_number: int, _frame: object) -> None:
    """Interrupt whatever is waited for."""
    raise Ended


def wait(child: int) -> int:
    """Reap orphans until the command ends; return its exit code."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def end_all() -> None:
    """Kill everything below, and whatever it starts meanwhile, until nothing is left."""
    while True:
        for pid in below(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:  # it has ended meanwhile
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.002)


def below(root: int) -> list[int]:
    """Return the processes below one."""
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except OSError:  # it has ended meanwhile
            pass
        found.append(pid)
    return found[1:]


def become(plan: dict[str, Any]) -> None:
    """Put the walls up and become the command. Say why on standard error where that fails."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()
        check(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")
        check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
        with os.fdopen(plan["seccomp"], "rb") as file:
            program = file.read()
        os.chdir(plan["folder"])
        nothing = os.open("/dev/null", os.O_RDONLY)
        confine(plan)
        check(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(fprog(program)), 0, 0), "seccomp")
        os.write(1, b"\n")
        if os.read(0, 1) == b"":
            os._exit(1)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        for descriptor in plan["inherited"]:
            os.set_inheritable(descriptor, True)  # noqa: FBT003 # the system's signature
        os.execvpe(plan["argv"][0], plan["argv"], plan["environment"])  # noqa: S606 # no shell is wanted
    except BaseException as problem:  # noqa: BLE001 # told, whatever it is
        os.write(2, f"{type(problem).__name__}: {problem}\n".encode())
        os._exit(1)


def fprog(program: bytes) -> Program:
    """Return the filter as the kernel takes it."""
    return Program(len(program) // 8, program)


def confine(plan: dict[str, Any]) -> None:
    """Keep this process and its children to the folders of the plan."""
    version = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), LANDLOCK_CREATE_RULESET_VERSION)
    if version < VERSION_WANTED:
        has = f"version {version}" if version > 0 else "none"
        raise RuntimeError(f"Landlock of version 6 is needed (Linux 6.12), {platform.release()} has {has}")
    rights = Ruleset(EVERY_FILE_RIGHT, EVERY_NET_RIGHT, EVERY_SCOPE)
    ruleset = libc.syscall(CREATE_RULESET, ctypes.byref(rights), ctypes.sizeof(rights), 0)
    check(ruleset, "landlock_create_ruleset")
    for allowed, paths in ((READ, plan["read"]), (OWN, plan["write"]), (DEVICE, plan["devices"])):
        for path in paths:
            allow(ruleset, path, allowed)
    check(libc.syscall(RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)


def allow(ruleset: int, path: str, allowed: int) -> None:
    """Add a rule for a file, or for everything in a folder."""
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # what is not there needs no rule
    if not Path(path).is_dir():
        allowed &= OF_A_FILE
    rule = PathBeneath(allowed, parent)
    check(libc.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, ctypes.byref(rule), 0), "landlock_add_rule")
    os.close(parent)


def check(result: int, call: str) -> None:
    """Raise OSError where a call of the C library failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), call)


if __name__ == "__main__":
    main()
