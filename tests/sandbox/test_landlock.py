"""Without namespaces: what a hostile build reaches through Landlock and the stricter filter; honest ones build."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import socket
from pathlib import Path

import pytest
from tests.fakes.sdists import c_sdist, legacy_sdist, pure_sdist
from tests.sandbox.workbench import Asked, workbench

from buildthrough.builders.build_log import BuildLog
from buildthrough.builders.landlock import LandlockSandbox

x86_64_only = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86_64")


def spelled(path: Path) -> str:
    """Return a path of the host as Python text: what is named plainly is taken for the sandbox's own."""
    return f"bytes.fromhex({str(path).encode().hex()!r}).decode()"


@pytest.fixture
def confined(inside):
    """Run behind Landlock, with a user of its own and as the supervisor's."""
    inside.walls = "landlock"
    return inside


@pytest.fixture
def beside(confined, work):
    """Start a process of the same user outside, as the server's own are where slots have none."""
    uid = 0 if confined.uid is None else confined.uid
    child = os.fork()
    if child == 0:
        os.setgid(uid)
        os.setuid(uid)
        signal.pause()
        os._exit(0)
    yield child
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


async def test_files_of_the_host_cannot_be_read_nor_written(confined, work):
    canary = work / "canary"
    canary.write_text("a secret that everybody outside may read and write")
    canary.chmod(0o666)
    outcome = await confined(
        f"""
canary = {spelled(canary)}
say(read=attempt(lambda: open(canary).read()), write=attempt(lambda: open(canary, "r+")),
    truncate=attempt(lambda: os.truncate(canary, 0)), list=attempt(lambda: os.listdir(os.path.dirname(canary))),
    remove=attempt(lambda: os.unlink(canary)), link=attempt(lambda: os.link(canary, "x")),
    add=attempt(lambda: open({spelled(work / "own" / "x")}, "w")), tmp=attempt(lambda: open("/var/tmp/x", "w")),
    usr=attempt(lambda: open("/usr/x", "w")), passwd=attempt(lambda: open("/etc/passwd")),
    proc=attempt(lambda: open("/proc/1/cmdline")), environ=attempt(lambda: open("/proc/self/environ")),
    disk=attempt(lambda: os.listdir("/dev")), home=attempt(lambda: os.listdir("/root")))
"""
    )
    said = outcome.said
    assert said.pop("link") in {"EXDEV", "EACCES", "EPERM"}
    assert set(said.values()) == {"EACCES"}, said
    assert canary.read_text().startswith("a secret")


async def test_it_has_folders_of_its_own_and_nothing_of_them_stays(confined, work):
    outcome = await confined(
        """
scratch = os.environ["BUILDTHROUGH_SCRATCH"]
for folder in ("/build", "/tmp", "/home/build", "/dev/shm"):
    with open(folder + "/x", "w") as file: file.write("x")
os.chdir(os.environ["TMPDIR"])
for deep in range(1100):
    os.mkdir("d"); os.chdir("d")
os.chmod(os.environ["HOME"], 0)
os.mkfifo("pipe")
say(here=os.environ["TMPDIR"] == "/tmp" == scratch + "/" + "tmp", home=os.environ["HOME"] == "/home/build")
"""
    )
    assert outcome.said == {"here": True, "home": True}
    assert list((work / "own").iterdir()) == []


async def test_what_is_lent_is_read_and_not_written(confined, work):
    folder = work / "lent"
    folder.mkdir()
    (folder / "file").write_text("content")
    (folder / "file").chmod(0o666)
    outcome = await confined(
        """
say(content=open("/root/deep/lent/file").read(),
    write=attempt(lambda: open("/root/deep/lent/file", "r+")),
    add=attempt(lambda: open("/root/deep/lent/other", "w")))
""",
        mounts={"/root/deep/lent": str(folder)},
    )
    assert outcome.said == {"content": "content", "write": "EACCES", "add": "EACCES"}


async def test_sockets_are_out_of_reach(confined, work):
    heard = []
    tcp = await asyncio.start_server(lambda _, writer: heard.append(writer), "127.0.0.1", 0)
    path = await asyncio.start_unix_server(lambda _, writer: heard.append(writer), str(work / "socket"))
    abstract = await asyncio.start_unix_server(lambda _, writer: heard.append(writer), f"\0test-{confined.token}")
    (work / "socket").chmod(0o777)
    address = tcp.sockets[0].getsockname()[1]
    try:
        outcome = await confined(
            f"""
families = {{"unix": 1, "inet": 2, "inet6": 10, "netlink": 16, "packet": 17, "vsock": 40}}
say(**{{name: attempt(lambda: socket.socket(family)) for name, family in families.items()}})
say(tcp=attempt(lambda: socket.create_connection(("127.0.0.1", {address}), 2)),
    datagrams=attempt(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)),
    packets=attempt(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)))
one, other = socket.socketpair()
one.send(b"x")
say(pair=other.recv(1).decode(), connect=attempt(lambda: one.connect({spelled(work / "socket")})),
    bind=attempt(lambda: one.bind("\\0mine")))
"""
        )
    finally:
        for server in (tcp, path, abstract):
            server.close()
            await server.wait_closed()
    said = outcome.said
    assert (said.pop("pair"), said.pop("connect"), said.pop("bind")) == ("x", "EPERM", "EPERM")
    assert set(said.values()) == {"EAFNOSUPPORT"}, said
    assert heard == []


@x86_64_only
async def test_processes_of_the_same_user_are_out_of_reach(confined, beside):
    """Signals by Landlock; limits, priorities and processors, which it does not see to, by the filter."""
    outcome = await confined(
        f"""
import resource
other = {beside}
say(kill=attempt(lambda: os.kill(other, 9)), probe=attempt(lambda: os.kill(other, 0)),
    pidfd=attempt(lambda: signal.pidfd_send_signal(os.pidfd_open(other), 9)),
    tgkill=call(234, other, other, 9), parent=attempt(lambda: os.kill(os.getppid(), 9)),
    limits=attempt(lambda: resource.prlimit(other, resource.RLIMIT_NOFILE, (0, 0))),
    affinity=attempt(lambda: os.sched_setaffinity(other, {{0}})),
    priority=attempt(lambda: os.setpriority(os.PRIO_PROCESS, other, 19)),
    of_the_user=attempt(lambda: os.setpriority(os.PRIO_USER, 0, 19)),
    of_the_group=attempt(lambda: os.setpriority(os.PRIO_PGRP, 0, 19)),
    ioprio=call(251, 1, other, 0), ioprio_of_the_user=call(251, 3, 0, 0), param=call(142, other, 0),
    ptrace=call(101, 16, other, 0, 0), memory=call(310, other, 0, 0, 0, 0, 0))
say(own_limits=attempt(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))),
    own_priority=attempt(lambda: os.setpriority(os.PRIO_PROCESS, 0, 19)),
    own_affinity=attempt(lambda: os.sched_setaffinity(0, os.sched_getaffinity(0))))
"""
    )
    said = outcome.said
    assert [said.pop(name) for name in ("own_limits", "own_priority", "own_affinity")] == ["done"] * 3
    assert set(said.values()) == {"EPERM"}, said


async def test_daemons_and_orphans_end_with_the_build(confined):
    outcome = await confined(
        """
reading, writing = os.pipe()
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(writing, b"x")
            time.sleep(600)
        os._exit(0)
started = 0
while started < 5:
    started += len(os.read(reading, 5))
say(started=started)
"""
    )
    assert outcome.said == {"started": 5}  # survivors are looked for by `confined`


async def test_a_fork_bomb_is_bounded_and_ends(confined):
    outcome = await confined(
        """
while True:
    try:
        os.fork()
    except OSError:
        pass
""",
        processes=64,
        memory_bytes=4 << 30,
        wall_seconds=2.0,
    )
    assert outcome.overrun == "time"


async def test_the_supervisors_death_is_the_builds(confined):
    supervisor = await confined.start(confined.job("say(here=True); time.sleep(600)", wall_seconds=600))
    while not confined.survivors():
        assert supervisor.returncode is None
        await asyncio.sleep(0.05)
    supervisor.kill()
    await supervisor.wait()
    assert await confined.left_after(60) == []


async def test_memory_is_bounded(confined):
    outcome = await confined("x = []\nwhile True: x.append(bytearray(os.urandom(1 << 20)))", memory_bytes=128 << 20)
    assert outcome.overrun == "memory"


async def test_the_probe_names_the_level_and_what_it_lacks(confined):
    isolation = await confined.ask({**confined.job(""), "probe": True})
    assert isolation["level"] == "landlock"
    assert any("nothing bounds the disk space" in sentence for sentence in isolation["sentences"])
    shared = any("the mode and the times of the server's own files" in one for one in isolation["sentences"])
    assert shared == (confined.uid is not None)


async def test_descriptors_of_the_supervisor_are_not_inherited(confined):
    with socket.socket() as listener:
        listener.set_inheritable(True)
        outcome = await confined(
            """
_answers = int(sys.argv[1])
open_ones = []
for number in range(3, 100):
    try: os.fstat(number)
    except OSError: continue
    open_ones.append(number)
say(more=[number for number in open_ones if number not in (_answers, _messages.fileno(), int(sys.argv[2]))])
"""
        )
    assert outcome.said == {"more": []}


def test_honest_sdists_build():
    with workbench(make=LandlockSandbox) as bench:
        for sdist, tag in ((pure_sdist(), "none-any"), (c_sdist(), "manylinux1_"), (legacy_sdist(), "none-any")):
            log = BuildLog()
            wheel = asyncio.run(bench.build(sdist, log=log, resolve=Asked()))
            assert tag in wheel.filename, log.text()
        assert [path.name for path in Path(bench.folder, "hidden").iterdir()] == []
