"""Upstream's files as clients get them, and what becomes of them when upstream sends them badly."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.fakes.faults import Fault, Gate
from tests.fakes.pypi import Stream
from tests.fakes.sdists import pure_sdist
from tests.fakes.waiting import until
from tests.fakes.wheels import make_wheel
from tests.integration.assembled import PIP, serving

from buildthrough.proxy import arrival

if TYPE_CHECKING:
    from pathlib import Path

IMMUTABLE = "max-age=365000000, immutable, public"


@pytest.fixture
def wheel(pypi, tmp_path):
    path = make_wheel(tmp_path, name="demo", version="1.0+cu130")
    return pypi.add("demo", path.name, path.read_bytes())


def path_of(file) -> str:
    return f"/files/{file.project}/{file.path}"


async def kept(site, count: int = 1) -> list[Path]:
    """Return the files in the store, once there are so many and none is being written."""
    files: list[Path] = []

    def are_there() -> bool:
        files[:] = [path for path in (site.folder / "data" / "files").rglob("*") if path.is_file()]
        return len(files) == count and not any(path.parent.name == "incoming" for path in files)

    await until(are_there)
    return files


async def test_a_file_and_its_metadata_are_what_the_page_says(pypi, site, wheel):
    entry = (await site.listed("demo"))[wheel.filename]
    for url, digest in (
        (entry["url"], entry["hashes"]["sha256"]),
        (entry["url"] + ".metadata", entry["core-metadata"]["sha256"]),
    ):
        for coding in ("identity", "gzip, deflate, zstd"):
            answer = await site.ask(url, Accept_Encoding=coding)
            assert answer.status == 200
            assert hashlib.sha256(answer.body).hexdigest() == digest
            assert "Content-Encoding" not in answer.headers
            assert "Content-Disposition" not in answer.headers
            assert answer.headers["Cache-Control"] == IMMUTABLE
            assert answer.headers["Accept-Ranges"] == "bytes"
            assert answer.headers["ETag"] == f'"{digest}"'
            assert "html" not in answer.headers["Content-Type"]
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert pypi.count("/packages/*") == 2


async def test_a_path_is_decoded_exactly_once_and_its_query_ignored(pypi, site, wheel):
    plain = path_of(wheel)
    assert "+" in plain
    for spelled in (
        plain,
        plain.replace("+", "%2B"),
        plain.replace("+", "%2b"),
        plain.replace("-1.0", "%2D1.0"),
        f"{plain}?x=1",
        f"{plain}?",
        f"{plain}.metadata?x=1",
        f"{plain}.metadata".replace("+", "%2B"),
    ):
        assert (await site.ask(spelled)).status == 200, spelled
    for other in (
        plain.replace("+", "%252B"),
        plain.replace("+", "%20"),
        plain.replace("+", " ").replace(" ", "%2520"),
    ):
        assert (await site.ask(other)).status == 404, other


async def test_conditions_and_ranges(site, wheel):
    data = wheel.content.block
    size, etag = len(data), f'"{wheel.sha256}"'
    await site.ask(path_of(wheel))
    for headers, status, body in (
        ({}, 200, data),
        ({"Range": "bytes=0-0"}, 206, data[:1]),
        ({"Range": "bytes=-16"}, 206, data[-16:]),
        ({"Range": f"bytes=-{size + 99}"}, 206, data),
        ({"Range": "bytes=5-"}, 206, data[5:]),
        ({"Range": "bytes=5-99999999"}, 206, data[5:]),
        ({"Range": "bytes=5-9", "If_Range": etag}, 206, data[5:10]),
        ({"Range": "bytes=5-9", "If_Range": '"other"'}, 200, data),
        ({"Range": "bytes=5-9", "If_Range": "Sat, 21 Nov 2026 00:00:00 GMT"}, 200, data),
        ({"Range": "bytes=9-5"}, 200, data),
        ({"Range": "lines=1-2"}, 200, data),
        ({"Range": f"bytes={size}-"}, 416, b""),
        ({"If_None_Match": etag}, 304, b""),
        ({"If_None_Match": '"other"'}, 200, data),
        ({"If_None_Match": etag, "Range": "bytes=0-0"}, 304, b""),
    ):
        answer = await site.ask(path_of(wheel), **headers)
        assert (answer.status, answer.body) == (status, body), headers
        if status != 304:
            assert int(answer.headers["Content-Length"]) == len(body)
        if status == 206:
            assert answer.headers["Content-Range"].endswith(f"/{size}")
        if status == 416:
            assert answer.headers["Content-Range"] == f"bytes */{size}"


async def test_head_of_a_file_that_is_here_and_of_one_that_is_not_yet(site, wheel):
    cold = await site.ask(path_of(wheel), "HEAD")
    await site.ask(path_of(wheel))
    warm = await site.ask(path_of(wheel), "HEAD")
    for answer in (cold, warm):
        assert (answer.status, answer.body) == (200, b"")
        assert int(answer.headers["Content-Length"]) == wheel.size
        assert answer.headers["ETag"] == f'"{wheel.sha256}"'


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_other_methods_are_refused(site, wheel, method):
    for path in (path_of(wheel), "/simple/demo/", "/simple/", f"/built/demo/{'0' * 64}/demo-1.0-py3-none-any.whl"):
        answer = await site.ask(path, method)
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
        assert answer.sentence


async def test_what_is_not_listed_is_404_even_if_it_is_here(pypi, site, wheel):
    kept = await site.ask(path_of(wheel))
    assert kept.status == 200
    pypi.remove(wheel.filename)
    for path in (path_of(wheel), f"{path_of(wheel)}.metadata"):
        answer = await site.ask(path)
        assert answer.status == 404
        assert wheel.filename in answer.sentence
    pypi.bring_back(wheel.filename)
    assert (await site.ask(path_of(wheel))).body == kept.body
    assert pypi.count("/packages/*", "GET") == 1
    pypi.quarantine("demo")
    assert (await site.ask(path_of(wheel))).status == 404


async def test_a_status_of_quarantined_hides_files_that_are_still_listed(pypi, site, wheel):
    pypi.projects["demo"].extra["project-status"] = {"status": "quarantined"}
    pypi.projects["demo"].rendered.clear()
    assert (await site.ask(path_of(wheel))).status == 404


async def test_a_yanked_file_is_still_served(pypi, site, wheel):
    pypi.yank(wheel.filename, "broken")
    assert (await site.ask(path_of(wheel))).status == 200


async def test_nobody_elses_file_comes_through(pypi, site, wheel):
    pypi.add("other", "other-1.0.tar.gz", b"other")
    other = pypi.file("other-1.0.tar.gz")
    for path in (
        f"/files/demo/{other.path}",
        "/files/demo/simple/demo/",
        "/files/demo/packages/",
        f"/files/unknown/{wheel.path}",
        f"/files/demo/http://127.0.0.1:1/{wheel.filename}",
        f"/files/demo//{wheel.path}",
        f"/files/demo/{wheel.path}/",
        f"/files/demo/{wheel.path}.metadata.metadata",
        f"/files/demo/{wheel.path}.asc",
    ):
        answer = await site.ask(path)
        assert answer.status == 404, path
        assert answer.sentence
    assert pypi.count("/packages/*") == 0


async def test_metadata_that_is_not_advertised_is_404(pypi, site):
    sdist = pypi.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data)
    assert (await site.ask(f"{path_of(sdist)}.metadata")).status == 404


async def test_another_spelling_of_the_project_finds_its_file(site, wheel):
    assert (await site.ask(path_of(wheel).replace("/demo/", "/DEMO/", 1))).status == 200


async def test_a_hundred_clients_of_a_cold_file_are_one_download(pypi, tmp_path):
    data = bytes(range(256)) * 4000
    file = pypi.add("demo", "demo-1.0.tar.gz", data)
    gate = Gate()
    pypi.fault("/packages/*", Fault(gate=gate, gate_at=500_000))
    async with serving(pypi.simple, tmp_path, upstream__page_ttl=60) as site:
        asking = [asyncio.ensure_future(site.ask(path_of(file))) for _ in range(100)]
        await asyncio.to_thread(gate.wait_until_reached)
        asking[0].cancel()
        gate.open()
        answers = await asyncio.gather(*asking[1:])
    assert all((one.status, one.body) == (200, data) for one in answers)
    assert pypi.count("/packages/*") == 1


async def fails_to_arrive(site, file) -> bool:
    """Ask, and return whether the client could see that the file is not whole."""
    import aiohttp

    try:
        answer = await site.ask(path_of(file))
    except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError):
        return True
    return answer.status in {502, 503} and bool(answer.sentence)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(body=b"x" * 1_000_000),
        Fault(body=b"an error page"),
        Fault(short=10),
        Fault(status=500),
        Fault(status=403),
        Fault(status=404),
        Fault(drop=True),
        Fault(length=False, body=b"x" * 1_000_000),
        Fault(length=False, body=b"x" * 3_000_000),
    ],
    ids=["wrong bytes", "too few bytes", "short", "500", "403", "404", "no answer", "chunked", "endless"],
)
async def test_wrong_bytes_are_never_kept_and_never_a_success(pypi, site, fault, monkeypatch):
    monkeypatch.setattr(arrival, "RESUME_PAUSE", 0.001)
    data = bytes(1_000_000)
    file = pypi.add("demo", "demo-1.0.tar.gz", data)
    pypi.fault("/packages/*", fault)
    if fault.status == 404:
        answer = await site.ask(path_of(file))
        assert answer.status in {404, 502}
        assert answer.sentence
    else:
        assert await fails_to_arrive(site, file)
    assert await kept(site, 0) == []
    pypi.heal()
    answer = await site.ask(path_of(file))
    assert (answer.status, answer.body == data) == (200, True)


@pytest.mark.parametrize("fault", [Fault(cut_at=300_000, times=2), Fault(length=False), Fault(ranges=False, times=1)])
async def test_a_file_that_breaks_off_is_resumed(pypi, site, fault, monkeypatch):
    monkeypatch.setattr(arrival, "RESUME_PAUSE", 0.001)
    data = bytes(range(256)) * 4000
    file = pypi.add("demo", "demo-1.0.tar.gz", data)
    pypi.fault("/packages/*", replace(fault))
    answer = await site.ask(path_of(file))
    assert (answer.status, answer.body == data) == (200, True)


async def test_a_damaged_file_on_disk_is_fetched_again(pypi, site, wheel):
    first = await site.ask(path_of(wheel))
    (file,) = await kept(site)
    await site.tells('buildthrough_files_total{reason="fetched"} 1.0')  # nobody gets it from its download any more
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1])
    assert (await site.ask(path_of(wheel))).body == first.body
    (file,) = await kept(site)
    await site.tells('buildthrough_files_total{reason="fetched"} 2.0')
    file.unlink()
    assert (await site.ask(path_of(wheel))).body == first.body
    assert pypi.count("/packages/*") == 3


async def test_a_big_file_flows_while_it_arrives(pypi, site):
    gate = Gate()
    file = pypi.add("demo", "demo-1.0.tar.gz", Stream(size=8 << 20))
    pypi.fault("/packages/*", Fault(gate=gate, gate_at=4 << 20))
    asking = asyncio.ensure_future(site.ask(path_of(file), Range="bytes=0-1048575"))
    answer = await asking  # while the rest is held back
    assert (answer.status, len(answer.body)) == (206, 1 << 20)
    gate.open()
    assert len((await site.ask(path_of(file))).body) == 8 << 20
    assert pypi.count("/packages/*") == 1


async def test_who_downloads_what_is_counted_by_what_follows(pypi, site):
    """The User-Agent is a hint to build, and nothing else (T15)."""
    sdist = pypi.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data)
    musl = PIP.replace('"lib": "glibc", "version": "2.36"', '"lib": "musl", "version": "1.2"')
    for agent in (PIP, musl, "curl/8", "pip/26 {", "x" * 100_000, "uv/0.1 " + "[" * 100_000):
        assert (await site.ask(path_of(sdist), User_Agent=agent)).status == 200
    assert (await site.ask(path_of(sdist), "HEAD", User_Agent=PIP)).status == 200
    await site.tells(
        'buildthrough_sdist_downloads_total{verdict="builds-off"} 1.0',
        'buildthrough_sdist_downloads_total{verdict="no-target"} 1.0',
        'buildthrough_sdist_downloads_total{verdict="unknown-client"} 4.0',
    )


async def test_no_build_where_an_upstream_wheel_fits(pypi, site, tmp_path):
    sdist = pypi.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data)
    abi3 = make_wheel(tmp_path, name="demo", version="1.0", tag="cp37-abi3-manylinux_2_17_x86_64")
    pypi.add("demo", abi3.name, abi3.read_bytes())
    await site.ask(path_of(sdist), User_Agent=PIP)
    await site.tells('buildthrough_sdist_downloads_total{verdict="wheel-fits"} 1.0')
    assert (await site.ask("/api/v1/builds")).json == {"builds": []}
