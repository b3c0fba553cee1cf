"""A real index on a loopback socket, in a thread of its own: it serves sync tests, async tests and subprocesses.

    with FakePyPI() as pypi:
        pypi.add("six", "six-1.0.tar.gz", data)
        pypi.simple            # http://127.0.0.1:PORT/simple/
        pypi.yank("six-1.0.tar.gz", "broken")
        pypi.fault("/simple/six/", Fault(status=503))
        pypi.count("/packages/*six-1.0.tar.gz")

It answers as PyPI does (keys, headers, paths of files), with keys that do not exist yet at each level.
Everything may be changed while it runs.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from io import BytesIO
from typing import TYPE_CHECKING, Literal, Self
from zipfile import ZipFile

from aiohttp import web
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion

from tests.fakes.faults import Fault, send
from tests.fakes.simple_pages import CONTENT_TYPES, content_type_for, project_list, project_page, release_json

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

Form = Literal["both", "json", "html"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Bytes that are made as they are sent: one block over and over, nothing is held."""

    size: int
    block: bytes = b"\0" * 2**20

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Give the bytes of a range in pieces of at most a block."""
        while start < stop:
            offset = start % len(self.block)
            piece = self.block[offset : offset + min(len(self.block) - offset, stop - start)]
            start += len(piece)
            yield piece

    def digest(self, name: str) -> str:
        hashed = hashlib.new(name) if name != "blake2b_256" else hashlib.blake2b(digest_size=32)
        for piece in self.read(0, self.size):
            hashed.update(piece)
        return hashed.hexdigest()


def stream_of(data: bytes) -> Stream:
    """Return given bytes as a stream of one block."""
    return Stream(size=len(data), block=data or b"\0")


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeFile:
    """A file as it is listed."""

    project: str
    filename: str
    content: Stream
    path: str
    """``packages/aa/bb/<60 hexadecimal digits>/<filename>``, made from a digest of the bytes as PyPI does."""
    sha256: str
    version: str | None = None
    requires_python: str | None = None
    metadata: bytes | None = None
    yanked: bool | str = False
    upload_time: str = "2021-03-04T05:06:07.000008Z"
    extra: Mapping[str, object] = field(default_factory=dict)
    """Further keys of the entry, winning over the usual ones."""

    @property
    def size(self) -> int:
        return self.content.size


@dataclass(slots=True, kw_only=True)
class FakeProject:
    """A project and what is listed of it."""

    name: str
    status: str = "active"
    serial: int = 0
    files: dict[str, FakeFile] = field(default_factory=dict)
    removed: dict[str, FakeFile] = field(default_factory=dict)
    extra: dict[str, object] = field(default_factory=dict)
    """Further keys of the page."""
    rendered: dict[tuple[str, bool], tuple[bytes, str]] = field(default_factory=dict)
    """Body and ETag by (content type, gzipped), until something changes."""

    @property
    def listed(self) -> list[FakeFile]:
        """What the page lists: nothing while quarantined (PEP 792)."""
        return [] if self.status == "quarantined" else list(self.files.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """A request that reached the index."""

    method: str
    path: str
    headers: Mapping[str, str]


class FakePyPI:
    """The index. `start` and `stop` may be repeated: the port stays the same."""

    def __init__(
        self,
        *,
        form: Form = "both",
        etags: bool = True,
        serials: bool = True,
        sidecars: bool = True,
        relative: bool = False,
        gzip: bool = True,
        unknown_keys: bool = True,
        api_version: str = "1.4",
        json_api: bool = True,
        authorization: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """With ``authorization`` each request must have this header; with ``tls`` it speaks https."""
        self.form: Form = form
        self.etags = etags
        self.serials = serials
        self.sidecars = sidecars
        self.relative = relative
        self.gzip = gzip
        self.unknown_keys = unknown_keys
        self.api_version = api_version
        self.authorization = authorization
        self.tls = tls
        self.json_api = json_api
        self.projects: dict[str, FakeProject] = {}
        self.requests: list[LoggedRequest] = []
        self.raw_paths: list[str] = []
        """Each request's path and query, as they came."""
        self.certificates: list[str | None] = []
        """The name on the certificate that each request's client showed."""
        self._faults: list[tuple[str, Fault]] = []
        self._serial = 1000
        self._lock = threading.RLock()
        self._port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen. Raise what prevents it."""
        started: threading.Event = threading.Event()
        failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(started, failed), name="fake-pypi", daemon=True)
        self._thread.start()
        started.wait()
        if failed:
            raise failed[0]
        return self

    def stop(self) -> None:
        """Refuse connections from now on, and cut those that are open."""
        if self._thread is None or self._loop is None or self._stop is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=15)
        self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self._port}"

    @property
    def simple(self) -> str:
        """The index URL to hand to a client."""
        return f"{self.url}/simple/"

    # --- content --------------------------------------------------------------------------------------------------

    def add_project(self, name: str, *, status: str = "active") -> FakeProject:
        """List a project, without files."""
        with self._lock:
            project = self.projects.setdefault(canonicalize_name(name), FakeProject(name=canonicalize_name(name)))
            project.status = status
            self._changed(project)
            return project

    def add(
        self,
        project: str,
        filename: str,
        content: bytes | Stream,
        *,
        requires_python: str | None = None,
        metadata: bytes | None = None,
        yanked: bool | str = False,
        upload_time: str = "2021-03-04T05:06:07.000008Z",
        extra: Mapping[str, object] | None = None,
    ) -> FakeFile:
        """List a file; of a wheel, core metadata and ``requires-python`` are read from the wheel unless given."""
        if metadata is None and filename.endswith(".whl") and isinstance(content, bytes):
            metadata = _metadata_of(content)
        if requires_python is None and metadata is not None:
            requires_python = _requires_python(metadata)
        stream = stream_of(content) if isinstance(content, bytes) else content
        digest = stream.digest("blake2b_256")
        file = FakeFile(
            project=canonicalize_name(project),
            filename=filename,
            content=stream,
            path=f"packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{filename}",
            sha256=stream.digest("sha256"),
            version=_version_of(filename),
            requires_python=requires_python,
            metadata=metadata,
            yanked=yanked,
            upload_time=upload_time,
            extra=dict(extra or {}),
        )
        with self._lock:
            held = self.projects.setdefault(file.project, FakeProject(name=file.project))
            held.files[filename] = file
            self._changed(held)
        return file

    def file(self, filename: str) -> FakeFile:
        """Return a file that is listed."""
        with self._lock:
            return self._holder(filename).files[filename]

    def yank(self, filename: str, reason: str = "") -> None:
        """Yank a file; without a reason it is just yanked (PEP 592)."""
        self._edit(filename, lambda file: replace(file, yanked=reason or True))

    def unyank(self, filename: str) -> None:
        """Take a yank back."""
        self._edit(filename, lambda file: replace(file, yanked=False))

    def remove(self, filename: str) -> None:
        """Remove a file: not listed, and its URL answers 404."""
        with self._lock:
            project = self._holder(filename)
            project.removed[filename] = project.files.pop(filename)
            self._changed(project)

    def bring_back(self, filename: str) -> None:
        """List a removed file again, with the same bytes."""
        with self._lock:
            project = next(held for held in self.projects.values() if filename in held.removed)
            project.files[filename] = project.removed.pop(filename)
            self._changed(project)

    def replace(self, filename: str, content: bytes) -> FakeFile:
        """List other bytes under the same name: something PyPI forbids and other indexes do."""
        old = self.file(filename)
        return self.add(
            old.project,
            filename,
            content,
            requires_python=old.requires_python,
            yanked=old.yanked,
            upload_time=old.upload_time,
            extra=old.extra,
        )

    def quarantine(self, project: str) -> None:
        """Quarantine a project (PEP 792): the page answers 200 with no file."""
        self.add_project(project, status="quarantined")

    def clear(self, project: str) -> None:
        """Lift the quarantine."""
        self.add_project(project, status="active")

    def remove_project(self, name: str) -> None:
        """Forget a project: its page answers 404."""
        with self._lock:
            del self.projects[canonicalize_name(name)]
            self._serial += 1

    # --- faults and the log ---------------------------------------------------------------------------------------

    def fault(self, path: str, fault: Fault) -> None:
        """Answer requests for this path (a shell pattern) with the fault, from now on or ``fault.times`` times."""
        with self._lock:
            self._faults.append((path, fault))

    def heal(self) -> None:
        """Take all faults back."""
        with self._lock:
            self._faults.clear()

    def asked(self, path: str, method: str = "*") -> list[LoggedRequest]:
        """Return the requests for a path (a shell pattern) so far."""
        with self._lock:
            return [seen for seen in self.requests if fnmatchcase(seen.path, path) and fnmatchcase(seen.method, method)]

    def count(self, path: str, method: str = "*") -> int:
        """Return how many requests for a path (a shell pattern) there were so far."""
        return len(self.asked(path, method))

    def forget_requests(self) -> None:
        """Empty the log."""
        with self._lock:
            self.requests.clear()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _holder(self, filename: str) -> FakeProject:
        return next(project for project in self.projects.values() if filename in project.files)

    def _edit(self, filename: str, change: Callable[[FakeFile], FakeFile]) -> None:
        with self._lock:
            project = self._holder(filename)
            project.files[filename] = change(project.files[filename])
            self._changed(project)

    def _changed(self, project: FakeProject) -> None:
        self._serial += 1
        project.serial = self._serial
        project.rendered.clear()

    def _take_fault(self, path: str, *, is_ranged: bool) -> Fault | None:
        for place, (pattern, fault) in enumerate(self._faults):
            if not fnmatchcase(path, pattern) or fault.ranged not in {None, is_ranged}:
                continue
            if fault.times is not None:
                if fault.times <= 1:
                    del self._faults[place]
                else:
                    self._faults[place] = (pattern, replace(fault, times=fault.times - 1))
            return fault
        return None

    def _run(self, started: threading.Event, failed: list[BaseException]) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._serve(started))
        except BaseException as problem:  # noqa: BLE001 - handed to the thread that waits in `start`
            failed.append(problem)
        finally:
            started.set()

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = web.Server(self._handle, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", self._port, reuse_address=True, ssl_context=self.tls)
            await site.start()
            self._port = runner.addresses[0][1]
            started.set()
            await self._stop.wait()
        finally:
            open_ = [handler.transport for handler in server.connections if handler.transport is not None]
            await runner.cleanup()
            for transport in open_:
                transport.abort()  # it would wait for the client to take what is left, or its leave
            for _ in range(5):
                await asyncio.sleep(0)  # each is closed a turn or two later

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.path
        with self._lock:
            self.requests.append(LoggedRequest(method=request.method, path=path, headers=dict(request.headers)))
            self.raw_paths.append(request.raw_path)
            self.certificates.append(_shown_certificate(request))
            if self.authorization not in (None, request.headers.get("Authorization")):
                return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="packages"'})
            fault = self._take_fault(path, is_ranged="Range" in request.headers)
            answer = self._answer(request, path)
        if isinstance(answer, web.Response) and fault is None:
            return answer
        return await send(request, answer, fault or Fault())

    def _answer(self, request: web.BaseRequest, path: str) -> web.Response | FakeFile:
        if path == "/simple/":
            return self._list(request)
        if path.startswith("/simple/"):
            return self._page(request, path.removeprefix("/simple/"))
        if path.startswith("/packages/"):
            return self._file(path)
        if path.startswith("/pypi/") and self.json_api:
            return self._release(request, path.split("/")[2:])
        return _not_found()

    def _list(self, request: web.BaseRequest) -> web.Response:
        content_type = content_type_for(request.headers.get("Accept"), self.form)
        return self._respond(request, project_list(self, content_type), content_type, serial=self._serial)

    def _page(self, request: web.BaseRequest, rest: str) -> web.Response:
        name = rest.removesuffix("/")
        normal = canonicalize_name(name)
        if "/" in name or normal not in self.projects:
            return _not_found()
        if rest != f"{normal}/":
            return web.Response(status=301, headers={"Location": f"/simple/{normal}/"})
        project = self.projects[normal]
        content_type = content_type_for(request.headers.get("Accept"), self.form)
        key = (content_type, False)
        if key not in project.rendered:
            project.rendered[key] = (project_page(self, project, content_type), "")
        return self._respond(request, project.rendered[key][0], content_type, serial=project.serial)

    def _release(self, request: web.BaseRequest, parts: list[str]) -> web.Response:
        project = self.projects.get(canonicalize_name(parts[0]))
        if project is None or parts[-1] != "json" or len(parts) not in {2, 3} or project.status == "quarantined":
            return _not_found()
        body = release_json(self, project, parts[1] if len(parts) == 3 else None)
        if body is None:
            return _not_found()
        return self._respond(request, body, "application/json", serial=project.serial)

    def _respond(self, request: web.BaseRequest, body: bytes, content_type: str, *, serial: int) -> web.Response:
        headers = {
            "Content-Type": content_type,
            "Cache-Control": "max-age=600, public",
            "Vary": "Accept, Accept-Encoding",
        }
        if self.serials:
            headers["X-PyPI-Last-Serial"] = str(serial)
        zipped = self.gzip and "gzip" in request.headers.get("Accept-Encoding", "")
        if self.etags:
            digest = hashlib.sha256(body + (b"gzip" if zipped else b"")).hexdigest()[:32]
            headers["ETag"] = f'"{digest}"'
            if headers["ETag"] in request.headers.get("If-None-Match", ""):
                return web.Response(status=304, headers=headers)
        response = web.Response(body=body, headers=headers)
        if zipped:
            response.enable_compression(web.ContentCoding.gzip)
        return response

    def _file(self, path: str) -> web.Response | FakeFile:
        for project in self.projects.values():
            for file in project.listed:
                if path == f"/{file.path}":
                    return file
                if path == f"/{file.path}.metadata" and file.metadata is not None and self.sidecars:
                    return web.Response(body=file.metadata, content_type="application/octet-stream")
        return _not_found()


def _shown_certificate(request: web.BaseRequest) -> str | None:
    shown = request.get_extra_info("peercert") or {}
    return next((value for part in shown.get("subject", ()) for name, value in part if name == "commonName"), None)


def _not_found() -> web.Response:
    return web.Response(status=404, text="404 Not Found")


def _version_of(filename: str) -> str | None:
    try:
        if filename.endswith(".whl"):
            return str(parse_wheel_filename(filename)[1])
        return str(parse_sdist_filename(filename)[1])
    except (InvalidSdistFilename, InvalidWheelFilename, InvalidVersion):
        return None


def _metadata_of(wheel: bytes) -> bytes:
    with ZipFile(BytesIO(wheel)) as archive:
        name = next(
            name for name in archive.namelist() if name.count("/") == 1 and name.endswith(".dist-info/METADATA")
        )
        return archive.read(name)


def _requires_python(metadata: bytes) -> str | None:
    for line in metadata.decode().partition("\n\n")[0].splitlines():
        if line.lower().startswith("requires-python:"):
            return line.partition(":")[2].strip()
    return None


__all__ = ["CONTENT_TYPES", "FakeFile", "FakeProject", "FakePyPI", "Fault", "LoggedRequest", "Stream", "stream_of"]
