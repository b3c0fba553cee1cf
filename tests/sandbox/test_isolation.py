"""A machine on which the sandbox cannot be: the probe says so and what to do, and nothing runs."""

from __future__ import annotations

import dataclasses
import os

import pytest
from tests.sandbox.conftest import FIRST_UID

from buildthrough.builders import host
from buildthrough.builders.bubblewrap import BubblewrapSandbox
from buildthrough.builders.faults import InfrastructureFault
from buildthrough.builders.sandbox import Command, Limits
from buildthrough.builders.slot import Slot


@pytest.fixture
def slot():
    return Slot(index=0, uid=FIRST_UID, gid=FIRST_UID) if os.geteuid() == 0 else Slot(index=0)


async def _fails_to_run(sandbox):
    async def talk(channel):
        while await channel.receive() is not None:
            pass

    with pytest.raises(InfrastructureFault) as caught:
        await sandbox.run(Command(argv=("/bin/true",), mounts=(), limits=Limits()), talk)
    assert caught.value.kind == "infra.sandbox"
    return caught.value.line


async def test_without_bubblewrap(slot, work, monkeypatch):
    found = host.shutil.which
    monkeypatch.setattr(host.shutil, "which", lambda name, path: None if name == "bwrap" else found(name, path=path))
    sandbox = BubblewrapSandbox(slot, work)
    isolation = await sandbox.probe()
    assert (isolation.level, isolation.can_build) == ("none", False)
    assert "apt-get install bubblewrap" in isolation.sentences[0]
    assert "apt-get install bubblewrap" in await _fails_to_run(sandbox)


async def test_where_namespaces_are_refused(slot, work):
    refusing = work / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    refusing.chmod(0o755)
    sandbox = BubblewrapSandbox(slot, work, host=dataclasses.replace(host.survey_host(), bwrap=str(refusing)))
    isolation = await sandbox.probe()
    assert isolation.level == "none"
    assert "No permissions to create new namespace" in isolation.sentences[0]
    assert "No permissions to create new namespace" in await _fails_to_run(sandbox)


async def test_a_sandbox_that_does_not_hold_is_not_used(slot, work):
    """A bwrap that isolates nothing runs the command on the host; the probe notices."""
    leaking = work / "bwrap"
    leaking.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift; exec "$@"\n')
    leaking.chmod(0o755)
    sandbox = BubblewrapSandbox(slot, work, host=dataclasses.replace(host.survey_host(), bwrap=str(leaking)))
    isolation = await sandbox.probe()
    assert isolation.level == "none"
    assert "a build reached this machine's loopback network" in isolation.sentences
    assert "a build read a file of this machine" in isolation.sentences
    assert "a build saw a file of this machine" in isolation.sentences
    assert "a build could use kernel keys: the system call filter does not work" in isolation.sentences
