"""Operations over HTTP: ``/api/v1/…``, ``/metrics`` and the health probes. Changes need the operator's token."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from buildthrough.builders.request import BuildState
from buildthrough.proxy import described
from buildthrough.proxy.errors import BadRequest, NotFound
from buildthrough.proxy.metrics import CONTENT_TYPE
from buildthrough.proxy.operator_request import authorize, read_body
from buildthrough.proxy.pool_api import describe_waiting, notices
from buildthrough.proxy.purge import Selection
from buildthrough.proxy.transfer import send

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildthrough.builders.request import Build
    from buildthrough.proxy.metrics import Metrics
    from buildthrough.proxy.operations import Operations
    from buildthrough.proxy.pool_control import PoolControl

MAX_BODY_BYTES = 64 << 10
"""Longest body of a request that is read."""
_MAX_LIST = 10_000
_DEFAULT_LIST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What the probes ask. Neither asks upstream or the builders."""

    is_ready: Callable[[], bool]


class Api:
    """The handlers of operations."""

    def __init__(
        self, *, operations: Operations, pool: PoolControl, metrics: Metrics, readiness: Readiness, token: str
    ) -> None:
        self._operations = operations
        self._pool = pool
        self._metrics = metrics
        self._readiness = readiness
        self._token = token
        self._description = files(__package__).joinpath("openapi.json").read_bytes()

    def routes(self) -> list[web.RouteDef]:
        """Return all routes."""
        return [
            web.get("/api/v1/builds", self.builds),
            web.post("/api/v1/builds", self.request_build),
            web.get("/api/v1/builds/{id}", self.build),
            web.get("/api/v1/builds/{id}/log", self.build_log),
            web.get("/api/v1/builds/{id}/wheel", self.build_wheel),
            web.get("/api/v1/provenance/{sha256}", self.provenance),
            web.get("/api/v1/key", self.key),
            web.post("/api/v1/purge", self.purge),
            web.get("/api/v1/targets", self.targets),
            web.get("/api/v1/upstreams", self.upstreams),
            web.post("/api/v1/forget", self.forget),
            web.get("/api/v1/storage", self.storage),
            web.post("/api/v1/repair", self.repair),
            web.get("/api/v1/openapi.json", self.openapi),
            web.get("/metrics", self.metrics),
            web.get("/health/live", self.live),
            web.get("/health/ready", self.ready),
        ]

    async def builds(self, request: web.Request) -> web.Response:
        """List builds, the newest first."""
        builds = await self._operations.builds(
            project=request.query.get("project"),
            state=_state(request.query.get("state")),
            limit=_limit(request.query.get("limit")),
        )
        waits = await self._pool.waits(builds)
        told = [described.build(build) | describe_waiting(waits.get(build.id)) for build in builds]
        return web.json_response({"builds": told})

    async def request_build(self, request: web.Request) -> web.Response:
        """Ask for a build, whatever failed or was purged before."""
        authorize(request, self._token)
        body = await read_body(request, {"name": str, "version": str, "target": str, "again": bool})
        if "name" not in body or "version" not in body:
            raise BadRequest('A build is asked for with {"name": …, "version": …}, if need be "target" and "again".')
        build = await self._operations.request_build(
            body["name"], body["version"], body.get("target"), again=body.get("again", False)
        )
        return web.json_response(await self._told(build), status=202)

    async def build(self, request: web.Request) -> web.Response:
        """Describe one build."""
        return web.json_response(await self._told(await self._operations.build(_build_id(request))))

    async def build_log(self, request: web.Request) -> web.Response:
        """Return what one build printed."""
        log = await self._operations.build_log(_build_id(request))
        headers = {hdrs.CONTENT_TYPE: "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=log, headers=headers)

    async def build_wheel(self, request: web.Request) -> web.StreamResponse:
        """Return the wheel that one build left for its operator alone."""
        authorize(request, self._token)
        build, blob = await self._operations.unlisted(_build_id(request))
        headers = {"Content-Disposition": f'attachment; filename="{build.unlisted}"'}
        return await send(request, blob, sha256=blob.sha256, content_type="application/octet-stream", headers=headers)

    async def provenance(self, request: web.Request) -> web.Response:
        """Return the record of how a wheel was built."""
        record = await self._operations.provenance(request.match_info["sha256"].lower())
        return web.Response(body=record, content_type="application/json")

    async def key(self, _request: web.Request) -> web.Response:
        """Return the public key of the records' signatures."""
        key = self._operations.public_key()
        return web.json_response({"algorithm": "Ed25519", "keyid": key.keyid, "pem": key.pem})

    async def purge(self, request: web.Request) -> web.Response:
        """Remove built wheels, or list what would go."""
        authorize(request, self._token)
        fields = {"project": str, "version": str, "file": str, "yanked": bool, "dry_run": bool, "allow_rebuild": bool}
        body = await read_body(request, fields)
        selection = Selection(
            project=body.get("project"),
            version=body.get("version"),
            file=body.get("file"),
            yanked=body.get("yanked", False),
        )
        dry_run = body.get("dry_run", False)
        purged = await self._operations.purge(
            selection, dry_run=dry_run, allow_rebuild=body.get("allow_rebuild", False)
        )
        return web.json_response(
            {
                "dry_run": dry_run,
                "purged": [described.wheel(wheel) for wheel in purged.wheels],
                "unlisted": [described.unlisted(build) for build in purged.unlisted],
                "cancelled": list(purged.builds),
                "not_asked": list(purged.not_asked),
            }
        )

    async def targets(self, _request: web.Request) -> web.Response:
        """List what can be built for here, and how it is isolated."""
        return web.json_response(described.targets(self._operations.workplace()))

    async def upstreams(self, request: web.Request) -> web.Response:
        """List the upstreams, and which one each project comes from."""
        limit = _limit(request.query.get("limit"))
        members, decisions = await self._operations.upstreams(request.query.get("project"), limit)
        return web.json_response(
            {
                "upstreams": [
                    {
                        "name": member.name,
                        "url": member.url,
                        "projects": list(member.projects),
                        "pinned_only": member.pinned_only,
                    }
                    for member in members
                ],
                "decisions": [
                    {"project": one.project, "upstream": one.upstream, "decided": described.time(one.decided)}
                    for one in decisions
                ],
            }
        )

    async def storage(self, _request: web.Request) -> web.Response:
        """Say what the data folder holds, and whether files can be kept."""
        space = self._operations.space
        return web.json_response({"kept": space.kept(), "free": space.free, "full": space.is_full})

    async def repair(self, request: web.Request) -> web.Response:
        """Look at something in the data folder, and drop it where it is damaged."""
        authorize(request, self._token)
        body = await read_body(request, {"kind": str, "name": str})
        if len(body) != len(("kind", "name")):
            raise BadRequest('What is to be looked at is said with {"kind": …, "name": …}.')
        return web.json_response({"repaired": await self._operations.repair(body["kind"], body["name"])})

    async def forget(self, request: web.Request) -> web.Response:
        """Let it be decided anew where a project comes from."""
        authorize(request, self._token)
        body = await read_body(request, {"project": str})
        if "project" not in body:
            raise BadRequest('Say which project: {"project": …}.')
        project, upstream = await self._operations.forget(body["project"])
        return web.json_response({"project": project, "upstream": upstream})

    async def openapi(self, _request: web.Request) -> web.Response:
        """Describe all this (OpenAPI 3.1)."""
        return web.Response(body=self._description, content_type="application/json")

    async def metrics(self, _request: web.Request) -> web.Response:
        """Expose the figures."""
        counts = await self._operations.counts()
        self._metrics.queue(
            queued=counts.get(BuildState.QUEUED, 0),
            running=counts.get(BuildState.RUNNING, 0),
            pool=self._pool.state,
        )
        return web.Response(body=self._metrics.exposition(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})

    async def live(self, _request: web.Request) -> web.Response:
        """Say that the event loop turns."""
        return web.Response(text="alive\n")

    async def ready(self, _request: web.Request) -> web.Response:
        """Say whether requests are taken."""
        if self._readiness.is_ready():
            return web.Response(text="\n".join(["ready", *notices(self._pool.state), ""]))
        return web.Response(text="shutting down\n", status=503)

    async def _told(self, build: Build) -> dict[str, Any]:
        return described.build(build) | describe_waiting((await self._pool.waits([build])).get(build.id))


def _state(value: str | None) -> BuildState | None:
    if value is None:
        return None
    try:
        return BuildState(value.upper())
    except ValueError as error:
        raise BadRequest(f"There is no state {value[:40]!r}; there are {', '.join(BuildState)}.") from error


def _limit(value: str | None) -> int:
    if value is None:
        return _DEFAULT_LIST
    if not value.isascii() or not value.isdigit() or not 0 < int(value[:9]) <= _MAX_LIST:
        raise BadRequest(f"The limit is a whole number from 1 to {_MAX_LIST}.")
    return int(value)


def _build_id(request: web.Request) -> int:
    value = request.match_info["id"]
    if not value.isascii() or not value.isdigit() or len(value) > len(str(1 << 62)):
        raise NotFound("There is no such build: builds are numbered.")
    return int(value)
