"""The set-up of a sandbox is ours: its time is not the command's, and where it hangs, that is our fault."""

from __future__ import annotations

import asyncio

import pytest

from buildthrough.builders import running, supervision
from buildthrough.builders.faults import InfrastructureFault
from buildthrough.builders.running import Runner
from buildthrough.builders.sandbox import Command, Limits
from buildthrough.builders.slot import Slot
from buildthrough.builders.tree import Reports, Tree


class Walls:
    """The set-up of a sandbox that is another program."""

    folders = ()

    def __init__(self, program):
        self.program = program

    async def start(self, plan, pipes, ends):
        reports = Reports(status=asyncio.StreamReader(), leash=ends.leash)
        reports.status.feed_eof()
        return await Tree.start(("sh", "-c", self.program), streams=ends.streams, inherited=(), reports=reports)


async def run(program, **limits):
    runner = Runner(Slot(index=0, uid=59999, gid=59999, hierarchy=None), Walls(program))
    return await runner.run(Command(argv=("true",), mounts=(), limits=Limits(**limits)), listen)


async def listen(channel):
    while await channel.receive() is not None:
        pass


async def test_a_slow_set_up_is_not_held_against_the_command():
    _, ending = await run("sleep 3; echo; read go; test $go = go && exit 3", wall_seconds=2, silence_seconds=2)
    assert (ending.exit_code, ending.overrun) == (3, None)
    assert ending.seconds < 2


async def test_a_set_up_that_hangs_is_our_fault(monkeypatch):
    for module in (running, supervision):
        monkeypatch.setattr(module, "SET_UP_SECONDS", 0.2)
    with pytest.raises(InfrastructureFault, match=r"the sandbox was not set up within 0\.2 seconds"):
        await run("exec sleep 60", wall_seconds=0.1)


async def test_a_set_up_that_fails_says_why():
    with pytest.raises(InfrastructureFault, match="the sandbox cannot be set up: no such thing"):
        await run("echo no such thing >&2; exit 1")
