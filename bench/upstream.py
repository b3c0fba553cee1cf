"""The index that all peers stand in front of: ``python -m bench.upstream FOLDER [--far]`` prints its port.

A process of its own. A project is named after its shape, as many of each as are wanted: ``numpy``, ``numpy-x1``;
``file20`` lists a file of 20 MB, ``file200-x3`` one of 200 MB, ``small7`` a wheel that can be installed. What is
asked for is made at the first request, and kept: ask for it once before anything is timed. ``/counts`` tells how
often each path was asked for.

Far: 80 ms to the first byte and 20 MB/s on each connection. Pages are gzipped for those who accept it, as PyPI does.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import time
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from bench import shapes

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

JSON = "application/vnd.pypi.simple.v1+json"
FIRST_BYTE = 0.080
"""Seconds."""
RATE = 20_000_000
"""Bytes a second."""
PIECE = 65_536
YEAR = "max-age=365000000, immutable, public"


class Shelf:
    """What there is, made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.files: dict[str, Path] = {}
        """By path below ``/packages/``."""
        self.metadata: dict[str, bytes] = {}

    @lru_cache(maxsize=128)  # noqa: B019 - one shelf a process
    def page(self, project: str, base: str) -> tuple[bytes, bytes, str]:
        """Return a page, its gzip form and its ETag. Raise `KeyError` for a project that there cannot be."""
        body = shapes.page(project, self._listed(project), base)
        return body, shapes.compressed(body), f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'

    def _listed(self, project: str) -> list[shapes.Listed]:
        kind = project.partition("-x")[0]
        if kind in shapes.SHAPES:
            return shapes.listed(shapes.SHAPES[kind], project)
        if kind.startswith("file"):
            filename = f"{project.replace('-', '_')}-1.0-py3-none-any.whl"
            return [self._kept(filename, self._made(filename, int(kind.removeprefix("file")) * 1_000_000))]
        if kind.startswith("small"):
            filename, data, metadata = shapes.wheel(project)
            path = self.folder / filename
            path.write_bytes(data)
            return [self._kept(filename, path, metadata)]
        raise KeyError(project)

    def _made(self, filename: str, size: int) -> Path:
        path = self.folder / filename
        if not path.exists() or path.stat().st_size != size:
            block = random.Random(filename).randbytes(1_000_000)  # noqa: S311 - the same in every run, no secret
            with path.open("wb") as out:
                for _ in range(size // len(block)):
                    out.write(block)
        return path

    def _kept(self, filename: str, path: Path, metadata: bytes | None = None) -> shapes.Listed:
        with path.open("rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
        told = hashlib.sha256(metadata).hexdigest() if metadata is not None else None
        entry = shapes.Listed(filename, digest, path.stat().st_size, told)
        self.files[entry.path] = path
        if metadata is not None:
            self.metadata[f"{entry.path}.metadata"] = metadata
        return entry


class Index:
    """The handlers."""

    def __init__(self, shelf: Shelf, *, far: bool) -> None:
        self.shelf = shelf
        self.far = far
        self.counts: Counter[str] = Counter()

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application(middlewares=[self._counted])
        app.add_routes(
            [
                web.get("/simple/", self.projects),
                web.get("/simple/{project}/", self.page),
                web.get("/packages/{path:.+}", self.file),
                web.get("/counts", self.told),
            ]
        )
        return app

    @web.middleware
    async def _counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.counts[f"{request.method} {request.path}"] += 1
        return await handler(request)

    async def told(self, request: web.Request) -> web.Response:  # noqa: ARG002 - aiohttp's signature
        """Tell how often each was asked for."""
        return web.json_response(self.counts)

    async def projects(self, request: web.Request) -> web.StreamResponse:
        """Give the list of projects."""
        listed = ",".join(f'{{"name":"{name}"}}' for name in known())
        body = f'{{"meta":{{"api-version":"1.4","_last-serial":31000000}},"projects":[{listed}]}}'.encode()
        return await self._sent(request, body, {"Content-Type": JSON})

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Give a page."""
        base = f"http://{request.host}"
        try:
            plain, packed, etag = await asyncio.to_thread(self.shelf.page, request.match_info["project"], base)
        except (KeyError, ValueError):
            raise web.HTTPNotFound from None
        headers = {"Content-Type": JSON, "ETag": etag, "Cache-Control": "max-age=600, public", "Vary": "Accept"}
        headers["X-PyPI-Last-Serial"] = "31000000"
        if request.headers.get("If-None-Match") == etag:
            await self._travelled()
            return web.Response(status=304, headers=headers)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return await self._sent(request, packed, {**headers, "Content-Encoding": "gzip"})
        return await self._sent(request, plain, headers)

    async def file(self, request: web.Request) -> web.StreamResponse:
        """Give a file, or core metadata."""
        path = request.match_info["path"]
        headers = {"Content-Type": "application/octet-stream", "Cache-Control": YEAR, "ETag": f'"{path[-40:]}"'}
        if (metadata := self.shelf.metadata.get(path)) is not None:
            return await self._sent(request, metadata, headers)
        if (held := self.shelf.files.get(path)) is None:
            raise web.HTTPNotFound
        if not self.far:
            return web.FileResponse(held, chunk_size=2**20, headers=headers)
        return await self._sent(request, held.read_bytes(), headers)

    async def _travelled(self) -> None:
        if self.far:
            await asyncio.sleep(FIRST_BYTE)

    async def _sent(self, request: web.Request, body: bytes, headers: dict[str, str]) -> web.StreamResponse:
        await self._travelled()
        if not self.far:
            return web.Response(body=body, headers=headers)
        answer = web.StreamResponse(headers={**headers, "Content-Length": str(len(body))})
        await answer.prepare(request)
        began = time.perf_counter()
        for start in range(0, len(body) if request.method == "GET" else 0, PIECE):
            await asyncio.sleep(max(0, began + start / RATE - time.perf_counter()))
            await answer.write(memoryview(body)[start : start + PIECE])
        return answer


def known() -> list[str]:
    """Return the names on the list of projects: some peers ask whether a project is on it."""
    stems = [*shapes.SHAPES, "file20", "file200"]
    return [*stems, *(f"{stem}-x{n}" for stem in stems for n in range(1000)), *(f"small{n}" for n in range(1000))]


async def serve(folder: Path, *, far: bool) -> None:
    """Serve until killed."""
    runner = web.AppRunner(Index(Shelf(folder), far=far).app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--far", action="store_true")
    chosen = parser.parse_args()
    asyncio.run(serve(chosen.folder, far=chosen.far))  # no uvloop: it has no sendfile
