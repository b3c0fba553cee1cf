"""A process is ended only while it is certain which one it is."""

from __future__ import annotations

import asyncio
import json
import subprocess
from types import SimpleNamespace

from buildthrough.builders.tree import Reports, Tree


def told(*lines):
    stream = asyncio.StreamReader()
    for line in lines:
        stream.feed_data(line + b"\n")
    stream.feed_eof()
    return stream


async def test_a_number_that_has_come_to_mean_another_process_is_not_killed():
    """A build that has ended already leaves its number to whoever comes next."""
    with subprocess.Popen(["sleep", "60"]) as stranger:
        bwrap = await asyncio.create_subprocess_exec("true")
        status = told(json.dumps({"child-pid": stranger.pid, "pid-namespace": 7}).encode())
        tree = Tree(bwrap, Reports(status=status, ready=told(), leash=SimpleNamespace(write=lambda _: None)))
        try:
            assert await tree.kill() == 0
            assert (tree.pid, tree.namespace, tree.ran) == (None, 7, False)
            assert stranger.poll() is None
        finally:
            stranger.kill()
