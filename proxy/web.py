"""Routes and handlers of the index. A handler negotiates, calls one use case, and says the result in HTTP; no logic."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, hdrs, web

from buildthrough.proxy import logs, names
from buildthrough.proxy.boundary import CORS
from buildthrough.proxy.cutoff import parse_time, written
from buildthrough.proxy.errors import BadRequest, NotFound
from buildthrough.proxy.negotiation import Representation, choose, choose_coding
from buildthrough.proxy.page_response import page_response, send_list, send_page
from buildthrough.proxy.rendered import Rendering
from buildthrough.proxy.resource import METADATA, PROVENANCE
from buildthrough.proxy.shortcut import Plan
from buildthrough.proxy.transfer import send
from buildthrough.proxy.view import FULL, STRICT, dated

if TYPE_CHECKING:
    from buildthrough.proxy.built_wheels import BuiltWheels
    from buildthrough.proxy.mirror import Mirror
    from buildthrough.proxy.misses import Misses
    from buildthrough.proxy.projects import Projects
    from buildthrough.proxy.releases import Releases
    from buildthrough.proxy.screens import Screens
    from buildthrough.proxy.shortcut import Shortcut
    from buildthrough.proxy.view import View

log = logs.logger("web")

_CLOCKS_DIFFER = timedelta(seconds=60)
"""How far ahead of ours a client's clock may be when it asks for the index of this moment."""
_FILE_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Content-Length, Content-Range, Accept-Ranges",
}
_JSON_API = Representation(form="json", content_type="application/json")
_version = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,99}").fullmatch
_host = re.compile(r"[A-Za-z0-9._~:\[\]-]{1,300}").fullmatch
_WELCOME = """\
This is buildthrough, a build-through cache for Python packages.

Point pip or uv at its index:

    pip install --index-url {url}simple/ NAME
    uv pip install --default-index {url}simple/ NAME
"""


class Index:
    """The handlers of pages and files."""

    def __init__(
        self,
        *,
        mirror: Mirror,
        built_wheels: BuiltWheels,
        projects: Projects,
        releases: Releases,
        screens: Screens,
        misses: Misses,
        shortcut: Shortcut,
        public_url: str = "",
    ) -> None:
        """Take the use cases, and the URL that clients know the server by, where it is not the one that they ask."""
        self._mirror = mirror
        self._built_wheels = built_wheels
        self._projects = projects
        self._releases = releases
        self._screens = screens
        self._misses = misses
        self._shortcut = shortcut
        self._public_url = public_url and public_url.rstrip("/") + "/"

    def routes(self) -> list[web.RouteDef]:
        """Return all routes: a contract for years, since lock files hold their URLs."""
        routes = [
            web.get("/", self.welcome),
            web.route("*", "/legacy/", self.upload),
        ]
        for prefix in ("", "/at/{time}"):
            routes += [
                web.get(f"{prefix}/files/{{project}}/{{path:.+}}", self.file),
                web.get(f"{prefix}/built/{{project}}/{{sha256:[0-9a-f]{{64}}}}/{{filename}}", self.built),
            ]
        for release in ("", "/{version}"):
            routes += [web.get(f"/pypi/{{project}}{release}/json{slash}", self.json_api) for slash in ("", "/")]
        for prefix, page in (("", self.project_page), ("/upstream", self.strict_page), ("/at/{time}", self.dated_page)):
            routes += [  # in the order of use: they are tried one after another
                web.get(f"{prefix}/simple/{{project}}/", page),
                web.get(f"{prefix}/simple/{{project}}", self.add_slash),
                web.get(f"{prefix}/simple/", self.project_list),
                web.get(f"{prefix}/simple", self.add_slash),
            ]
        return routes

    async def welcome(self, request: web.Request) -> web.Response:
        """Say what this is."""
        return web.Response(text=_WELCOME.format(url=request.url.with_path("/")))

    async def upload(self, request: web.Request) -> web.Response:
        """Refuse what would be an upload: twine's address is ``/legacy/`` on PyPI."""
        raise web.HTTPMethodNotAllowed(request.method, ())

    async def add_slash(self, request: web.Request) -> web.Response:
        """Redirect to the one address of a page, in one step (PEP 503)."""
        _moment(request)
        project = request.match_info.get("project")
        location = "simple/" if project is None else f"{_valid_name(project)}/"
        return _moved(request, location)

    async def project_list(self, request: web.Request) -> web.StreamResponse:
        """Answer ``/simple/``, which is upstream's of today also below ``/at/``."""
        moved = _to_one_time(request, _moment(request))
        if moved is not None:
            return moved
        wanted = choose(request.headers.get(hdrs.ACCEPT), request.query.get("format"))
        coding = choose_coding(request.headers.get(hdrs.ACCEPT_ENCODING))
        return await send_list(request, await self._projects.page(wanted.form, coding), wanted, coding)

    async def project_page(self, request: web.Request) -> web.StreamResponse:
        """Answer ``/simple/<project>/``, the same for every client."""
        return await self._page(request, FULL)

    async def strict_page(self, request: web.Request) -> web.StreamResponse:
        """Answer ``/upstream/simple/<project>/``: without the wheels that we built."""
        return await self._page(request, STRICT)

    async def dated_page(self, request: web.Request) -> web.StreamResponse:
        """Answer ``/at/<time>/simple/<project>/``: the page as it was then, with its files below the same time."""
        moment = _moment(request)
        return _to_one_time(request, moment) or await self._page(request, dated(moment) if moment else FULL)

    async def _page(self, request: web.Request, view: View) -> web.StreamResponse:
        asked = request.match_info["project"]
        project = _valid_name(asked)
        if asked != project:
            return _moved(request, f"../{project}/")
        given = request.headers
        wanted = choose(given.get(hdrs.ACCEPT), request.query.get("format") if request.query_string else None)
        coding = choose_coding(given.get(hdrs.ACCEPT_ENCODING))
        rendering = Rendering(form=wanted.form, coding=coding, view=view)
        self._shortcut.remember(request, Plan(project=project, rendering=rendering, wanted=wanted))
        is_streamable = request.method == hdrs.METH_GET and request.version >= HttpVersion11
        get = self._mirror.page_or_stream if is_streamable else self._mirror.page
        return await send_page(request, await get(project, rendering), wanted, coding)

    async def json_api(self, request: web.Request) -> web.StreamResponse:
        """Answer ``/pypi/<project>/json`` and ``/pypi/<project>/<version>/json``, where upstream has them."""
        asked, version = request.match_info["project"], request.match_info.get("version")
        project = _valid_name(asked)
        if version is not None and not _version(version):
            raise NotFound("This is no version: letters, digits, and . _ + ! - between them.")
        if asked != project:
            release = f"{project}/json" if version is None else f"../{project}/{version}/json"
            return _moved(request, f"{'../' if request.path.endswith('/') else ''}../{release}")
        coding = choose_coding(request.headers.get(hdrs.ACCEPT_ENCODING))
        root = self._root(request)
        page = await self._releases.page(project, version, coding, root=root, screens=self._screens)
        return page_response(request, page, _JSON_API, coding)

    def _root(self, request: web.Request) -> str:
        """Return the URL of the server's root, for answers whose readers expect absolute addresses."""
        if self._public_url:
            return self._public_url
        if not _host(request.host):
            raise BadRequest("The request's Host header is no host's name.")
        return f"{request.scheme}://{request.host}/"

    async def file(self, request: web.Request) -> web.StreamResponse:
        """Answer ``/files/<project>/<path>``; a download of an sdist may be a miss."""
        project = _valid_name(request.match_info["project"])
        served = await self._mirror.file(project, request.match_info["path"], _moment(request))
        if request.method == hdrs.METH_GET and not served.is_metadata:
            self._misses.see(served.entry, served.files, request.headers.get(hdrs.USER_AGENT))
        sent = await send(
            request,
            served.source,
            sha256=served.sha256,
            content_type=_file_type(served.entry.filename, is_metadata=served.is_metadata),
            headers=_FILE_CORS,
        )
        if sent.fault is not None:
            log.warning("a file broke off", path=request.path, fault=sent.fault.sentence)
        return sent

    async def built(self, request: web.Request) -> web.StreamResponse:
        """Answer ``/built/<project>/<sha256>/<filename>``."""
        project = _valid_name(request.match_info["project"])
        filename = request.match_info["filename"]
        sha256 = request.match_info["sha256"]
        blob, digest = await self._built_wheels.get(project, sha256, filename, _moment(request))
        content_type = _file_type(filename, is_metadata=filename.endswith(METADATA))
        return await send(request, blob, sha256=digest, content_type=content_type, headers=_FILE_CORS)


@lru_cache(maxsize=4096)
def _valid_name(name: str) -> str:
    if not names.is_valid(name):
        raise NotFound("This is no valid project name: letters, digits, and . - _ between them.")
    return names.normalize(name)


def _moved(request: web.Request, location: str) -> web.Response:
    query = request.rel_url.raw_query_string  # as it came: decoded, it could hold a line break or lose a plus sign
    headers = {**CORS, hdrs.LOCATION: f"{location}?{query}" if query else location, hdrs.CACHE_CONTROL: "no-cache"}
    return web.Response(status=301, headers=headers, text=f"The page is at {location}\n")


def _moment(request: web.Request) -> datetime | None:
    """Return the moment that an address below ``/at/`` names, None for any other address. Raise `BadRequest`."""
    text = request.match_info.get("time")
    if text is None:
        return None
    try:
        moment = parse_time(text)
    except ValueError as error:
        raise BadRequest(f"The time in this address {error}.") from error
    if moment > datetime.now(UTC) + _CLOCKS_DIFFER:
        raise BadRequest(f"{written(moment)} has not come yet: nobody knows what the index will be then.")
    return moment


def _to_one_time(request: web.Request, moment: datetime | None) -> web.Response | None:
    """Redirect to the one spelling of a time; None where it is that already, or there is none."""
    if moment is None or request.match_info["time"] == written(moment):
        return None
    rest = request.rel_url.raw_path.split("/", 3)[3]
    return _moved(request, f"{'../' * (rest.count('/') + 1)}{written(moment)}/{rest}")


def _file_type(filename: str, *, is_metadata: bool) -> str:
    if is_metadata:
        return "text/plain; charset=utf-8"
    if filename.endswith(PROVENANCE):
        return "application/json"
    return "application/zip" if filename.endswith((".whl", ".zip")) else "application/octet-stream"
