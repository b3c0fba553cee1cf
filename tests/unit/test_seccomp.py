"""The system call filter, run by an interpreter of classic BPF for both architectures, and pinned whole."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from buildthrough.builders import syscalls
from buildthrough.builders.seccomp import ALLOW, AUDIT_ARCH, EAFNOSUPPORT, ENOSYS, EPERM, KILL, PRETEND, program

GOLDEN = Path(__file__).parents[1] / "golden"
LONGEST_PROGRAM = 4096
VERDICTS = {
    ALLOW: "allow",
    PRETEND: "pretend",
    KILL: "kill",
    EPERM: "EPERM",
    ENOSYS: "ENOSYS",
    EAFNOSUPPORT: "EAFNOSUPPORT",
}


def instructions(code):
    return list(struct.iter_unpack("<HBBI", code))


def decide(code, number, *arguments, arch):
    """Run a filter over one system call, as the kernel does."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, arch, 0, *(argument & (1 << 64) - 1 for argument in padded))
    accumulator, at, program_code = 0, 0, instructions(code)
    while True:
        operation, if_true, if_false, value = program_code[at]
        at += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, value)
            case 0x15:
                at += if_true if accumulator == value else if_false
            case 0x35:
                at += if_true if accumulator >= value else if_false
            case 0x45:
                at += if_true if accumulator & value else if_false
            case 0x06:
                return VERDICTS[value]
            case _:
                raise AssertionError(operation)


def numbers(table, architecture):
    column = {"x86_64": 1, "aarch64": 2}[architecture]
    rows = (entry.split(":") for entry in table.split())
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


@pytest.fixture(params=["x86_64", "aarch64"])
def architecture(request):
    return request.param


@pytest.fixture
def verdict(architecture):
    code = program(architecture, memfd=True)
    known = numbers(syscalls.ALLOWED + syscalls.PRETENDED + syscalls.REFUSED + syscalls.ARGUED, architecture)

    def verdict(call, *arguments, arch=AUDIT_ARCH[architecture]):
        return decide(code, known.get(call, call), *arguments, arch=arch)

    return verdict


@pytest.mark.parametrize(("memfd", "strict"), [(True, False), (False, False), (False, True)])
def test_the_program_is_the_one_that_was_reviewed(architecture, memfd, strict):
    name = f"seccomp-{architecture}{'-strict' if strict else '' if memfd else '-without-memfd'}.txt"
    lines = [f"{index:3} {op:#04x} {jt:3} {jf:3} {k:#010x}" for index, (op, jt, jf, k) in enumerate(
        instructions(program(architecture, memfd=memfd, strict=strict)))]  # fmt: skip
    assert lines == (GOLDEN / name).read_text().splitlines()
    assert len(lines) < LONGEST_PROGRAM


def test_every_listed_call_gets_its_verdict(architecture, verdict):
    for number in numbers(syscalls.ALLOWED, architecture).values():
        assert verdict(number) == "allow"
    for number in numbers(syscalls.PRETENDED, architecture).values():
        assert verdict(number) == "pretend"
    for number in numbers(syscalls.REFUSED, architecture).values():
        assert verdict(number) == "EPERM"


def test_every_other_number_does_not_exist(architecture, verdict):
    listed = set(
        numbers(syscalls.ALLOWED + syscalls.PRETENDED + syscalls.REFUSED + syscalls.ARGUED, architecture).values()
    )
    for number in {*range(600), 999, 0x40000000, 0x40000000 + 39, 0x7FFFFFFF, 0xFFFFFFFF} - listed:
        assert verdict(number) == "ENOSYS"


def test_no_call_is_in_two_lists(architecture):
    tables = [
        numbers(table, architecture)
        for table in (syscalls.ALLOWED, syscalls.PRETENDED, syscalls.REFUSED, syscalls.ARGUED)
    ]
    every = [number for table in tables for number in table.values()]
    assert len(every) == len(set(every))


def test_a_foreign_architecture_is_killed(architecture, verdict):
    i386 = 0x40000003
    other = {"x86_64": "aarch64", "aarch64": "x86_64"}[architecture]
    assert verdict("read", arch=i386) == "kill"
    assert verdict("read", arch=AUDIT_ARCH[other]) == "kill"


@pytest.mark.parametrize("flag", [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000])
def test_clone_makes_no_namespaces(verdict, flag):
    threads, sigchld = 0x003D0F00, 17
    assert verdict("clone", threads) == "allow"
    assert verdict("clone", sigchld) == "allow"
    assert verdict("clone", flag | sigchld) == "EPERM"
    assert verdict("clone", 1 << 40 | flag) == "EPERM"


def test_clone3_does_not_exist_so_that_libc_takes_clone(verdict):
    assert verdict(435) == "ENOSYS"


@pytest.mark.parametrize("call", ["socket", "socketpair"])
def test_sockets_are_local(verdict, call):
    assert verdict(call, 1) == "allow"
    assert verdict(call, 1 << 32 | 1) == "allow"  # the kernel takes an int
    for family in (0, 2, 10, 16, 17, 38, 40, 1 << 32):
        assert verdict(call, family) == "EAFNOSUPPORT"


def test_families_can_be_added():
    code = program("x86_64", memfd=True, families=(1, 2, 10))
    assert [decide(code, 41, family, arch=AUDIT_ARCH["x86_64"]) for family in (1, 2, 10, 16)] == [
        "allow", "allow", "allow", "EAFNOSUPPORT",
    ]  # fmt: skip


@pytest.mark.parametrize("request_", [0x5412, 0x541C, 0x5423])
def test_terminals_cannot_be_typed_into(verdict, request_):
    assert verdict("ioctl", 0, request_) == "EPERM"
    assert verdict("ioctl", 0, 1 << 32 | request_) == "EPERM"
    assert verdict("ioctl", request_, 0x5401) == "allow"


def test_personalities(verdict):
    for persona in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF):
        assert verdict("personality", persona) == "allow"
    assert verdict("personality", 0x0040000) == "EPERM"  # ADDR_NO_RANDOMIZE
    assert verdict("personality", 0x0400000) == "EPERM"  # READ_IMPLIES_EXEC


def test_anonymous_files_can_be_refused(architecture, verdict):
    number = numbers(syscalls.ALLOWED, architecture)["memfd_create"]
    assert verdict(number) == "allow"
    without = program(architecture, memfd=False)
    assert decide(without, number, arch=AUDIT_ARCH[architecture]) == "EPERM"


@pytest.fixture
def strictly(architecture):
    code = program(architecture, memfd=False, strict=True)
    known = numbers(syscalls.ALLOWED + syscalls.REFUSED + syscalls.ARGUED, architecture)
    return lambda call, *arguments: decide(code, known[call], *arguments, arch=AUDIT_ARCH[architecture])


def test_strictly_there_are_no_sockets_but_pairs_of_streams(strictly):
    for family in (1, 2, 10, 16, 17, 40):
        assert strictly("socket", family, 1) == "EAFNOSUPPORT"
    stream, flags = 1, 0o2000000 | 0o4000
    assert strictly("socketpair", 1, stream) == strictly("socketpair", 1, stream | flags) == "allow"
    for kind in (2, 3, 4, 5, 6, 10):
        assert strictly("socketpair", 1, kind | flags) == "EAFNOSUPPORT"
    assert strictly("socketpair", 2, stream) == "EAFNOSUPPORT"
    for call in ("connect", "bind", "listen", "accept", "accept4", "memfd_create"):
        assert strictly(call) == "EPERM"


def test_strictly_a_process_changes_only_itself(strictly):
    for call in ("prlimit64", "sched_setaffinity", "sched_setparam"):
        assert (strictly(call, 0), strictly(call, 1234)) == ("allow", "EPERM")
    process, group, user = 0, 1, 2
    assert strictly("setpriority", process, 0) == "allow"
    assert {strictly("setpriority", kind, who) for kind, who in ((process, 9), (group, 0), (user, 0))} == {"EPERM"}
    process, group, user = 1, 2, 3
    assert strictly("ioprio_set", process, 0) == "allow"
    assert {strictly("ioprio_set", kind, who) for kind, who in ((process, 9), (group, 0), (user, 0))} == {"EPERM"}


def test_strictly_everything_else_is_as_ever(architecture):
    strict, usual = program(architecture, memfd=False, strict=True), program(architecture, memfd=False)
    changed = {"socketpair", "setpriority", "ioprio_set", "connect", "bind", "listen", "accept", "accept4", "socket"}
    for name, number in numbers(syscalls.ALLOWED + syscalls.REFUSED + syscalls.ARGUED, architecture).items():
        if name not in changed:
            arch = AUDIT_ARCH[architecture]
            assert decide(strict, number, arch=arch) == decide(usual, number, arch=arch), name
