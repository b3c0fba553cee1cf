"""Files that upstream sends slowly: there is a bound on silence, and none on the time that a file takes."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from tests.fakes.faults import Fault, Gate
from tests.integration.assembled import serving

from buildthrough.proxy import arrival

DATA = hashlib.shake_128(b"slow").digest(2_000_000)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(arrival, "RESUME_PAUSE", 0.001)


async def test_a_download_may_take_many_times_as_long_as_upstream_may_be_silent(pypi, tmp_path):
    file = pypi.add("demo", "demo-1.0.tar.gz", DATA)
    pypi.fault("/packages/*", Fault(dribble=(100_000, 0.1)))
    async with serving(pypi.simple, tmp_path, upstream__read_seconds=1) as site:
        began = asyncio.get_running_loop().time()
        answer = await site.ask(f"/files/demo/{file.path}")
        assert (answer.status, answer.body == DATA) == (200, True)
        assert asyncio.get_running_loop().time() - began > 1.9
    assert pypi.count("/packages/*") == 1


async def test_a_silence_that_is_too_long_is_ended_and_the_file_taken_up(pypi, tmp_path):
    gate = Gate()
    file = pypi.add("demo", "demo-1.0.tar.gz", DATA)
    pypi.fault("/packages/*", Fault(gate=gate, gate_at=1_000_000, times=1))
    async with serving(pypi.simple, tmp_path, upstream__read_seconds=1) as site:
        answer = await site.ask(f"/files/demo/{file.path}")
        assert (answer.status, answer.body == DATA) == (200, True)
        gate.open()
    assert [asked.headers.get("Range") for asked in pypi.asked("/packages/*")] == [None, "bytes=1000000-"]


async def test_a_line_that_breaks_again_and_again_is_put_up_with_while_much_comes(pypi, site):
    data = DATA * 6
    file = pypi.add("demo", "demo-1.0.tar.gz", data)
    pypi.fault("/packages/*", Fault(cut_at=1_100_000))
    answer = await site.ask(f"/files/demo/{file.path}")
    assert (answer.status, answer.body == data) == (200, True)
    assert pypi.count("/packages/*") > 2 * arrival.RESUMES


async def test_who_gave_up_on_a_small_file_and_comes_again_finds_it_on_its_way(pypi, site):
    gate = Gate()
    file = pypi.add("demo", "demo-1.0.tar.gz", DATA[:60_000])
    pypi.fault("/packages/*", Fault(gate=gate, gate_at=1000))
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(site.ask(f"/files/demo/{file.path}"), 0.2)
    asking = asyncio.ensure_future(site.ask(f"/files/demo/{file.path}"))
    gate.open()
    assert (await asking).body == DATA[:60_000]
    assert pypi.count("/packages/*") == 1
