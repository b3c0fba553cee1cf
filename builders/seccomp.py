"""The system call filter of the sandbox as a classic BPF program, assembled here: pure, no library.

An allow-list. Foreign architectures are killed, unknown numbers (x32's among them) answer ENOSYS, known dangers EPERM.
The layout of the program's input is ``struct seccomp_data`` (linux/seccomp.h): number, architecture,
instruction pointer, six arguments of 64 bits, little endian on both architectures.
"""

from __future__ import annotations

import struct
from itertools import groupby
from typing import Final, Literal

from buildthrough.builders import syscalls

Architecture = Literal["x86_64", "aarch64"]

ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
PRETEND: Final = 0x00050000
"""An error of the number 0: the call returns 0."""
EPERM: Final = 0x00050000 | 1
ENOSYS: Final = 0x00050000 | 38
EAFNOSUPPORT: Final = 0x00050000 | 97

AF_UNIX: Final = 1
AUDIT_ARCH: Final[dict[Architecture, int]] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_COLUMN: Final[dict[Architecture, int]] = {"x86_64": 1, "aarch64": 2}
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
"""Offsets; of an argument the low 32 bits, all that the kernel looks at in the calls decided here (CVE-2019-10063)."""

_NEW_NAMESPACES = 0x7E020000
"""The CLONE_NEW* bits of clone(2). CLONE_NEWTIME exists for clone3 and unshare alone, which are not allowed at all."""
_TERMINAL_REQUESTS = (0x5412, 0x541C, 0x5423)
"""TIOCSTI and TIOCLINUX type into the caller's terminal (CVE-2017-5226, CVE-2023-28100); TIOCSETD loads modules."""
_PERSONALITIES = (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)
"""Linux, 32 bit, with the kernel version 2.6 feigned, and the question. None makes memory executable or fixed."""

_OF_SOCKETS = ("accept", "accept4", "bind", "connect", "listen")
_ON_A_PROCESS = ("prlimit64", "sched_setaffinity", "sched_setparam")
"""Take a process as their first argument; 0 is the one that calls."""
_ON_SOME = {"setpriority": 0, "ioprio_set": 1}
"""Take a kind of whom first, of which this value means one process, and then which, where 0 is the one that calls."""
_NO_STREAM = 0xE
"""Bits of a socket's type that a stream (1) does not have; above them lie flags."""

_Block = list[tuple[int, int, int, int]]


def program(
    architecture: Architecture, *, memfd: bool, families: tuple[int, ...] = (AF_UNIX,), strict: bool = False
) -> bytes:
    """Return the filter, as ``bwrap --seccomp`` reads it.

    ``memfd`` allows anonymous files: only where a memory cgroup counts them. ``families`` are the
    address families that a socket may have. ``strict`` is for where the host's processes and sockets are in sight: no
    sockets but connected pairs of streams, and nothing that changes another process of the same user.
    """
    argued = _numbers(syscalls.ARGUED, architecture)
    block = [
        (_LOAD, 0, 0, _ARCH),
        (_JUMP_EQUAL, 1, 0, AUDIT_ARCH[architecture]),
        _return(KILL),
        (_LOAD, 0, 0, _NUMBER),
        *_case(argued["clone"], _clone()),
        *_case(argued["ioctl"], _among(_SECOND_ARGUMENT, _TERMINAL_REQUESTS, EPERM, ALLOW)),
        *_case(argued["personality"], _among(_FIRST_ARGUMENT, _PERSONALITIES, ALLOW, EPERM)),
        *_case(argued["socket"], _among(_FIRST_ARGUMENT, () if strict else families, ALLOW, EAFNOSUPPORT)),
        *_case(argued["socketpair"], _streams() if strict else _among(_FIRST_ARGUMENT, families, ALLOW, EAFNOSUPPORT)),
        *(_of_others(architecture) if strict else ()),
        *_by_number(_verdicts(architecture, memfd=memfd, strict=strict)),
    ]
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in block)


def _numbers(table: str, architecture: Architecture) -> dict[str, int]:
    column = _COLUMN[architecture]
    rows = [entry.split(":") for entry in table.split()]
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def _verdicts(architecture: Architecture, *, memfd: bool, strict: bool) -> dict[int, int]:
    allowed = _numbers(syscalls.ALLOWED, architecture)
    verdicts = dict.fromkeys(allowed.values(), ALLOW)
    verdicts |= dict.fromkeys(_numbers(syscalls.REFUSED, architecture).values(), EPERM)
    verdicts |= dict.fromkeys(_numbers(syscalls.PRETENDED, architecture).values(), PRETEND)
    if not memfd:
        verdicts[allowed["memfd_create"]] = EPERM
    if strict:
        verdicts |= dict.fromkeys((allowed[name] for name in _OF_SOCKETS), EPERM)
    return verdicts


def _by_number(verdicts: dict[int, int]) -> _Block:
    """Walk the numbers upwards in runs of one verdict; what lies above the last run does not exist."""
    every = [verdicts.get(number, ENOSYS) for number in range(max(verdicts) + 1)]
    block: _Block = []
    end = 0
    for verdict, run in groupby(every):
        end += len(list(run))
        block += [(_JUMP_AT_LEAST, 1, 0, end), _return(verdict)]
    return [*block, _return(ENOSYS)]


def _case(number: int, block: _Block) -> _Block:
    """Run the block, which always returns, for one system call."""
    return [(_JUMP_EQUAL, 0, len(block), number), *block]


def _clone() -> _Block:
    return [
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_ANY_BIT, 0, 1, _NEW_NAMESPACES),
        _return(EPERM),
        _return(ALLOW),
    ]


def _streams() -> _Block:
    """Allow pairs of local streams: they are connected to each other and reach nobody else."""
    return [
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_EQUAL, 1, 0, AF_UNIX),
        _return(EAFNOSUPPORT),
        (_LOAD, 0, 0, _SECOND_ARGUMENT),
        (_JUMP_ANY_BIT, 0, 1, _NO_STREAM),
        _return(EAFNOSUPPORT),
        _return(ALLOW),
    ]


def _of_others(architecture: Architecture) -> _Block:
    """Allow what a process does to itself; Landlock does not see to limits and priorities of others."""
    numbers = _numbers(syscalls.ALLOWED, architecture)
    block: _Block = []
    for name in _ON_A_PROCESS:
        block += _case(numbers[name], _among(_FIRST_ARGUMENT, (0,), ALLOW, EPERM))
    for name, one_process in _ON_SOME.items():
        itself = _among(_SECOND_ARGUMENT, (0,), ALLOW, EPERM)
        kind: _Block = [(_LOAD, 0, 0, _FIRST_ARGUMENT), (_JUMP_EQUAL, 1, 0, one_process), _return(EPERM)]
        block += _case(numbers[name], [*kind, *itself])
    return block


def _among(offset: int, values: tuple[int, ...], verdict: int, otherwise: int) -> _Block:
    """Return one verdict where the argument is among the values, another one where it is not."""
    tests: _Block = [(_JUMP_EQUAL, len(values) - index, 0, value) for index, value in enumerate(values)]
    return [(_LOAD, 0, 0, offset), *tests, _return(otherwise), _return(verdict)]


def _return(verdict: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, verdict)
