"""A process is ended only while it is certain which one it is."""

from __future__ import annotations

import asyncio
import json
import subprocess
from types import SimpleNamespace

from buildthrough.builders.leash import Leash
from buildthrough.builders.tree import Reports, Tree


def told(text=b""):
    stream = asyncio.StreamReader()
    stream.feed_data(text)
    stream.feed_eof()
    return stream


async def ended():
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    return process


def held():
    return Leash(told(), SimpleNamespace(write=lambda _: None), lambda: None)


async def test_a_number_that_has_come_to_mean_another_process_is_not_killed():
    """A build that has ended already leaves its number to whoever comes next."""
    with subprocess.Popen(["sleep", "60"]) as stranger:
        bwrap = await ended()
        status = told(json.dumps({"child-pid": stranger.pid, "pid-namespace": 7}).encode() + b"\n")
        tree = Tree(bwrap, Reports(status=status, leash=held()))
        try:
            assert await tree.kill() == 0
            assert (tree.pid, tree.namespace, tree.ran) == (None, 7, False)
            assert stranger.poll() is None
        finally:
            stranger.kill()


async def test_a_report_that_ends_in_the_middle_of_a_line_says_nothing():
    """The program that sets a sandbox up writes its report piece by piece, and may be killed between two of them."""
    tree = Tree(await ended(), Reports(status=told(b'{ "child-pid": 5'), leash=held()))
    assert await tree.found() is None
    assert await tree.kill() == 0
    assert (tree.pid, tree.namespace, tree.ran) == (None, None, False)
