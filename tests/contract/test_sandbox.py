"""The contract of the `Sandbox` port, over its implementations and over the fake that other tests use."""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
from functools import partial
from pathlib import Path

import pytest
from tests.fakes import uids
from tests.fakes.sandbox import Exit, FakeSandbox, Hear, Print, Say, SayBytes, Sleep
from tests.fakes.waiting import LONG, until

from buildthrough.builders.bubblewrap import BubblewrapSandbox
from buildthrough.builders.landlock import LandlockSandbox
from buildthrough.builders.remote import RemoteSandbox
from buildthrough.builders.sandbox import Command, DialogueError, Isolation, Limits, Mount
from buildthrough.builders.service import Service
from buildthrough.builders.slot import claim_slots
from buildthrough.builders.workshop import Workshop

FIRST_UID = uids.CONTRACT
PLAYER = """
import json, sys, time
answers, messages = open(int(sys.argv[-2])), open(int(sys.argv[-1]), "wb", 0)
for verb, *words in json.load(open("/script/steps")):
    if verb == "Say": messages.write(json.dumps(words[0]).encode() + b"\\n")
    if verb == "SayBytes":
        content = memoryview(words[0].encode("latin-1"))
        while content: content = content[messages.write(content):]
    if verb == "Hear": answers.readline()
    if verb == "Print": print(words[0], end="", flush=True)
    if verb == "Sleep": time.sleep(words[0])
    if verb == "Exit": sys.exit(words[0])
"""


def as_words(step):
    match step:
        case Say(message):
            return ["Say", message]
        case SayBytes(content):
            return ["SayBytes", content.decode("latin-1")]
        case Hear():
            return ["Hear"]
        case Print(text):
            return ["Print", text]
        case Sleep(seconds):
            return ["Sleep", seconds]
        case Exit(code):
            return ["Exit", code]


@pytest.fixture
def folder():
    """Make a folder that the user of a slot can read; pytest's own is its owner's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(params=["bubblewrap", "container", "landlock", "remote", "fake"])
def perform(request, folder):
    """Run a script of steps with a dialogue on one of the implementations."""

    async def perform(script, talk, **limits):
        (folder / "steps").write_text(json.dumps([as_words(step) for step in script]))
        command = Command(
            argv=("/usr/bin/python3", "-I", "-S", "-c", PLAYER),
            mounts=(Mount(source=folder, target="/script"),),
            limits=Limits(**{"wall_seconds": LONG, **limits}),
        )
        if request.param == "fake":
            return await FakeSandbox(tuple(script)).run(command, talk)
        slot = claim_slots(1, first_uid=FIRST_UID)[0]
        if request.param == "remote":
            return await by_a_builder(BubblewrapSandbox(slot, folder), folder, command, talk)
        make = {
            "bubblewrap": BubblewrapSandbox,
            "container": partial(BubblewrapSandbox, own_proc=False),
            "landlock": LandlockSandbox,
        }
        return await make[request.param](slot, folder).run(command, talk)

    return perform


async def by_a_builder(sandbox, folder, command, talk):
    """Run a command by a builder that listens on a socket; here it is in the same process."""
    workshop = Workshop(isolation=Isolation(level="full", sentences=()), kit=None, sandboxes=(sandbox,), sentences=())
    socket = folder / "socket"
    async with Service(workshop, shared=folder.parent).listening(socket):
        return await RemoteSandbox(socket, 0, level="full").run(command, talk)


def descriptors():
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


async def collect(channel):
    messages = []
    while (message := await channel.receive()) is not None:
        messages.append(message)
    return messages


async def test_messages_come_in_order_and_then_none(perform):
    said, ending = await perform([Say({"n": 1}), Say({"n": 2}), Print("printed\n"), Exit(3)], collect)
    assert said == [{"n": 1}, {"n": 2}]
    assert (ending.exit_code, ending.overrun, ending.log) == (3, None, b"printed\n")


async def test_none_comes_again(perform):
    async def talk(channel):
        return [await channel.receive(), await channel.receive()]

    value, _ = await perform([], talk)
    assert value == [None, None]


async def test_answers_are_heard(perform):
    async def talk(channel):
        await channel.receive()
        await channel.send({"answer": "ä" * 1000})
        return await channel.receive()

    value, ending = await perform([Say({"question": 1}), Hear(), Say({"thanks": True})], talk)
    assert value == {"thanks": True}
    assert ending.overrun is None


async def test_bytes_follow_a_message(perform):
    content = bytes(range(256)) * 8192

    async def talk(channel):
        file = io.BytesIO()
        message = await channel.receive()
        await channel.receive_bytes(message["size"], file)
        return file.getvalue(), await channel.receive()

    value, ending = await perform([Say({"size": len(content)}), SayBytes(content), Say({"end": 1})], talk)
    assert value == (content, {"end": 1})
    assert ending.exit_code == 0


async def test_missing_bytes_end_the_dialogue(perform):
    async def talk(channel):
        await channel.receive_bytes(10, io.BytesIO())

    value, ending = await perform([SayBytes(b"123")], talk)
    assert (value, ending.overrun) == (None, "dialogue")


@pytest.mark.parametrize(
    "line",
    [
        b"no JSON\n", b"[1]\n", b'"text"\n', b"\xff\n", b"[" * 100_000 + b"\n", b'{"a": NaN}\n',
        b'{"a":' + b"1" * 9999 + b"}\n", b'{"a": 1}',
    ],
)  # fmt: skip
async def test_what_is_no_message_ends_the_dialogue(perform, line):
    value, ending = await perform([SayBytes(line)], collect)
    assert (value, ending.overrun) == (None, "dialogue")


async def test_a_message_is_bounded(perform):
    value, ending = await perform([SayBytes(b'{"a":"' + b"x" * 300_000 + b'"}\n')], collect)
    assert (value, ending.overrun) == (None, "dialogue")
    said, ending = await perform([Say({"a": "x" * 250_000})], collect)
    assert (len(said[0]["a"]), ending.overrun) == (250_000, None)


async def test_the_number_of_messages_is_bounded(perform):
    said, ending = await perform([Say({"n": n}) for n in range(64)], collect)
    assert (len(said), ending.overrun) == (64, None)
    said, ending = await perform([Say({"n": n}) for n in range(65)], collect)
    assert (said, ending.overrun) == (None, "dialogue")


async def test_a_broken_dialogue_cannot_be_talked_away(perform):
    async def talk(channel):
        with pytest.raises(DialogueError):
            await channel.receive()
        return "all is well"

    _, ending = await perform([SayBytes(b"no JSON\n"), Sleep(0.2)], talk)
    assert ending.overrun == "dialogue"


async def test_an_exception_of_the_talk_ends_the_command_and_is_raised(perform):
    class RefusedError(Exception):
        pass

    async def talk(channel):
        await channel.receive()
        raise RefusedError

    with pytest.raises(RefusedError):
        await asyncio.wait_for(perform([Say({"n": 1}), Sleep(10 * LONG)], talk, wall_seconds=10 * LONG), LONG)


async def test_cancellation_ends_the_command(perform):
    started = asyncio.Event()

    async def talk(channel):
        await channel.receive()
        started.set()
        await channel.receive()

    running = asyncio.create_task(perform([Say({"n": 1}), Sleep(10 * LONG)], talk, wall_seconds=10 * LONG))
    await asyncio.wait_for(started.wait(), LONG)
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=LONG)
    assert done
    assert running.cancelled()


async def test_a_talk_that_is_over_does_not_end_the_command(perform):
    async def talk(channel):
        return (await channel.receive())["n"]

    value, ending = await perform([Say({"n": 5}), Sleep(0.3), Print("end"), Exit(4)], talk)
    assert (value, ending.exit_code, ending.log) == (5, 4, b"end")


async def test_time_is_bounded(perform):
    value, ending = await perform([Sleep(60)], collect, wall_seconds=0.6)
    assert (value, ending.overrun) == (None, "time")
    assert ending.exit_code == 137


async def test_silence_is_bounded(perform):
    _, ending = await perform([Say({"n": 1}), Sleep(60)], collect, silence_seconds=0.6)
    assert ending.overrun == "silence"


async def test_the_hosts_own_time_is_not_counted(perform):
    async def talk(channel):
        await channel.receive()
        await asyncio.sleep(4.2)
        await channel.send({"at": "last"})
        return await channel.receive()

    value, ending = await perform([Say({"n": 1}), Hear(), Say({"n": 2})], talk, wall_seconds=4.0, silence_seconds=4.0)
    assert (value, ending.overrun) == ({"n": 2}, None)
    assert ending.seconds < 4.0


async def test_an_answer_to_a_command_that_has_ended_is_dropped(perform):
    async def talk(channel):
        await channel.receive()
        await asyncio.sleep(0.4)
        for _ in range(10):
            await channel.send({"n": "x" * 20_000})
        return await channel.receive()

    value, ending = await perform([Say({"n": 1}), Exit(2)], talk)
    assert (value, ending.exit_code, ending.overrun) == (None, 2, None)


async def test_it_runs_one_command_after_the_other_and_leaks_no_descriptor(perform):
    await perform([], collect)
    await asyncio.sleep(0.1)  # what is closed a turn later is closed
    before = descriptors()
    for _ in range(3):
        await perform([Say({"n": 1})], collect)
    await until(lambda: descriptors() == before)
