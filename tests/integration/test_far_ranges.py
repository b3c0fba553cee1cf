"""Ranges of a file that is arriving, of parts that are not there yet: installers read the end of a wheel first."""

from __future__ import annotations

import asyncio
import hashlib

import aiohttp
import pytest
from tests.fakes.faults import Fault, Gate
from tests.fakes.pypi import FakePyPI, Stream
from tests.fakes.waiting import until
from tests.integration.assembled import serving

from buildthrough.proxy import reading
from buildthrough.proxy.download import WITHHELD
from buildthrough.proxy.downloads import ASIDE_EACH

SIZE = 9 << 20
BLOCK = hashlib.shake_128(b"far").digest((1 << 20) - 1)
UNVERIFIED = "miss; unverified"


@pytest.fixture(autouse=True)
def little_patience(monkeypatch):
    monkeypatch.setattr(reading, "PATIENCE", 0.2)


@pytest.fixture
def held(pypi):
    """List a file, whose first request is held at its first megabyte."""
    gate = Gate()
    file = pypi.add("demo", "demo-1.0.tar.gz", Stream(size=SIZE, block=BLOCK))
    pypi.fault("/packages/*", Fault(gate=gate, gate_at=1 << 20, times=1, ranged=False))
    yield file, gate
    gate.open()


def part(file, begin: int, end: int) -> bytes:
    return b"".join(file.content.read(begin, end))


def path_of(file) -> str:
    return f"/files/{file.project}/{file.path}"


def ranges(pypi) -> list[str | None]:
    """Return the ranges that were asked for, the whole first: where the disk is slow it comes behind a look."""
    asked = [asked.headers.get("Range") for asked in pypi.asked("/packages/*")]
    return sorted(asked, key=lambda given: given is not None)


async def whole(site, file) -> bool:
    answer = await site.ask(path_of(file))
    return answer.status == 200 and hashlib.sha256(answer.body).hexdigest() == file.sha256


@pytest.mark.parametrize(
    "span",
    [
        ("bytes=-16384", SIZE - 16384, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        ("bytes=2500000-2508191", 2_500_000, 2_508_192),
        (f"bytes={SIZE - 70_000}-{SIZE - 60_000}", SIZE - 70_000, SIZE - 59_999),
    ],
)
async def test_a_look_does_not_wait_for_the_download(pypi, site, held, span):
    file, gate = held
    given, begin, end = span
    answer = await site.ask(path_of(file), Range=given)
    assert (answer.status, answer.body == part(file, begin, end)) == (206, True)
    assert answer.headers["Content-Range"] == f"bytes {begin}-{end - 1}/{SIZE}"
    assert answer.headers["X-Buildthrough-Cache"] == UNVERIFIED
    assert ranges(pypi) == [None, f"bytes={begin}-{end - 1}"]
    gate.open()
    assert await whole(site, file)
    again = await site.ask(path_of(file), Range=given)
    assert (again.body == answer.body, "X-Buildthrough-Cache" in again.headers) == (True, False)
    assert len(ranges(pypi)) == 2
    await site.tells('buildthrough_files_total{reason="aside"} 1.0')


async def test_what_is_there_already_is_not_fetched_twice(pypi, site, held):
    file, gate = held
    answer = await site.ask(path_of(file), Range="bytes=1000-900000")
    assert (answer.status, answer.body == part(file, 1000, 900_001)) == (206, True)
    assert "X-Buildthrough-Cache" not in answer.headers
    assert ranges(pypi) == [None]
    across = asyncio.ensure_future(site.ask(path_of(file), Range="bytes=1000-1999999"))
    await asyncio.to_thread(gate.wait_until_reached)
    gate.open()
    assert (await across).body == part(file, 1000, 2_000_000)
    assert ranges(pypi) == [None]


async def test_the_size_may_be_known_from_upstream_alone(tmp_path):
    gate = Gate()
    with FakePyPI(form="html") as pypi:
        file = pypi.add("demo", "demo-1.0.tar.gz", Stream(size=SIZE, block=BLOCK))
        pypi.fault("/packages/*", Fault(gate=gate, gate_at=1 << 20, times=1, ranged=False))
        async with serving(pypi.simple, tmp_path) as site:
            answer = await site.ask(path_of(file), Range="bytes=-16384")
            assert (answer.status, answer.body == part(file, SIZE - 16384, SIZE)) == (206, True)
            head = await site.ask(path_of(file), "HEAD")
            assert (head.status, head.headers["Content-Length"]) == (200, str(SIZE))
            gate.open()
            assert await whole(site, file)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(ranges=False),
        Fault(headers={"ETag": '"another"'}),
        Fault(headers={"Content-Range": f"bytes {SIZE - 16384}-{SIZE - 1}/{SIZE + 1}"}),
        Fault(headers={"Content-Range": f"bytes 5-{SIZE - 1}/{SIZE}"}),
        Fault(headers={"Content-Range": ""}),
        Fault(status=503),
        Fault(status=403),
        Fault(drop=True),
        Fault(cut_at=1000),
    ],
    ids=["ignored", "etag", "size", "begin", "none", "503", "403", "no answer", "cut"],
)
async def test_an_upstream_that_grants_no_such_range_is_waited_for(pypi, site, held, fault):
    file, gate = held
    pypi.fault("/packages/*", fault)
    asking = asyncio.ensure_future(site.ask(path_of(file), Range="bytes=-16384"))
    await asyncio.sleep(0.4)
    assert not asking.done()
    assert len(ranges(pypi)) <= 5
    gate.open()
    answer = await asking
    assert (answer.status, answer.body == part(file, SIZE - 16384, SIZE)) == (206, True)
    assert await whole(site, file)


async def test_a_range_that_breaks_off_is_taken_up(pypi, site, held):
    file, gate = held
    pypi.fault("/packages/*", Fault(cut_at=5000, times=1, ranged=True))
    answer = await site.ask(path_of(file), Range="bytes=-16384")
    assert (answer.status, answer.body == part(file, SIZE - 16384, SIZE)) == (206, True)
    assert ranges(pypi)[2:] == [f"bytes={SIZE - 11384}-{SIZE - 1}"]
    gate.open()


async def test_the_end_of_a_large_range_waits_for_the_digest(pypi, site):
    gate = Gate()
    wrong = {"hashes": {"sha256": "0" * 64}}
    file = pypi.add("demo", "demo-1.0.tar.gz", Stream(size=SIZE, block=BLOCK), extra=wrong)
    pypi.fault("/packages/*", Fault(gate=gate, gate_at=1 << 20, times=1, ranged=False))
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(f"GET {path_of(file)} HTTP/1.1\r\nHost: x\r\nRange: bytes=2500000-\r\n\r\n".encode())
    assert b" 206 " in await reader.readuntil(b"\r\n\r\n")
    first = await reader.readexactly(SIZE - WITHHELD - 2_500_000)
    assert first == part(file, 2_500_000, SIZE - WITHHELD)
    gate.open()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await reader.readexactly(1)
    writer.close()
    with pytest.raises((aiohttp.ClientError, AssertionError)):
        assert (await site.ask(path_of(file))).status == 200


async def test_at_most_so_many_are_fetched_at_once(pypi, site, held):
    file, gate = held
    second = Gate()
    pypi.fault("/packages/*", Fault(gate=second, gate_at=1000, ranged=True))
    asking = [asyncio.ensure_future(site.ask(path_of(file), Range=f"bytes=-{16384 + n}")) for n in range(30)]
    await until(lambda: len(ranges(pypi)) >= 1 + ASIDE_EACH)
    await asyncio.sleep(0.5)  # time for more, which must not come
    assert len(ranges(pypi)) == 1 + ASIDE_EACH
    second.open()
    for n, answer in enumerate(await asyncio.gather(*asking)):
        assert (answer.status, answer.body == part(file, SIZE - 16384 - n, SIZE)) == (206, True)
    gate.open()


async def test_a_client_that_leaves_in_the_middle_ends_nothing(pypi, site, held):
    file, gate = held
    second = Gate()
    pypi.fault("/packages/*", Fault(gate=second, gate_at=1000, times=1, ranged=True))
    leaving = [
        asyncio.ensure_future(site.ask(path_of(file), Range=given)) for given in ("bytes=-16384", "bytes=0-", "")
    ]
    await asyncio.to_thread(second.wait_until_reached)
    for one in leaving:
        one.cancel()
    second.open()
    answer = await site.ask(path_of(file), Range="bytes=-100")
    assert answer.body == part(file, SIZE - 100, SIZE)
    gate.open()
    assert await whole(site, file)
    assert ranges(pypi).count(None) == 1


async def test_while_it_comes_fast_enough_it_is_waited_for(pypi, site, monkeypatch):
    monkeypatch.setattr(reading, "PATIENCE", 60)
    file = pypi.add("demo", "demo-1.0.tar.gz", Stream(size=SIZE, block=BLOCK))
    answer = await site.ask(path_of(file), Range="bytes=-16384")
    assert (answer.status, answer.body == part(file, SIZE - 16384, SIZE)) == (206, True)
    assert "X-Buildthrough-Cache" not in answer.headers
    assert ranges(pypi) == [None]


async def test_who_follows_a_download_that_stands_still_waits_for_it(pypi, site, held):
    file, gate = held
    spans = {"": (0, SIZE), "bytes=0-": (0, SIZE), "bytes=900000-": (900_000, SIZE), "bytes=5-8000000": (5, 8_000_001)}
    asking = [asyncio.ensure_future(site.ask(path_of(file), **({"Range": one} if one else {}))) for one in spans]
    await asyncio.to_thread(gate.wait_until_reached)
    await asyncio.sleep(0.4)
    assert ranges(pypi) == [None]
    gate.open()
    for answer, (begin, end) in zip(await asyncio.gather(*asking), spans.values(), strict=True):
        assert answer.body == part(file, begin, end)
    assert ranges(pypi) == [None]
