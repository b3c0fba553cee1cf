"""After a build nothing lives: looked for, and where something does, its slot is not used again."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests.sandbox.conftest import FIRST_UID

from buildthrough.builders import host
from buildthrough.builders.bubblewrap import BubblewrapSandbox
from buildthrough.builders.faults import SlotFault
from buildthrough.builders.remains import Marks, _alive, find_remains
from buildthrough.builders.sandbox import Command, Limits
from buildthrough.builders.slot import claim_slots

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a slot a user of its own")
COMMAND = Command(argv=("/bin/true",), mounts=(), limits=Limits())
NOBODYS = FIRST_UID + 40


async def _listen(channel):
    while await channel.receive() is not None:
        pass


def leaky(work, command):
    """Write a bwrap that leaves a process of the host behind, outside of every namespace."""
    path = work / "bwrap"
    leave = f"subprocess.Popen({command.split()!r}, start_new_session=True, stdin=-3, stdout=-3, stderr=-3)"
    path.write_text(
        f'#!/bin/sh\n/usr/bin/python3 -c "import subprocess; {leave}"\nexec {host.survey_host().bwrap} "$@"\n'
    )
    path.chmod(0o755)
    return dataclasses.replace(host.survey_host(), bwrap=str(path))


@AS_ROOT
async def test_a_slot_in_which_something_is_left_is_out_of_service_and_what_is_left_is_killed(work):
    slot = claim_slots(1, first_uid=NOBODYS)[0]
    command = f"sleep 300.{os.getpid()}"  # whose no other test's process is
    sandbox = BubblewrapSandbox(slot, work, host=leaky(work, command))
    with pytest.raises(SlotFault) as caught:
        await sandbox.run(COMMAND, _listen)
    assert caught.value.kind == "infra.remains"
    assert "outlived it: " in caught.value.line
    assert f"(sleep, uid {NOBODYS})" in caught.value.line
    while running(command):  # it is killed, and dies when it gets a processor
        await asyncio.sleep(0.02)
    with pytest.raises(SlotFault, match="the slot is out of service: processes of a build outlived it"):
        await sandbox.run(COMMAND, _listen)


@AS_ROOT
async def test_a_sound_slot_goes_on(work):
    slot = claim_slots(1, first_uid=NOBODYS)[0]
    sandbox = BubblewrapSandbox(slot, work)
    for _ in range(2):
        _, ending = await sandbox.run(COMMAND, _listen)
        assert ending.exit_code == 0
    marks = Marks(uid=slot.uid, namespace=None, cgroup=None)
    assert find_remains(marks) == ()


@AS_ROOT
def test_a_process_is_found_by_its_user():
    with subprocess.Popen(["setpriv", f"--reuid={NOBODYS}", "--clear-groups", "sleep", "60"]) as process:
        while Path(f"/proc/{process.pid}/comm").read_text() != "sleep\n":
            time.sleep(0.01)
        found = find_remains(Marks(uid=NOBODYS, namespace=None, cgroup=None))
        assert process.wait() == -signal.SIGKILL
    assert len(found) == 1
    assert found[0].startswith(f"{process.pid} (")


def test_a_process_is_found_by_its_namespace():
    argv = ["bwrap", "--ro-bind", "/", "/", "--unshare-user", "--unshare-pid", "--json-status-fd", "1", "sleep", "60"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        line = process.stdout.readline().decode()
        namespace = int(line.partition('"pid-namespace": ')[2].partition(" ")[0].rstrip(",}"))
        marks = Marks(uid=None, namespace=namespace, cgroup=None)
        while "sleep\n" not in [Path(f"/proc/{pid}/comm").read_text() for pid in _alive(marks, Path("/proc"))]:
            time.sleep(0.01)
        found = find_remains(marks)
        process.wait()
    assert any("(sleep, uid " in each for each in found)
    assert find_remains(marks) == ()


def test_the_dead_are_not_found():
    """Nobody has taken note of this one yet."""
    zombie = os.fork()
    if zombie == 0:
        os._exit(0)
    os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)
    namespace = Path("/proc/self/ns/pid").stat().st_ino
    assert Path(f"/proc/{zombie}/status").exists()
    assert zombie not in set(_alive(Marks(uid=None, namespace=namespace, cgroup=None), Path("/proc")))
    os.waitpid(zombie, 0)


def running(command):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            found.append(path.read_bytes().replace(b"\0", b" ").strip().decode())
    return [line for line in found if line == command]
