"""Installers read the requirements of a large wheel while it is still arriving, where upstream has no metadata file."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.e2e.server import wait_for
from tests.fakes.faults import Fault, Gate
from tests.fakes.wheels import make_wheel

BARE = {"core-metadata": False, "data-dist-info-metadata": False}


@pytest.mark.parametrize("kind", ["pip", "uv"])
def test_the_end_of_a_wheel_is_read_before_its_middle_is_here(pypi, server, client, tmp_path, kind):
    large = make_wheel(tmp_path, name="large", files={"large/data": os.urandom(24 << 20)}, requires=["small==1.0"])
    small = make_wheel(tmp_path, name="small")
    pypi.add("large", large.name, large.read_bytes(), extra=BARE)
    pypi.add("small", small.name, small.read_bytes())
    gate = Gate()
    pypi.fault(f"/packages/*/{large.name}", Fault(gate=gate, gate_at=1 << 20, times=1))
    run = {
        "pip": lambda: client.pip("install", "--use-feature=fast-deps", "large", index=server.simple),
        "uv": lambda: client.uv("install", "large", index=server.simple),
    }[kind]
    with ThreadPoolExecutor(1) as executor:
        try:
            running = executor.submit(run)
            wait_for(lambda: pypi.count("/simple/small/"), "question for what the wheel requires")
            assert not running.done()
            asked = [one.headers.get("Range") for one in pypi.asked(f"/packages/*/{large.name}")]
            assert asked.count(None) == 1
            assert len(asked) > 1
        finally:
            gate.open()
        done = running.result()
    assert done.returncode == 0, done.stdout + done.stderr
    assert pypi.count(f"/packages/*/{large.name}") == len(asked)
