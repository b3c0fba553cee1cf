"""The frames between the server and a builder: a length of four bytes and so much JSON; bytes follow as they are."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

LONGEST = 64 << 20
"""Bytes of a frame: an ending holds a log of some megabytes."""
_LENGTH = struct.Struct(">I")


class Broken(Exception):
    """The connection ended, or what came over it is no frame."""


class Ended(Broken):
    """The connection ended."""


async def write(writer: asyncio.StreamWriter, frame: dict[str, Any], content: bytes = b"") -> None:
    """Send one frame, and bytes that belong to it. Raise `Broken`."""
    data = json.dumps(frame, separators=(",", ":")).encode()
    writer.write(_LENGTH.pack(len(data)) + data + content)
    try:
        await writer.drain()
    except ConnectionError as error:
        raise Ended("the connection ended") from error


async def read(reader: asyncio.StreamReader) -> dict[str, Any]:
    """Return the next frame. Raise `Broken`."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > LONGEST:
            raise Broken(f"a frame of {length} bytes is too long")
        frame = json.loads(await reader.readexactly(length))
    except (EOFError, ConnectionError) as error:
        raise Ended("the connection ended") from error
    except ValueError as error:
        raise Broken("what came is no frame") from error
    if not isinstance(frame, dict):
        raise Broken("what came is no frame")
    return frame
