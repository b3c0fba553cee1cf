"""The server's side of a builder on a socket where something is wrong: nothing is built, and it is said why."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.sandbox import Exit, FakeSandbox, Say, Sleep
from tests.fakes.waiting import LONG
from tests.integration.assembled import workshop

from buildthrough.builders import frames
from buildthrough.builders.faults import InfrastructureFault, SlotFault
from buildthrough.builders.remote import RemoteSandbox, open_remote_workshop
from buildthrough.builders.sandbox import Command, Isolation, Limits, Mount
from buildthrough.builders.service import Service


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="builder-") as name:  # short: a socket's path is bounded
        yield Path(name)


def command(*mounts: Mount) -> Command:
    return Command(argv=("/bin/true",), mounts=mounts, limits=Limits())


async def collect(channel):
    messages = []
    while (message := await channel.receive()) is not None:
        messages.append(message)
    return messages


async def test_a_builder_lends_its_slots_and_its_kit(folder):
    here = workshop(FakeSandbox(), FakeSandbox())
    async with Service(here, shared=folder).listening(folder / "socket"):
        there = await open_remote_workshop(folder / "socket", minimum="container")
        assert (there.isolation.level, there.isolation.minimum, len(there.sandboxes)) == ("full", "container", 2)
        assert there.kit == here.kit
        assert (await there.sandboxes[1].probe()).level == "full"
    assert not (folder / "socket").exists()


async def test_without_a_builder_nothing_is_built_and_it_is_said_what_to_do(folder):
    found = await open_remote_workshop(folder / "socket", minimum="container")
    assert (found.isolation.can_build, found.sandboxes, found.targets) == (False, (), ())
    assert "is `buildthrough builder` running?" in found.isolation.sentences[0]


async def test_a_builder_that_isolates_less_than_is_asked_for_is_not_used(folder):
    here = workshop(FakeSandbox())
    async with Service(here, shared=folder).listening(folder / "socket"):
        found = await open_remote_workshop(folder / "socket", minimum="full")
        assert found.isolation.can_build
    lower = replace(workshop(FakeSandbox()), isolation=Isolation(level="container", sentences=()))
    async with Service(lower, shared=folder).listening(folder / "socket"):
        found = await open_remote_workshop(folder / "socket", minimum="unprivileged")
    assert (found.isolation.can_build, found.sandboxes) == (False, ())
    assert "asks for unprivileged" in found.isolation.sentences[0]


@pytest.mark.parametrize(
    ("source", "is_lent"), [("shared/x", True), ("other", False), ("shared/../other", False), ("shared/link", False)]
)
async def test_only_what_is_shared_is_lent(folder, source, is_lent):
    (folder / "shared").mkdir()
    for name in ("shared/x", "other"):
        (folder / name).touch()
    (folder / "shared/link").symlink_to("../other")
    fake = FakeSandbox((Say({"n": 1}),))
    asked = command(Mount(source=folder / source, target="/x"))
    async with Service(workshop(fake), shared=folder / "shared").listening(folder / "socket"):
        sandbox = RemoteSandbox(folder / "socket", 0, level="full")
        if is_lent:
            said, _ = await sandbox.run(asked, collect)
            assert said == [{"n": 1}]
        else:
            with pytest.raises(InfrastructureFault, match="does not lend"):
                await sandbox.run(asked, collect)
    assert len(fake.commands) == is_lent


async def test_a_builder_that_goes_away_is_our_fault(folder):
    service = Service(workshop(FakeSandbox((Say({"n": 1}), Sleep(10 * LONG)))), shared=folder)

    async def talk(channel):
        await channel.receive()
        began.set()
        return await channel.receive()

    began = asyncio.Event()
    async with service.listening(folder / "socket"):
        running = asyncio.create_task(RemoteSandbox(folder / "socket", 0, level="full").run(command(), talk))
        await asyncio.wait_for(began.wait(), LONG)
    with pytest.raises(InfrastructureFault) as caught:
        await asyncio.wait_for(running, LONG)
    assert caught.value.kind == "infra.builder-away"


async def test_a_server_that_goes_away_ends_its_command(folder):
    class Watched(FakeSandbox):
        ended = asyncio.Event()

        async def run(self, command, talk):
            try:
                return await super().run(command, talk)
            finally:
                self.ended.set()

    fake = Watched((Say({"n": 1}), Sleep(10 * LONG)))
    async with Service(workshop(fake), shared=folder).listening(folder / "socket"):
        running = asyncio.create_task(RemoteSandbox(folder / "socket", 0, level="full").run(command(), collect))
        while not fake.commands:
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait({running})
        await asyncio.wait_for(fake.ended.wait(), LONG)


@pytest.mark.parametrize(("fault", "kind"), [(SlotFault, "infra.remains"), (InfrastructureFault, "infra.sandbox")])
async def test_faults_come_back_as_they_are(folder, fault, kind):
    class Failing(FakeSandbox):
        async def run(self, command, talk):
            raise fault(kind, "it went wrong")

    async with Service(workshop(Failing()), shared=folder).listening(folder / "socket"):
        with pytest.raises(fault, match="it went wrong") as caught:
            await RemoteSandbox(folder / "socket", 0, level="full").run(command(), collect)
    assert (type(caught.value), caught.value.kind) == (fault, kind)


@pytest.mark.parametrize(
    "answer", [b"", b"GET / HTTP", b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\2{}", b"\0\0\0\1{"]
)
async def test_what_answers_otherwise_is_no_builder(folder, answer):
    def answered(_reader, writer):
        writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(answered, str(folder / "socket"))
    async with server:
        found = await open_remote_workshop(folder / "socket", minimum="container")
    assert not found.isolation.can_build


@pytest.mark.parametrize(
    "question", [{}, {"ask": "what"}, {"ask": "run", "slot": 7, "command": {}}, {"ask": "probe", "slot": 3}]
)
async def test_what_is_asked_otherwise_is_refused(folder, question):
    async with Service(workshop(FakeSandbox((Exit(0),))), shared=folder).listening(folder / "socket"):
        reader, writer = await asyncio.open_unix_connection(str(folder / "socket"))
        await frames.write(writer, question)
        assert (await frames.read(reader))["fault"] == "infra.builder"
        writer.close()


async def test_a_builder_that_isolates_otherwise_than_before_builds_nothing(folder):
    """What is built is recorded with the level that the builder told at the start."""
    fake = FakeSandbox()
    async with Service(workshop(fake), shared=folder).listening(folder / "socket"):
        with pytest.raises(InfrastructureFault, match="isolates at the level full now, not unprivileged"):
            await RemoteSandbox(folder / "socket", 0, level="unprivileged").run(command(), collect)
    assert fake.commands == []
