"""Ways in which the fake index answers badly, and the code that sends them over a real socket."""

from __future__ import annotations

import asyncio
import gzip
import re
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.fakes.pypi import FakeFile


class Gate:
    """Holds an answer in its middle until a test opens it: no guess at how long anything takes."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._open = threading.Event()

    def wait_until_reached(self, timeout: float = 300) -> None:
        """Wait until a request is held here. Raise `TimeoutError` after so many seconds."""
        if not self._reached.wait(timeout):
            raise TimeoutError("no request came to the gate")

    def open(self) -> None:
        """Let all requests pass."""
        self._open.set()

    async def pass_through(self) -> None:
        """Wait at the gate (called by the fake index)."""
        self._reached.set()
        while not self._open.is_set():
            await asyncio.sleep(0.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with an answer. Fields combine; the defaults change nothing."""

    times: int | None = None
    """How many requests it holds for; None for all."""
    ranged: bool | None = None
    """Whether it holds for requests with a Range, or for those without; None for all."""
    status: int | None = None
    """Answer this instead."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers to add or to put in place of others; an empty value takes the header away."""
    body: bytes | None = None
    """Other bytes: an error page, garbage, JSON of the wrong shape, the bytes of another file."""
    content_type: str | None = None
    redirect: str | None = None
    """Answer 302 to there."""
    delay: float = 0
    """Seconds before the status line."""
    silence: Gate | None = None
    """Say nothing before a test opens this gate."""
    cut_at: int | None = None
    """Close the connection after so many bytes of the body that was promised."""
    short: int = 0
    """Bytes missing at the end, with a Content-Length that fits what is sent."""
    length: bool = True
    """Whether there is a Content-Length; else the body is chunked."""
    cut_gzip: int | None = None
    """Claim gzip and send only so many bytes of it, with a Content-Length that fits."""
    ranges: bool = True
    """Whether Range is obeyed."""
    http10: bool = False
    """Speak HTTP/1.0: where the connection ends the body ends, cut or not."""
    dribble: tuple[int, float] | None = None
    """Send so many bytes, then wait so many seconds, over and over."""
    stall: tuple[int, float] | None = None
    """Where in the body to say nothing for so many seconds."""
    gate: Gate | None = None
    gate_at: int = 0
    """Wait at the gate after so many bytes of the body."""
    drop: bool = False
    """Close the connection without an answer."""
    raw: bytes | None = None
    """Send these very bytes instead of an answer, and close the connection."""
    linger: bool = False
    """Leave the connection open instead, after what is raw."""


@dataclass(slots=True, kw_only=True)
class _Plan:
    """An answer before anything is done to it."""

    status: int
    headers: dict[str, str]
    size: int
    pieces: Iterator[bytes]


async def send(request: web.BaseRequest, answer: web.Response | FakeFile, fault: Fault) -> web.StreamResponse:
    """Send an answer with what the fault does to it."""
    if fault.delay:
        await asyncio.sleep(fault.delay)
    if fault.silence is not None:
        await fault.silence.pass_through()
    if fault.drop:
        _abort(request)
        return web.Response()
    if fault.raw is not None:
        return await _send_raw(request, fault.raw, linger=fault.linger)
    if fault.redirect is not None:
        return web.Response(status=302, headers={"Location": fault.redirect})
    plan = _spoil(_plan(request, answer, fault), fault)
    if fault.http10:
        head = "".join(f"{key}: {value}\r\n" for key, value in plan.headers.items())
        body = b"".join(plan.pieces)[: fault.cut_at]
        return await _send_raw(request, f"HTTP/1.0 {plan.status} What\r\n{head}\r\n".encode() + body, linger=False)
    response = web.StreamResponse(status=plan.status, headers=plan.headers)
    if fault.length:
        response.content_length = plan.size
    elif request.version >= (1, 1):
        response.enable_chunked_encoding()
    with suppress(ConnectionResetError):  # whoever asked may have left meanwhile
        await response.prepare(request)
        if request.method != "HEAD" and plan.status not in {204, 304}:
            await _write(request, response, plan, fault)
    return response


async def _send_raw(request: web.BaseRequest, raw: bytes, *, linger: bool) -> web.Response:
    transport = request.transport
    if transport is not None:
        transport.write(raw)
        while linger and not transport.is_closing():
            await asyncio.sleep(0.02)
        transport.close()
    return web.Response()


def _plan(request: web.BaseRequest, answer: web.Response | FakeFile, fault: Fault) -> _Plan:
    if isinstance(answer, web.Response):
        body = answer.body if isinstance(answer.body, bytes) else b""
        headers = {key: value for key, value in answer.headers.items() if key.lower() != "content-length"}
        return _Plan(status=answer.status, headers=headers, size=len(body), pieces=iter((body,)))
    start, stop, status = 0, answer.size, 200
    headers = {"Content-Type": "application/octet-stream", "ETag": f'"{answer.sha256[:32]}"', "Accept-Ranges": "bytes"}
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", "")) if fault.ranges else None
    if match and (match[1] or match[2]) and request.headers.get("If-Range", headers["ETag"]) == headers["ETag"]:
        if match[1]:
            start, stop = int(match[1]), min(int(match[2]) + 1 if match[2] else answer.size, answer.size)
        else:
            start = max(0, answer.size - int(match[2]))
        status = 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{answer.size}"
        if start >= stop:
            headers["Content-Range"] = f"bytes */{answer.size}"
            return _Plan(status=416, headers=headers, size=0, pieces=iter(()))
    return _Plan(status=status, headers=headers, size=stop - start, pieces=answer.content.read(start, stop))


def _spoil(plan: _Plan, fault: Fault) -> _Plan:
    if fault.status is not None:
        plan.status = fault.status
        if fault.body is None:
            plan.size, plan.pieces = _whole(f"{fault.status}: made to fail".encode())
            plan.headers = {"Content-Type": "text/plain"}
    if fault.body is not None:
        plan.size, plan.pieces = _whole(fault.body)
        plan.headers.pop("ETag", None)
    if fault.cut_gzip is not None:
        plan.size, plan.pieces = _whole(gzip.compress(b"".join(plan.pieces), mtime=0)[: fault.cut_gzip])
        plan.headers["Content-Encoding"] = "gzip"
    if fault.short:
        plan.size, plan.pieces = _whole(b"".join(plan.pieces)[: -fault.short])
    if fault.content_type is not None:
        plan.headers["Content-Type"] = fault.content_type
    for key, value in fault.headers.items():
        plan.headers.pop(key, None)
        if value:
            plan.headers[key] = value
    return plan


def _whole(body: bytes) -> tuple[int, Iterator[bytes]]:
    return len(body), iter((body,))


async def _write(request: web.BaseRequest, response: web.StreamResponse, plan: _Plan, fault: Fault) -> None:
    sent = 0
    step = fault.dribble[0] if fault.dribble else 2**18
    for piece in plan.pieces:
        view = memoryview(piece)
        while view:
            take = step
            if fault.gate is not None and sent < fault.gate_at:
                take = min(take, fault.gate_at - sent)
            if fault.cut_at is not None:
                take = min(take, fault.cut_at - sent)
            if fault.gate is not None and sent >= fault.gate_at:
                await fault.gate.pass_through()
            if fault.stall is not None and sent <= fault.stall[0] < sent + take:
                await asyncio.sleep(fault.stall[1])
            if take <= 0:
                await asyncio.sleep(0.05)  # what was written before has left
                _abort(request)
                return
            await response.write(bytes(view[:take]))
            sent += len(view[:take])
            view = view[take:]
            if fault.dribble:
                await asyncio.sleep(fault.dribble[1])
    await response.write_eof()


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.close()
