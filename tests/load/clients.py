"""Many clients in a process of their own: ``python -m tests.load.clients URL SECONDS COUNT FIRST MANIFEST``.

Each byte that comes whole is checked by its sha256. Prints what was done and what went wrong as one object of JSON.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import random
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp
import uvloop
from tests.load.content import BIG, WARM, WIDE_SECONDS, cold

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
THINK = 0.4
"""Seconds between two requests of a client, on average."""
ASIDE = {"slow": 4, "leave": 6, "stampede": 6, "range": 8, "cold": 12, "big": 2, "file": 20, "page": 42}


class Wrong(Exception):
    """An answer is not what it must be."""


class Clients:
    """All clients of this process."""

    def __init__(self, url: str, seconds: float, first: int, manifest: dict[str, dict[str, str]]) -> None:
        self.url = url
        self.seconds = seconds
        self.manifest = manifest
        self.bodies: dict[str, str] = {}
        """The sha256 of each page by its entity tag: one tag, one body."""
        self.etags: dict[str, str] = {}
        self.took: dict[str, list[float]] = defaultdict(list)
        self.wrong: list[str] = []
        self.bytes = 0
        self.unseen = iter(cold(seconds)[first % 2 :: 2])
        self.began = time.monotonic()

    async def run(self, count: int, first: int) -> None:
        """Let them all do what clients do, for the time given."""
        await asyncio.gather(*(self.client(random.Random(first + number)) for number in range(count)))

    async def client(self, dice: random.Random) -> None:
        """Do one thing after another."""
        kinds, weights = list(ASIDE), list(ASIDE.values())
        connector = aiohttp.TCPConnector(limit=2)
        timeout = aiohttp.ClientTimeout(total=120)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
            await asyncio.sleep(dice.random())
            while time.monotonic() - self.began < self.seconds:
                (kind,) = dice.choices(kinds, weights)
                began = time.monotonic()
                try:
                    await getattr(self, kind)(session, dice)
                except (Wrong, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                    self.wrong.append(f"{kind} after {began - self.began:.1f} s: {type(error).__name__} {error}")
                self.took[kind].append(time.monotonic() - began)
                await asyncio.sleep(dice.random() * 2 * THINK)

    # --- pages ----------------------------------------------------------------------------------------------------

    async def page(self, session: aiohttp.ClientSession, dice: random.Random) -> None:
        """Ask for a page that is known, in any form."""
        await self.look(session, dice, dice.choice(WARM))

    async def big(self, session: aiohttp.ClientSession, dice: random.Random) -> None:
        """Ask for a long page."""
        await self.look(session, dice, BIG)

    async def look(self, session: aiohttp.ClientSession, dice: random.Random, project: str) -> None:
        """Ask for a page, and whether what is known of it is so still."""
        form = dice.choice((JSON, JSON, HTML))
        headers = {"Accept": form, "Accept-Encoding": dice.choice(("gzip", "identity"))}
        key = f"{project} {headers}"
        known = self.etags.get(key) if dice.random() < 0.5 else None
        if known is not None:
            headers["If-None-Match"] = known
        async with session.get(f"{self.url}/simple/{project}/", headers=headers) as response:
            body = await response.read()
            etag = response.headers.get("ETag", "")
            if known is not None:
                self.same(response.status, 304)
                self.same(etag, known)
                return
            self.same(response.status, 200)
            if headers["Accept-Encoding"] == "identity":
                self.same(response.headers.get("Content-Encoding"), None)
            self.judge(project, form, unpacked(response, body))
            if etag:
                self.etags[key] = etag
                self.same(
                    self.bodies.setdefault(etag, hashlib.sha256(body).hexdigest()), hashlib.sha256(body).hexdigest()
                )
            self.bytes += len(body)

    def judge(self, project: str, form: str, body: bytes) -> None:
        """Compare a page with what is listed."""
        wanted = self.manifest[project]
        if form == JSON:
            self.same({file["filename"]: file["hashes"]["sha256"] for file in json.loads(body)["files"]}, wanted)
        else:
            self.same(body.count(b"#sha256="), len(wanted))

    # --- files ----------------------------------------------------------------------------------------------------

    async def cold(self, session: aiohttp.ClientSession, _dice: random.Random) -> None:
        """Ask for a page that nobody asked for, then for its file."""
        project = next(self.unseen, None)
        if project is not None:
            await self.fetch(session, project, f"{project}-1.0.tar.gz")

    async def file(self, session: aiohttp.ClientSession, dice: random.Random) -> None:
        """Ask for a file that is known."""
        project = dice.choice(WARM)
        await self.fetch(session, project, f"{project}-1.{dice.randrange(30)}.tar.gz")

    async def stampede(self, session: aiohttp.ClientSession, _dice: random.Random) -> None:
        """Ask for a large file that many ask for just now."""
        project = self.wide
        await self.fetch(session, project, f"{project}-1.0.tar.gz")

    async def slow(self, session: aiohttp.ClientSession, dice: random.Random) -> None:
        """Take a file slowly."""
        project = dice.choice(WARM)
        await self.fetch(session, project, f"{project}-1.0.tar.gz", pause=0.1)

    async def leave(self, session: aiohttp.ClientSession, dice: random.Random) -> None:
        """Go away in the middle of a file."""
        project = (
            dice.choice(WARM) if dice.random() < 0.5 else f"wide-{int((time.monotonic() - self.began) / WIDE_SECONDS)}"
        )
        url = await self.address(session, project, f"{project}-1.0.tar.gz")
        async with session.get(url) as response:
            self.same(response.status, 200)
            await response.content.read(dice.randrange(1, 200_000))
            response.close()

    async def range(self, session: aiohttp.ClientSession, dice: random.Random) -> None:
        """Take a file in two parts."""
        project = dice.choice(WARM)
        name = f"{project}-1.{dice.randrange(30)}.tar.gz"
        url = await self.address(session, project, name)
        middle = dice.randrange(1, 29_000)
        digest = hashlib.sha256()
        for part in (f"bytes=0-{middle - 1}", f"bytes={middle}-"):
            async with session.get(url, headers={"Range": part}) as response:
                self.same(response.status, 206)
                digest.update(await response.read())
        self.same(digest.hexdigest(), self.manifest[project][name])

    @property
    def wide(self) -> str:
        """The project whose large file is asked for now."""
        return f"wide-{int((time.monotonic() - self.began) / WIDE_SECONDS)}"

    async def address(self, session: aiohttp.ClientSession, project: str, name: str) -> str:
        """Return where the page says that the file is."""
        page = f"{self.url}/simple/{project}/"
        async with session.get(page, headers={"Accept": JSON, "Accept-Encoding": "gzip"}) as response:
            body = await response.read()
            self.same(response.status, 200)
        body = unpacked(response, body)
        self.judge(project, JSON, body)
        return urljoin(page, next(file["url"] for file in json.loads(body)["files"] if file["filename"] == name))

    async def fetch(self, session: aiohttp.ClientSession, project: str, name: str, pause: float = 0) -> None:
        """Take a whole file."""
        url = await self.address(session, project, name)
        digest = hashlib.sha256()
        async with session.get(url, headers={"Accept-Encoding": "identity"}) as response:
            self.same(response.status, 200)
            async for chunk in response.content.iter_chunked(1 << 16):
                digest.update(chunk)
                self.bytes += len(chunk)
                if pause:
                    await asyncio.sleep(pause)
        self.same(digest.hexdigest(), self.manifest[project][name])

    @staticmethod
    def same(found: object, wanted: object) -> None:
        """Raise `Wrong` where they differ."""
        if found != wanted:
            raise Wrong(f"{str(found)[:100]} where {str(wanted)[:100]} was expected")

    def report(self) -> dict[str, Any]:
        """Say what was done."""
        return {
            "wrong": self.wrong[:50],
            "count": sum(map(len, self.took.values())),
            "bytes": self.bytes,
            "took": {kind: sorted(times) for kind, times in self.took.items()},
        }


def unpacked(response: aiohttp.ClientResponse, body: bytes) -> bytes:
    return gzip.decompress(body) if response.headers.get("Content-Encoding") == "gzip" else body


def main(url: str, seconds: str, count: str, first: str, manifest: str) -> None:
    """Run, and print the report."""

    async def run() -> dict[str, Any]:
        clients = Clients(url, float(seconds), int(first), json.loads(Path(manifest).read_text()))
        await clients.run(int(count), int(first))
        return clients.report()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(run())))


if __name__ == "__main__":
    main(*sys.argv[1:])
