"""The limit: an aiohttp handler on uvloop that does nothing but send bytes which are ready.

``python -m bench.peers.bare FOLDER PORT`` serves ``/simple/<name>/`` from memory, in the codings that lie there.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp
import uvloop
from aiohttp import web

from bench.asking import JSON
from bench.peer import ROOT, Peer
from bench.process import Child, environment, free_port


class Bare(Peer):
    """Serves what is put into its folder before it starts."""

    name = "bare aiohttp"

    @classmethod
    def install(cls) -> None:
        """Nothing: it runs on what the server runs on."""

    @classmethod
    def version(cls) -> str:
        """Return the version of aiohttp."""
        return aiohttp.__version__

    def put(self, project: str, **forms: bytes) -> None:
        """Lay a page down, by coding."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for coding, body in forms.items():
            (self.folder / f"{project}.{coding}").write_bytes(body)

    def launch(self, upstream: str) -> Child:  # noqa: ARG002 - it has none
        """Start with this Python."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "bench.peers.bare", self.folder, str(port)]
        return Child.start(command, self.folder / "work", environment(PYTHONPATH=str(ROOT)))


def application(folder: Path) -> web.Application:
    """Return the handler with all pages in memory."""
    pages: dict[str, dict[str, bytes]] = {}
    for path in folder.iterdir():
        if path.is_file():
            pages.setdefault(path.stem, {})[path.suffix[1:]] = path.read_bytes()

    async def page(request: web.Request) -> web.Response:
        forms = pages[request.match_info["project"]]
        asked = request.headers.get("Accept-Encoding", "")
        headers = {"Content-Type": JSON, "ETag": '"bare"'}
        if request.headers.get("If-None-Match") == '"bare"':
            return web.Response(status=304, headers=headers)
        for coding in ("zstd", "gzip"):
            if coding in asked and coding in forms:
                return web.Response(body=forms[coding], headers={**headers, "Content-Encoding": coding})
        return web.Response(body=forms["identity"], headers=headers)

    app = web.Application()
    app.add_routes([web.get("/simple/{project}/", page)])
    return app


async def serve(folder: Path, port: int) -> None:
    """Serve until killed."""
    runner = web.AppRunner(application(folder), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
