"""What a hostile build can reach: nothing of the host's files, network, kernel and processes."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
from pathlib import Path

import pytest

from buildthrough.builders import syscalls
from buildthrough.builders.cgroup import find_hierarchy

ENVIRONMENT = {
    "PATH", "HOME", "TMPDIR", "LC_ALL", "LANG", "TERM", "SOURCE_DATE_EPOCH", "PYTHONHASHSEED",
    "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "USER", "LOGNAME", "PIP_NO_INDEX", "MAKEFLAGS",
    "UV_PYTHON_DOWNLOADS", "PWD", "TZ", "ZERO_AR_DATE",
}  # fmt: skip
ROOT = {"bin", "build", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "tmp", "usr"}
ETC = {
    "alternatives", "group", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "nsswitch.conf", "passwd",
}  # fmt: skip
x86_64_only = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86_64")


async def test_only_our_environment_is_set(inside, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "canary")
    outcome = await inside("say(**os.environ)")
    assert sorted(outcome.said) == sorted(ENVIRONMENT)


async def test_files_of_the_host_are_absent(inside, work):
    canary = work / "canary"
    canary.write_text("a secret that everybody outside may read")
    outcome = await inside(
        f"say(canary=os.path.exists({str(canary)!r}), root=sorted(os.listdir('/')), etc=sorted(os.listdir('/etc')),"
        "home=os.listdir('/home'), tmp=os.listdir('/tmp'), shadow=os.path.exists('/etc/shadow'))"
    )
    said = outcome.said
    assert said["canary"] is False
    assert said["shadow"] is False
    assert set(said["root"]) <= ROOT
    assert set(said["etc"]) <= ETC
    assert said["home"] == ["build"]
    assert said["tmp"] == []


async def test_mounts_are_readable_and_nothing_of_them_writable(inside, work):
    folder = work / "lent"
    folder.mkdir()
    (folder / "file").write_text("content")
    outcome = await inside(
        """
say(content=open("/root/deep/lent/file").read(),
    write=attempt(lambda: open("/root/deep/lent/file", "w")),
    add=attempt(lambda: open("/root/deep/lent/other", "w")),
    link=attempt(lambda: os.link("/root/deep/lent/file", "/build/link")))
""",
        mounts={"/root/deep/lent": str(folder)},
    )
    assert outcome.said == {"content": "content", "write": "EROFS", "add": "EROFS", "link": "EXDEV"}


async def test_nothing_but_the_temporary_folders_can_be_written(inside):
    outcome = await inside(
        """
for folder in ("/", "/usr", "/usr/bin", "/etc", "/dev", "/proc/sys", "/home"):
    say(**{folder: attempt(lambda: open(folder + "/x", "w"))})
for folder in ("/build", "/tmp", "/home/build", "/dev/shm"):
    say(**{folder: attempt(lambda: open(folder + "/x", "w"))})
"""
    )
    said = outcome.said
    assert {said[folder] for folder in ("/build", "/tmp", "/home/build", "/dev/shm")} == {"done"}
    assert {said[folder] for folder in ("/", "/usr", "/usr/bin", "/etc", "/dev", "/proc/sys", "/home")} <= {
        "EROFS",
        "EACCES",
    }


async def test_temporary_folders_are_bounded(inside):
    outcome = await inside(
        """
def fill(path, most):
    written = 0
    try:
        with open(path + "/fill", "wb", 0) as file:
            while written < most << 20:
                written += file.write(b"x" * (1 << 20))
    except OSError as error:
        os.unlink(path + "/fill")
        return errno.errorcode[error.errno], round(written / (1 << 20))
    return "none", written
say(build=fill("/build", 100), shm=fill("/dev/shm", 100), home=fill("/home/build", 100))
""",
        disk_bytes=32 << 20,
        memory_bytes=512 << 20,
    )
    assert outcome.said == {"build": ["ENOSPC", 32], "shm": ["ENOSPC", 64], "home": ["ENOSPC", 64]}


async def test_one_file_is_bounded(inside):
    outcome = await inside(
        """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
say(sparse=attempt(lambda: os.truncate(os.open("/build/x", os.O_CREAT | os.O_RDWR), 1 << 40)))
"""
    )
    assert outcome.said == {"sparse": "EFBIG"}


async def test_core_pattern_is_untouched(inside):
    before = Path("/proc/sys/kernel/core_pattern").read_bytes()
    outcome = await inside(
        "say(there=os.listdir('/proc/sys'),"
        "write=attempt(lambda: open('/proc/sys/kernel/core_pattern', 'w').write('|/x')),"
        "sysrq=attempt(lambda: open('/proc/sysrq-trigger', 'w').write('b')))"
    )
    assert outcome.said["there"] == []
    assert outcome.said["write"] == "ENOENT"
    assert outcome.said["sysrq"] in {"ENOENT", "EACCES", "EROFS"}
    assert Path("/proc/sys/kernel/core_pattern").read_bytes() == before


async def test_sockets_of_the_host_are_out_of_reach(inside, work):
    heard = []

    def note(_, writer):
        heard.append(writer)
        writer.close()

    tcp = await asyncio.start_server(note, "127.0.0.1", 0)
    path = await asyncio.start_unix_server(note, str(work / "socket"))
    abstract = await asyncio.start_unix_server(note, f"\0buildthrough-test-{inside.token}")
    (work / "socket").chmod(0o777)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    udp.setblocking(False)  # its only argument
    try:
        outcome = await inside(
            f"""
def unix(address):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address)
say(tcp=attempt(lambda: socket.create_connection(("127.0.0.1", {tcp.sockets[0].getsockname()[1]}), 2)),
    tcp6=attempt(lambda: socket.socket(socket.AF_INET6)),
    udp=attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", {udp.getsockname()!r})),
    path=attempt(lambda: unix({str(work / "socket")!r})),
    abstract=attempt(lambda: unix("\\0buildthrough-test-{inside.token}")))
"""
        )
        assert outcome.said == {
            "tcp": "EAFNOSUPPORT",
            "tcp6": "EAFNOSUPPORT",
            "udp": "EAFNOSUPPORT",
            "path": "ENOENT",
            "abstract": "ECONNREFUSED",
        }
        with pytest.raises(BlockingIOError):
            udp.recv(1)
        assert heard == []
    finally:
        udp.close()
        for server in (tcp, path, abstract):
            server.close()
            await server.wait_closed()


async def test_other_kinds_of_sockets_are_refused(inside):
    families = {"NETLINK": 16, "PACKET": 17, "TIPC": 30, "BLUETOOTH": 31, "ALG": 38, "VSOCK": 40, "XDP": 44, "CAN": 29}
    outcome = await inside(
        f"say(**{{name: attempt(lambda: socket.socket(family, 3)) for name, family in {families!r}.items()}})"
    )
    assert outcome.said == dict.fromkeys(families, "EAFNOSUPPORT")


@x86_64_only
async def test_dangerous_system_calls_are_refused(inside):
    calls = {
        "keyctl": (250, 0, -3, 0),
        "add_key": (248, 0, 0, 0, 0, -3),
        "io_uring_setup": (425, 8, 0),
        "ptrace": (101, 0),
        "process_vm_readv": (310, 1),
        "unshare": (272, 0x10000000),
        "setns": (308, 0, 0),
        "mount": (165, 0, 0, 0, 0, 0),
        "umount2": (166, 0, 0),
        "pivot_root": (155, 0, 0),
        "fsopen": (430, 0, 0),
        "open_tree": (428, -100, 0, 0),
        "bpf": (321, 0, 0, 0),
        "userfaultfd": (323, 0),
        "perf_event_open": (298, 0, 0, 0, 0, 0),
        "open_by_handle_at": (304, -100, 0, 0),
        "shmget": (29, 0, 4096, 0o1600),
        "chroot": (161, 0),
        "init_module": (175, 0, 0, 0),
        "kexec_load": (246, 0, 0, 0, 0),
        "reboot": (169, 0, 0, 0, 0),
        "clone with CLONE_NEWUSER": (56, 0x10000000 | 17, 0, 0, 0, 0),
        "personality": (135, 0x0040000),
        "TIOCSTI": (16, 0, 0x5412, 0),
        "TIOCSTI with high bits": (16, 0, 0x1_0000_5412, 0),
        "TIOCLINUX": (16, 0, 0x541C, 0),
    }
    outcome = await inside(f"say(**{{name: call(*numbers) for name, numbers in {calls!r}.items()}})")
    assert outcome.said == dict.fromkeys(calls, "EPERM")


@pytest.mark.parametrize("walls", ["namespaces", "landlock"])
async def test_every_refused_system_call_is_refused(inside, walls):
    """Not by the kernel for want of rights, but before it looks at anything: all arguments are nonsense."""
    column = {"x86_64": 1, "aarch64": 2}[platform.machine()]
    rows = [entry.split(":") for entry in syscalls.REFUSED.split()]
    calls = {row[0]: int(row[column]) for row in rows if row[column] != "-"}
    inside.walls = walls
    outcome = await inside(
        f"say(**{{name: call(number, -1, -1, -1, -1, -1, -1) for name, number in {calls!r}.items()}})"
    )
    assert outcome.said == dict.fromkeys(calls, "EPERM")
    assert len(calls) > 70


@x86_64_only
async def test_calls_that_nobody_knows_do_not_exist(inside):
    calls = {"clone3": (435, 0, 0), "x32 getpid": (0x40000000 + 39,), "none": (999,), "none yet": (500,)}
    outcome = await inside(f"say(**{{name: call(*numbers) for name, numbers in {calls!r}.items()}})")
    assert outcome.said == dict.fromkeys(calls, "ENOSYS")


@x86_64_only
async def test_anonymous_files_need_a_control_group_that_counts_them(inside):
    outcome = await inside("say(memfd=attempt(lambda: os.memfd_create('x')))")
    assert outcome.said == {"memfd": "EPERM" if inside.uid is not None else "done"}


async def test_the_user_inside_has_no_rights(inside):
    outcome = await inside(
        """
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
say(uid=os.getuid(), groups=os.getgroups(), capabilities=status["CapBnd"].strip() + status["CapEff"].strip(),
    no_new_privileges=status["NoNewPrivs"].strip(), seccomp=status["Seccomp"].strip(),
    setuid=attempt(lambda: os.setuid(0)), nice=attempt(lambda: os.nice(-5)),
    pids=sorted(name for name in os.listdir("/proc") if name.isdigit()),
    device=attempt(lambda: os.mknod("/build/device", 0o60600, os.makedev(8, 0))))
"""
    )
    said = outcome.said
    assert said.pop("nice") in {"EPERM", "EACCES"}
    assert set(said.pop("capabilities")) == {"0"}
    assert said.pop("groups") in ([], [1000])
    assert said == {
        "uid": 1000, "no_new_privileges": "1", "seccomp": "2", "setuid": "EINVAL", "pids": ["1"], "device": "EPERM",
    }  # fmt: skip


async def test_only_the_dialogue_is_inherited(inside):
    outcome = await inside(
        "_answers = int(sys.argv[1]); numbers = {int(name) for name in os.listdir('/proc/self/fd')};"
        "say(more=sorted(numbers - {0, 1, 2, _answers, _messages.fileno()}))"
    )
    the_listing_itself = 1
    assert len(outcome.said["more"]) == the_listing_itself


async def test_standard_input_is_empty_and_standard_error_can_be_opened(inside):
    outcome = await inside("say(read=sys.stdin.read()); open('/dev/stderr', 'w').write('to the log')")
    assert outcome.said == {"read": ""}
    assert "to the log" in outcome.log


async def test_the_probe_says_that_it_holds(inside):
    isolation = await inside.ask({**inside.job(""), "probe": True})
    full = os.geteuid() == 0 and inside.uid is None and find_hierarchy() is not None
    assert isolation["level"] == ("full" if full else "unprivileged")
    assert any("refused inside" in sentence for sentence in isolation["sentences"])
