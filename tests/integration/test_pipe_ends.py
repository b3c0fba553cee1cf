"""A pipe that ends closes its own descriptor, once: the number may be somebody else's a moment later."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
import uvloop
from tests.load.process import descriptors

from buildthrough.builders.pipes import Pipes

PIPES = 1500


def others(stop: threading.Event, closed: list[str]) -> None:
    """Use descriptors as threads do that read and write files."""
    while not stop.is_set():
        descriptors = [os.open("/dev/null", os.O_RDONLY) for _ in range(4)]
        for descriptor in descriptors:
            try:
                os.fstat(descriptor)
                os.close(descriptor)
            except OSError as error:
                closed.append(str(error))


async def many_pipes() -> None:
    for number in range(PIPES):
        async with Pipes() as pipes:
            stream, write = await pipes.stream(100)
            writer, read = await pipes.writer()
            os.write(write, b"one line\n")
            assert await stream.readline() == b"one line\n"
            writer.write(b"another")
            await writer.drain()
            assert os.read(read, 100) == b"another"
            if number % 2:
                pipes.close_inner()
                assert await stream.read() == b""


@pytest.mark.parametrize("factory", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def test_no_other_descriptor_is_closed(factory):
    before = descriptors(os.getpid())
    stop, closed = threading.Event(), []
    threads = [threading.Thread(target=others, args=(stop, closed)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(many_pipes())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert closed == []
    assert len(descriptors(os.getpid())) <= len(before) + 4  # uvloop keeps two of its own
