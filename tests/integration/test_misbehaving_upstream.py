"""Everything that an upstream can do wrong, on a real socket, and what clients get from it.

One row a fault, one column for each thing that is asked for: a page that nobody has asked for before, a page that is
known, a file, a file's core metadata. Never a 404 for upstream's fault, never a page that lists less than upstream
does; and once upstream is well again, all is well at once: nothing bad was kept.
"""

from __future__ import annotations

import asyncio
import gzip
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import aiohttp
import pytest
from tests.fakes.faults import Fault
from tests.fakes.waiting import until
from tests.fakes.wheels import make_wheel
from tests.integration.assembled import JSON, serving

from buildthrough.proxy import arrival

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.pypi import FakePyPI
    from tests.integration.assembled import Site

CACHE = "X-Buildthrough-Cache"
SDIST = bytes(range(256)) * 1200
"""Larger than what is held back until the digest is right, so that a late fault comes after the first byte."""

SIGN_IN = b"<!DOCTYPE html><html><body><h1>Sign in</h1><a href='/login'>here</a></body></html>"
PAGE_IN_HTML = (
    b"<!DOCTYPE html><html><body>"
    + b"".join(b"<a href='x-%d.0.tar.gz'>x-%d.0.tar.gz</a>\n" % (number, number) for number in range(5))
    + b"</body></html>"
)
CHUNKED = f"HTTP/1.1 200 OK\nContent-Type: {JSON}\nTransfer-Encoding: chunked"
OLD = "old"
"""The last good page, which says that it is."""
CUT = "cut"
"""The status line was sent when it went wrong: the connection is cut, so nobody takes a part for the whole."""
WHOLE = "whole"
"""As it should be."""
EITHER = frozenset({CUT, 502})
"""Of unknown length, longer than what is held back: 502 where it was found wrong before any of it was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What each thing asked for gives."""

    fault: Fault = field(repr=False)
    unknown: int | str
    known: int | str
    file: int | str
    metadata: int | str | frozenset[int | str]

    def allows(self, got: Row) -> bool:
        """Whether that is what each thing may give."""
        metadata = self.metadata if isinstance(self.metadata, frozenset) else {self.metadata}
        return got.metadata in metadata and replace(got, metadata=self.metadata) == self


def raw(head: str, body: bytes = b"", *, linger: bool = False) -> Fault:
    """Return a fault that sends a head, its lines ended as HTTP wants it, and a body."""
    lines = head.strip().splitlines()
    return Fault(raw="\r\n".join([*(line.strip() for line in lines), "", ""]).encode() + body, linger=linger)


def unavailable(fault: Fault, *, file: int | str = 503) -> Row:
    """Return the row of a fault that may pass: 503, or the old page."""
    return Row(fault=fault, unknown=503, known=OLD, file=file, metadata=503)


def invalid(fault: Fault, *, file: int | str = 502, metadata: int | str | frozenset[int | str] = 502) -> Row:
    """Return the row of an answer that is not what it claims to be: 502, or the old page."""
    return Row(fault=fault, unknown=502, known=OLD, file=file, metadata=metadata)


def pages_only(fault: Fault) -> Row:
    """Return the row of a fault that spoils pages alone: a file is what its digest says."""
    return Row(fault=fault, unknown=502, known=OLD, file=WHOLE, metadata=WHOLE)


def all_whole(fault: Fault) -> Row:
    """Return the row of what is odd and harms nothing."""
    return Row(fault=fault, unknown=WHOLE, known=WHOLE, file=WHOLE, metadata=WHOLE)


def coded(coding: str, body: bytes) -> Fault:
    return Fault(body=body, headers={"Content-Encoding": coding}, content_type=JSON)


def bomb() -> bytes:
    return gzip.compress(b'{"meta": {"api-version": "1.0"}, "name": "x", "files": [' + bytes(40 << 20), 9, mtime=0)


CONNECTIONS = {
    "closes without a word": unavailable(Fault(drop=True)),
    "says nothing": unavailable(Fault(delay=30)),
    "sends half a status line": unavailable(Fault(raw=b"HTTP/1.1 20")),
    "sends half its headers": unavailable(Fault(raw=b"HTTP/1.1 200 OK\r\nContent-Type: text/ht")),
    "stops in its headers": unavailable(Fault(raw=b"HTTP/1.1 200 OK\r\nContent-Type: text/ht", linger=True)),
    "speaks no HTTP": unavailable(Fault(raw=b"SSH-2.0-OpenSSH_9.2p1\r\n" * 10)),
    "speaks HTTP/3.7": unavailable(raw("HTTP/3.7 200 OK")),
    "sends 5 MB of one header": unavailable(raw("HTTP/1.1 200 OK\nX-Long: " + "x" * 5_000_000)),
    "sends 100,000 headers": unavailable(raw("HTTP/1.1 200 OK\n" + "X-More: x\n" * 100_000)),
    "sends headers for ever": unavailable(Fault(raw=b"HTTP/1.1 200 OK\r\n" + b"X-More: x\r\n" * 500_000, linger=True)),
    "gives two lengths": unavailable(
        raw("HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 7\nContent-Type: text/html", b"hello")
    ),
    "gives no number as the length": unavailable(raw("HTTP/1.1 200 OK\nContent-Length: five", b"hello")),
    "gives a negative length": unavailable(raw("HTTP/1.1 200 OK\nContent-Length: -5", b"hello")),
}
STATUSES = {
    **{f"answers {status}": unavailable(Fault(status=status)) for status in (500, 502, 503, 504, 520, 522, 599)},
    **{f"answers {status}": unavailable(Fault(status=status)) for status in (401, 403, 408, 425, 429)},
    **{f"answers {status}": invalid(Fault(status=status)) for status in (201, 204, 400, 402, 405, 406, 418, 451)},
    "answers 206 unasked": invalid(Fault(status=206)),
    "answers 304 unasked": Row(fault=Fault(status=304), unknown=502, known=WHOLE, file=502, metadata=502),
    "answers 304 for something else": invalid(Fault(status=304, headers={"ETag": '"else"'})),
    "answers 999": unavailable(raw("HTTP/1.1 999 What\nContent-Length: 0")),
    "redirects in a circle": Row(
        fault=Fault(redirect="/simple/circle/"), unknown=502, known=OLD, file=502, metadata=502
    ),
    "redirects to nowhere": unavailable(Fault(redirect="http://127.0.0.1:1/simple/")),
    "redirects to a file": invalid(Fault(redirect="file:///etc/passwd")),
    "redirects without saying where": invalid(Fault(status=302)),
}
BODIES = {
    "breaks off at once": Row(fault=Fault(cut_at=20), unknown=503, known=OLD, file=CUT, metadata=503),
    "breaks off late": Row(fault=Fault(cut_at=250_000), unknown=WHOLE, known=WHOLE, file=WHOLE, metadata=WHOLE),
    "breaks off late and knows no ranges": Row(
        fault=Fault(cut_at=250_000, ranges=False), unknown=WHOLE, known=WHOLE, file=CUT, metadata=WHOLE
    ),
    "stops in the body": Row(fault=Fault(dribble=(20, 30)), unknown=503, known=OLD, file=CUT, metadata=503),
    "sends less, with a length that fits": invalid(Fault(short=5)),
    "sends less than the length": Row(
        fault=raw(f"HTTP/1.1 200 OK\nContent-Type: {JSON}\nContent-Length: 1000", b"{}"),
        unknown=503,
        known=OLD,
        file=502,
        metadata=503,
    ),
    "sends more than the length": unavailable(
        raw(f"HTTP/1.1 200 OK\nContent-Type: {JSON}\nContent-Length: 2", b"{}" * 100, linger=True)
    ),
    "gives no length": all_whole(Fault(length=False)),
    "gives no length, and is cut": Row(
        fault=Fault(length=False, cut_at=20), unknown=503, known=OLD, file=CUT, metadata=503
    ),
    "speaks HTTP/1.0": all_whole(Fault(http10=True)),
    "speaks HTTP/1.0, and is cut": Row(
        fault=Fault(http10=True, cut_at=20), unknown=502, known=OLD, file=CUT, metadata=502
    ),
    "speaks HTTP/1.0, and is cut in HTML": invalid(
        Fault(http10=True, body=PAGE_IN_HTML, content_type="text/html", cut_at=60), file=CUT
    ),
    "cannot count its chunks": unavailable(raw(CHUNKED, b"zz\r\n{}\r\n0\r\n\r\n")),
    "sends a negative chunk": unavailable(raw(CHUNKED, b"-2\r\n{}\r\n0\r\n\r\n")),
    "sends a chunk without end": unavailable(raw(CHUNKED, b"ffffffffffffffff\r\n{}"), file=CUT),
    "sends an endless chunk size": unavailable(raw(CHUNKED, b"f" * 100_000)),
    "sends no last chunk": unavailable(raw(CHUNKED, b"2\r\n{}\r\n"), file=CUT),
    "says both how long and in chunks": unavailable(raw(f"{CHUNKED}\nContent-Length: 2", b"2\r\n{}\r\n0\r\n\r\n")),
}
CODINGS = {
    "cuts gzip": invalid(Fault(cut_gzip=30)),
    "says gzip and sends none": invalid(coded("gzip", b"garbage")),
    "says gzip and sends a bomb": invalid(coded("gzip", bomb())),
    "says zstd and sends none": invalid(coded("zstd", b"garbage")),
    "says zstd and sends a bomb": invalid(coded("zstd", zstd.compress(bytes(40 << 20)))),
    "says a coding that nobody knows": pages_only(Fault(headers={"Content-Encoding": "br"})),
    "sends broken deflate": invalid(coded("deflate", b"garbage")),
}
CONTENTS = {
    "says the wrong type": pages_only(Fault(content_type="application/octet-stream")),
    "says a type that is none": pages_only(Fault(content_type="json")),
    "says no type": pages_only(Fault(headers={"Content-Type": ""})),
    "says JSON and sends HTML": invalid(Fault(body=PAGE_IN_HTML, content_type=JSON)),
    "says HTML and sends JSON": invalid(Fault(body=b'{"meta": {}, "files": []}', content_type="text/html")),
    "sends nothing": invalid(Fault(body=b"", content_type=JSON)),
    "sends nothing as HTML": invalid(Fault(body=b"", content_type="text/html")),
    "sends nought bytes": invalid(
        Fault(body=bytes(len(SDIST) + len("files00")), content_type=JSON), file=CUT, metadata=EITHER
    ),
    "sends half a page": invalid(Fault(body=b'{"meta": {"api-version": "1.0"}, "files": [', content_type=JSON)),
    "sends an error page": invalid(Fault(body=b"<html><body>Try again later.</body></html>", content_type="text/html")),
    "wants somebody to sign in": invalid(Fault(body=SIGN_IN, content_type="text/html")),
    "sends a page of another project": invalid(
        Fault(body=b'{"meta": {"api-version": "1.0"}, "name": "another", "files": []}', content_type=JSON)
    ),
    "speaks a version without end": invalid(
        Fault(body=b'{"meta": {"api-version": "%s"}, "files": []}' % (b"x" * 50_000), content_type=JSON)
    ),
    "speaks version 2": invalid(
        Fault(body=b'{"meta": {"api-version": "2.0"}, "name": "x", "files": []}', content_type=JSON)
    ),
}


class Place:
    """What is asked for while one fault lasts: a page that is unknown, one that is known, a file, its core metadata."""

    def __init__(self, upstream: FakePyPI, site: Site, number: int, folder: Path) -> None:
        self._upstream, self._site = upstream, site
        self.known, self.unknown, self.files = f"known{number:02}", f"unknown{number:02}", f"files{number:02}"
        for project in (self.known, self.unknown, self.files):
            wheel = make_wheel(folder, name=project)
            upstream.add(project, f"{project}-1.0.tar.gz", SDIST + project.encode())
            upstream.add(project, wheel.name, wheel.read_bytes())

    async def under(self, fault: Fault) -> Row:
        """Return what clients get, and see that all is well when the fault is over."""
        old = await self._site.fresh(f"/simple/{self.known}/", Accept=JSON)
        await self._site.fresh(f"/simple/{self.files}/", Accept=JSON)
        listed = await self._site.listed(self.files)
        sdist, wheel = listed[f"{self.files}-1.0.tar.gz"]["url"], listed[f"{self.files}-1.0-py3-none-any.whl"]["url"]
        self._upstream.add(self.known, f"{self.known}-2.0.tar.gz", b"new")  # or a 304 would be the answer
        for path in (f"/simple/{self.known}/", f"/simple/{self.unknown}/", "/packages/*", "/simple/circle/"):
            self._upstream.fault(path, fault)
        unknown, known, file, metadata = await asyncio.gather(
            told(self._site, f"/simple/{self.unknown}/"),
            told(self._site, f"/simple/{self.known}/", old.body),
            told(self._site, sdist),
            told(self._site, f"{wheel}.metadata"),
        )
        self._upstream.heal()
        for path in (f"/simple/{self.unknown}/", f"/simple/{self.known}/", sdist, f"{wheel}.metadata"):
            if is_silent(fault):  # where upstream may be silent for a moment only, a busy machine is so too

                async def is_well(path: str = path) -> bool:
                    return await told(self._site, path, old.body) == WHOLE

                await until(is_well)
            else:
                assert await told(self._site, path) == WHOLE, path
        assert f"{self.known}-2.0.tar.gz" in await self._site.listed(self.known)
        assert (await self._site.ask(sdist)).body == SDIST + self.files.encode()
        return Row(fault=fault, unknown=unknown, known=known, file=file, metadata=metadata)


def is_silent(fault: Fault) -> bool:
    """Whether only time tells that something is wrong."""
    return bool(fault.delay or fault.linger or fault.dribble)


async def told(site: Site, path: str, good: bytes | None = None) -> int | str:
    """Return what a client gets, as the table says it."""
    try:
        answer = await site.ask(path, Accept=JSON)
    except aiohttp.ClientPayloadError:
        return CUT
    if answer.status != 200:
        assert answer.sentence
        return answer.status
    if answer.headers.get(CACHE, "").startswith("stale; age="):
        assert answer.body == good
        return OLD
    return WHOLE


@pytest.mark.parametrize("table", ["CONNECTIONS", "STATUSES", "BODIES", "CODINGS", "CONTENTS"])
async def test_what_clients_get_while_upstream_does_so(pypi, tmp_path, monkeypatch, table):
    monkeypatch.setattr(arrival, "RESUME_PAUSE", 0.001)
    rows: dict[str, Row] = globals()[table]
    most = {"upstream__max_page_bytes": 20 << 20}
    patience = {"upstream__patience_seconds": 100, "upstream__stale_after_seconds": 60}  # a machine may stand still
    async with (
        serving(pypi.simple, tmp_path / "hasty", upstream__read_seconds=0.3, **most) as hasty,
        serving(pypi.simple, tmp_path / "patient", **most, **patience) as patient,
    ):
        given = {
            name: await Place(pypi, hasty if is_silent(row.fault) else patient, number, tmp_path).under(row.fault)
            for number, (name, row) in enumerate(rows.items())
        }
    assert {name: got for name, got in given.items() if not rows[name].allows(got)} == {}
