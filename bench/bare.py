"""The limit: an aiohttp handler that does nothing but serve bytes, on uvloop as the server does.

``python -m bench.bare FOLDER`` serves ``/page/<name>`` from memory and ``/file/<name>`` by sendfile; prints its port.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop
from aiohttp import web

JSON = "application/vnd.pypi.simple.v1+json"


async def serve(folder: Path) -> None:
    """Serve until killed."""
    pages = {path.name: path.read_bytes() for path in (folder / "page").iterdir()}

    async def page(request: web.Request) -> web.Response:
        return web.Response(body=pages[request.match_info["name"]], headers={"Content-Type": JSON})

    async def file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(folder / "file" / request.match_info["name"])

    app = web.Application()
    app.add_routes([web.get("/page/{name}", page), web.get("/file/{name}", file)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
