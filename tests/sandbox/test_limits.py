"""What a hostile build can use up, and that nothing of it survives."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest
from tests.sandbox.conftest import FIRST_UID

from buildthrough.builders.bubblewrap import BubblewrapSandbox
from buildthrough.builders.faults import InfrastructureFault
from buildthrough.builders.sandbox import Command, Limits
from buildthrough.builders.slot import Slot, claim_slots

AS_ROOT = pytest.mark.parametrize("inside", ["own-user-and-control-group"], indirect=True)
"""For what is tried from this very process, or needs control groups."""
BACKGROUND = """
if os.fork() == 0:
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if os.fork() == 0:
        while True:
            time.sleep(60)
    os._exit(0)
"""


async def test_the_exit_code_is_the_commands(inside):
    assert (await inside("sys.exit(7)")).exit_code == 7
    outcome = await inside("import ctypes; ctypes.string_at(0)")
    assert (outcome.exit_code, outcome.overrun) == (128 + signal.SIGSEGV, None)


async def test_a_daemon_dies_with_the_build(inside):
    outcome = await inside(BACKGROUND + "say(done=True)")
    assert (outcome.exit_code, outcome.overrun) == (0, None)
    assert outcome.seconds < 10


async def test_a_build_that_ignores_signals_ends_in_time(inside):
    script = (
        BACKGROUND
        + "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\nwhile True: print('.', flush=True)"
    )
    outcome = await inside(script, wall_seconds=1.0, log_bytes=16 << 20)
    assert (outcome.exit_code, outcome.overrun) == (137, "time")
    assert 0.9 < outcome.seconds < 20


async def test_a_silent_build_ends(inside):
    outcome = await inside("time.sleep(60)", silence_seconds=0.7)
    assert (outcome.exit_code, outcome.overrun) == (137, "silence")
    assert outcome.seconds < 20


async def test_a_build_that_prints_now_and_then_is_not_silent(inside):
    outcome = await inside("for _ in range(10): time.sleep(0.2); print('.', flush=True)", silence_seconds=1.5)
    assert (outcome.exit_code, outcome.overrun) == (0, None)


async def test_a_fork_bomb_stays_small_and_dies(inside):
    script = """
most = 0
for _ in range(500):
    try:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        most += 1
    except BlockingIOError:
        break
say(forks=most)
"""
    outcome = await inside(script, processes=40)
    assert 20 < outcome.said["forks"] < 40
    bomb = "while True:\n    try: os.fork()\n    except OSError: pass"
    outcome = await inside(bomb, processes=40, wall_seconds=1.0)
    assert outcome.overrun == "time"


async def test_a_flood_of_output_ends_the_build_and_is_not_kept(inside):
    outcome = await inside("while True: os.write(1, b'x' * 65536)", log_bytes=4096)
    assert (outcome.exit_code, outcome.overrun) == (137, "log")
    assert 8192 < len(outcome.log) < 9000
    assert "bytes left out" in outcome.log


async def test_the_memory_of_one_process_is_bounded(inside):
    outcome = await inside(
        "held = []\nwhile True: held.append(b'x' * (4 << 20)); time.sleep(0.005)", memory_bytes=128 << 20
    )
    assert outcome.overrun == "memory"
    assert outcome.exit_code == 137
    assert outcome.peak_memory_bytes > 100 << 20


async def test_the_memory_of_all_processes_together_is_bounded(inside):
    script = """
for _ in range(8):
    if os.fork() == 0:
        held = b"x" * (40 << 20)
        time.sleep(60)
        os._exit(0)
try:
    while True: os.wait()
except ChildProcessError:
    pass
"""
    outcome = await inside(script, memory_bytes=160 << 20, wall_seconds=60)
    assert outcome.overrun == "memory"


async def test_the_processor_time_of_all_processes_together_is_bounded(inside):
    script = """
while True:
    if os.fork() == 0:
        begun = time.process_time()
        while time.process_time() - begun < 0.1: pass
        os._exit(0)
    os.wait()
"""
    outcome = await inside(script, cpu_seconds=1, wall_seconds=60)
    assert outcome.overrun == "cpu"
    assert 1 <= outcome.cpu_seconds < 3


async def test_the_number_of_files_is_bounded(inside):
    script = """
folders = ("/build", "/tmp", "/home/build", "/dev/shm")
for number in range(400000):
    os.close(os.open("%s/%d" % (folders[number % 4], number), os.O_CREAT))
"""
    outcome = await inside(script, inodes=4000, memory_bytes=1 << 30, wall_seconds=60)
    assert (outcome.exit_code, outcome.overrun) == (137, "inodes")


async def test_it_is_told_whether_processes_were_refused(inside):
    script = """
children = 0
try:
    while children < int(%d):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        children += 1
except BlockingIOError:
    say(refused=True)
time.sleep(0.5)
"""
    outcome = await inside(script % 1000, processes=40, wall_seconds=60)
    assert outcome.said == {"refused": True}
    assert outcome.refused_forks > 0
    outcome = await inside(script % 5, processes=40, wall_seconds=60)
    assert (outcome.messages, outcome.refused_forks) == ([], 0)


async def test_nothing_survives_a_supervisor_that_is_killed(inside):
    process = await inside.start(inside.job(BACKGROUND + "time.sleep(60)"))
    while len(inside.survivors()) < 3:  # bwrap, the command and its daemon
        await asyncio.sleep(0.05)
        assert process.returncode is None
    process.kill()
    assert await inside.left_after(20) == []
    await process.communicate()


@pytest.mark.parametrize("milliseconds", [0, 2, 4, 6, 8, 12])
async def test_nothing_begins_when_the_supervisor_is_killed_while_it_sets_up(inside, milliseconds):
    process = await inside.start(inside.job("time.sleep(60)"))
    while not inside.survivors():  # the first of the programs that lead to the command
        assert process.returncode is None
        await asyncio.sleep(0)
    await asyncio.sleep(milliseconds / 1000)
    process.kill()
    # A bwrap whose parent dies between its clone and the mapping of users waits for ever, and runs nothing.
    assert await inside.left_after(20, but=" bwrap do_wait_intr_irq ") == []
    await process.communicate()
    inside.clear()


@AS_ROOT
async def test_a_stale_control_group_is_removed_by_the_next_server(inside):
    from buildthrough.builders.cgroup import find_hierarchy

    hierarchy = find_hierarchy()
    assert hierarchy is not None
    process = await inside.start(inside.job("time.sleep(60)"))
    while len(inside.survivors()) < 2:  # bwrap and the command
        await asyncio.sleep(0.05)
    process.kill()
    await process.communicate()
    name = f"buildthrough-{process.pid}-0"
    assert await inside.left_after(20) == []
    assert [parent for parent in hierarchy.parents if (parent / name).exists()]
    await inside("say(next=True)")
    assert not [parent for parent in hierarchy.parents if (parent / name).exists()]


async def test_a_mount_that_is_not_there_is_our_fault(inside):
    process = await inside.start(inside.job("", mounts={"/somewhere": "/nowhere/at/all"}))
    _, error = await process.communicate()
    assert process.returncode == 1
    assert b"InfrastructureFault: infra.sandbox: the sandbox cannot be set up: bwrap: " in error
    assert b"/nowhere/at/all" in error


async def test_root_is_refused(work):
    if os.geteuid() != 0:
        pytest.skip("is not root")
    for slot in (Slot(index=0), Slot(index=0, uid=0, gid=0)):
        with pytest.raises(InfrastructureFault) as caught:
            await BubblewrapSandbox(slot, work).run(Command(argv=("/bin/true",), mounts=(), limits=Limits()), _listen)
        assert caught.value.kind == "infra.sandbox"


@AS_ROOT
@pytest.mark.parametrize("way", ["cancelled", "refused by the host", "a dialogue that is none"])
async def test_nothing_survives_a_build_that_is_not_wanted_any_longer(inside, work, way):
    begun = asyncio.Event()

    async def talk(channel):
        await channel.receive()
        begun.set()
        if way == "refused by the host":
            raise LookupError(way)
        await channel.receive()

    rest = "_messages.write('x\\n'); _messages.flush()\n" if way == "a dialogue that is none" else ""
    job = inside.job(BACKGROUND + f"say(begun=True)\n{rest}time.sleep(60)")
    sandbox = BubblewrapSandbox(claim_slots(1, first_uid=FIRST_UID)[0], work)
    running = asyncio.create_task(sandbox.run(Command(argv=tuple(job["argv"]), mounts=(), limits=Limits()), talk))
    await asyncio.wait_for(begun.wait(), 60)
    if way == "cancelled":
        running.cancel()
    await asyncio.wait({running}, timeout=60)
    assert inside.survivors() == []
    if way == "cancelled":
        assert running.cancelled()
    elif way == "refused by the host":
        assert isinstance(running.exception(), LookupError)
    else:
        assert running.result()[1].overrun == "dialogue"


async def _listen(channel):
    while await channel.receive() is not None:
        pass
    return time.monotonic()


@AS_ROOT
def test_it_runs_under_uvloop_as_well(inside, work):
    import uvloop
    from tests.sandbox.conftest import FIRST_UID

    from buildthrough.builders.slot import claim_slots

    async def run():
        sandbox = BubblewrapSandbox(claim_slots(1, first_uid=FIRST_UID)[0], work)
        job = inside.job(BACKGROUND + "say(a=1); print('printed'); sys.exit(3)")
        finished, first = await sandbox.run(Command(argv=tuple(job["argv"]), mounts=(), limits=Limits()), _listen)
        job = inside.job(BACKGROUND + "time.sleep(60)")
        limits = Limits(wall_seconds=0.5)
        _, second = await sandbox.run(Command(argv=tuple(job["argv"]), mounts=(), limits=limits), _listen)
        return finished, first, second

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        finished, first, second = runner.run(run())
    assert finished is not None
    assert (first.exit_code, first.overrun, first.log) == (3, None, b"printed\n")
    assert (second.exit_code, second.overrun) == (137, "time")
    assert inside.survivors() == []


async def test_time_in_which_others_take_the_processors_is_not_held_against_a_build(inside):
    """Builds take what others leave: where those leave nothing for some seconds, a build is not too slow by that."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        asyncio.get_running_loop().call_later(6, lambda: [one.kill() for one in spinning])
        script = "end = time.process_time() + 0.5\nwhile time.process_time() < end: pass\nsay(done=True)"
        outcome = await inside(script, wall_seconds=4.0, silence_seconds=4.0)
        assert (outcome.exit_code, outcome.overrun) == (0, None)
    finally:
        for one in spinning:
            one.kill()
            one.wait()


@AS_ROOT
@pytest.mark.parametrize("gives_way", [True, False])
async def test_builds_take_what_others_leave_and_what_the_start_waits_for_does_not(inside, work, gives_way):
    from tests.sandbox.conftest import FIRST_UID

    from buildthrough.builders.slot import claim_slots

    async def look(channel):
        assert await channel.receive() == {"up": True}
        return (slot.hierarchy.cpu / f"buildthrough-{os.getpid()}-0/cpu.idle").read_text()

    slot = claim_slots(1, first_uid=FIRST_UID)[0]
    argv = tuple(inside.job("say(up=True)")["argv"])
    command = Command(argv=argv, mounts=(), limits=Limits(), gives_way=gives_way)
    found, ending = await BubblewrapSandbox(slot, work).run(command, look)
    assert found == f"{gives_way:d}\n"
    assert ending.exit_code == 0
