"""The whole application as `wiring` assembles it, in this process, on a real loopback port, before the fake index.

Nothing is built: `Site.publish` puts a wheel where a build would have put it, by the code that does it for a build.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin
from zipfile import ZipFile

import aiohttp
from tests.fakes.publishing import checked
from tests.fakes.waiting import LONG, until
from yarl import URL

from buildthrough.builders.facts import BuildFacts
from buildthrough.builders.kit import Kit
from buildthrough.builders.provenance import Builder
from buildthrough.builders.request import BuildRequest
from buildthrough.builders.sandbox import Isolation, Mount
from buildthrough.builders.target import Interpreter, Target, parse_environment
from buildthrough.builders.workshop import Workshop
from buildthrough.config.load import load
from buildthrough.proxy.attestation import Attester
from buildthrough.proxy.folder import DataFolder
from buildthrough.proxy.publication import publish
from buildthrough.proxy.server import listening
from buildthrough.proxy.wiring import assemble

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.fakes.pypi import FakeFile

    from buildthrough.builders.sandbox import Sandbox
    from buildthrough.proxy.built import BuiltWheel
    from buildthrough.proxy.wiring import Store

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
TEXT = "text/html; charset=utf-8"
TARGET = "cp311-cp311-manylinux_2_36_x86_64"
TOKEN = "made-up-token"
PIP = "pip/26.3 " + json.dumps(
    {
        "cpu": "x86_64",
        "distro": {"libc": {"lib": "glibc", "version": "2.36"}, "name": "Debian GNU/Linux", "version": "12"},
        "implementation": {"name": "CPython", "version": "3.11.2"},
        "installer": {"name": "pip", "version": "26.3"},
        "python": "3.11.2",
        "system": {"name": "Linux", "release": "6.1"},
    }
)
"""The User-Agent of a pip that `TARGET` serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server answered, its coding not removed."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def sentence(self) -> str:
        """The one plain sentence of a refusal; fails where it is anything else."""
        is_json = self.headers["Content-Type"].startswith("application/json")
        text = self.json["error"] if is_json else self.body.decode().removesuffix("\n")
        assert text
        assert "\n" not in text
        assert len(text) < 400, text
        assert text.rstrip().endswith("."), text
        assert not any(mark in text for mark in ("Traceback", "Error(", "b'", "<html", " at 0x")), text
        return text


class Site:
    """A running server."""

    def __init__(self, url: str, store: Store, session: aiohttp.ClientSession, folder: Path) -> None:
        self.url = url
        self.store = store
        self.folder = folder
        self.session = session

    @property
    def port(self) -> int:
        port = URL(self.url).port
        assert port is not None
        return port

    async def ask(
        self, path: str, method: str = "GET", *, data: Any = None, read: bool = True, **headers: str
    ) -> Answer:
        """Send a request with just these headers (``If_None_Match``) and a path as it is; follow nothing."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        url = URL(urljoin(self.url, path), encoded=True)
        async with self.session.request(method, url, data=data, headers=given, allow_redirects=False) as response:
            body = await response.read() if read else b""
            return Answer(status=response.status, headers=response.headers.copy(), body=body)

    async def fresh(self, path: str, **headers: str) -> Answer:
        """Ask until it is answered by what upstream says now: a busy machine may take longer than the server waits."""
        answers: list[Answer] = []

        async def is_fresh() -> bool:
            answers.append(await self.ask(path, **headers))
            is_stale = answers[-1].headers.get("X-Buildthrough-Cache", "").startswith("stale")
            return answers[-1].status == 200 and not is_stale

        await until(is_fresh)
        return answers[-1]

    async def tells(self, *figures: str) -> str:
        """Wait until the metrics have these lines: much is counted a little after the answer has left. Return all."""
        told = [""]

        async def are_there() -> bool:
            told[0] = (await self.ask("/metrics")).body.decode()
            return all(figure in told[0] for figure in figures)

        await until(are_there)
        return told[0]

    async def operate(self, path: str, body: Any, *, token: str = TOKEN) -> Answer:
        """Post JSON with the operator's token."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.ask(path, "POST", data=data, Authorization=f"Bearer {token}")

    async def counted(self) -> None:
        """Wait until the server has counted what it keeps, which it does in the background after its start."""
        await until(lambda: all(part.blobs.folder.tally.is_known for part in self.store.space._parts.values()))

    async def page(self, project: str, prefix: str = "") -> Any:
        """Return a project's JSON page."""
        answer = await self.ask(f"{prefix}/simple/{project}/", Accept=JSON)
        assert answer.status == 200, answer
        return answer.json

    async def listed(self, project: str) -> dict[str, Any]:
        """Return the entries of a project's page by file name, their URLs made absolute paths."""
        page = await self.page(project)
        base = f"{self.url}simple/{project}/"
        return {entry["filename"]: {**entry, "url": urljoin(base, entry["url"])} for entry in page["files"]}

    async def raw(self, data: bytes, *, seconds: float = LONG) -> bytes:
        """Send bytes as they are and return all that comes back until the server closes."""
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(data)
                await writer.drain()
                return await reader.read()
            finally:
                writer.close()

    async def publish(self, sdist: FakeFile, *, target: str = TARGET, **features: Any) -> BuiltWheel:
        """Publish a wheel of an sdist as a build would have."""
        assert sdist.version is not None
        request = BuildRequest(
            project=sdist.project,
            version=sdist.version,
            sdist=sdist.filename,
            sdist_sha256=sdist.sha256,
            target=target,
        )
        submitted = await self.store.queue.submit(request, again=True)
        build = await self.store.queue.claim()
        assert build.id == submitted.id
        wheel = checked(self.folder / f"build-{build.id}", name=sdist.project, version=sdist.version, **features)
        with ZipFile(wheel.path) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            wheel = replace(wheel, metadata=archive.read(name), requires_python=features.get("requires_python"))
        attester = Attester(builder=Builder(versions={}), key=None)
        return await publish(
            build,
            wheel,
            None,
            blobs=self.store.built,
            catalog=self.store.catalog,
            provenance=lambda named, finished: attester.record(
                build, named, BuildFacts(), log_sha256=None, finished=finished
            ),
        )


def workshop(*sandboxes: Sandbox, targets: tuple[str, ...] = (TARGET,)) -> Workshop:
    """Return a workshop that knows its targets; without sandboxes it builds nothing."""
    interpreter = Interpreter(
        executable=Path("/usr/bin/python3"),
        prefixes=(Path("/usr"),),
        environment=parse_environment(TARGET),
        markers={"python_full_version": "3.11.2", "implementation_name": "cpython"},
        has_headers=True,
    )
    kit = Kit(
        targets=tuple(Target(environment=parse_environment(slug), interpreter=interpreter) for slug in targets),
        sentences=(),
        driver=interpreter,
        tools=Mount(source=Path("/usr"), target="/sbx"),
        interpreters={interpreter.executable: ()},
    )
    isolation = Isolation(level="full", sentences=("a fake",))
    return Workshop(isolation=isolation, kit=kit, sandboxes=sandboxes, sentences=())


@asynccontextmanager
async def serving(
    upstream: str, folder: Path, *, building: Workshop | None = None, **settings: object
) -> AsyncIterator[Site]:
    """Serve over a data folder. Settings by their environment variables' names: ``upstream__page_ttl=60``."""
    chosen = {
        "upstream__url": upstream,
        "upstream__page_ttl": 0,
        "upstream__retries": 0,
        "server__port": 0,
        "server__shutdown_seconds": 5,
        "storage__dir": folder / "data",
        "storage__min_free": 0,
        "admin__token": TOKEN,
        **settings,
    }
    environment = {f"BUILDTHROUGH_{name}".upper(): str(value) for name, value in chosen.items()}
    loaded = load(environment=environment, folder=folder).settings
    data, stop = DataFolder(loaded.storage.dir), asyncio.Event()
    with data.held(), data.work(str(folder)) as work:
        async with AsyncExitStack() as stack:
            assembly = await assemble(loaded, data, building or workshop(), work=work, stop=stop, stack=stack)
            await stack.enter_async_context(listening(loaded, data, assembly.application))
            url = json.loads(data.address_file.read_text())["url"]
            session = await stack.enter_async_context(
                aiohttp.ClientSession(
                    auto_decompress=False,
                    skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
                    connector=aiohttp.TCPConnector(limit=0),
                )
            )
            yield Site(url, assembly.store, session, folder)
            stop.set()
