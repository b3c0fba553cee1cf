"""The pool over HTTP: ``/api/v1/pool``, and drain, resume and cancel, which need the operator's token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from buildthrough.proxy.operator_request import authorize, read_body

if TYPE_CHECKING:
    from buildthrough.builders.demand import Demand
    from buildthrough.builders.pool_state import PoolState
    from buildthrough.proxy.pool_control import PoolControl, Waiting


class PoolApi:
    """The handlers."""

    def __init__(self, *, control: PoolControl, token: str) -> None:
        self._control = control
        self._token = token

    def routes(self) -> list[web.RouteDef]:
        """Return all routes."""
        return [
            web.get("/api/v1/pool", self.pool),
            web.post("/api/v1/drain", self.drain),
            web.post("/api/v1/resume", self.resume),
            web.post("/api/v1/cancel", self.cancel),
        ]

    async def pool(self, _request: web.Request) -> web.Response:
        """Say how the pool stands."""
        return web.json_response(describe_pool(self._control.state))

    async def drain(self, request: web.Request) -> web.Response:
        """Start no more builds."""
        authorize(request, self._token)
        await read_body(request, {})
        return web.json_response(describe_pool(await self._control.drain()))

    async def resume(self, request: web.Request) -> web.Response:
        """Start builds again."""
        authorize(request, self._token)
        await read_body(request, {})
        return web.json_response(describe_pool(await self._control.resume()))

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a build, or all of a project."""
        authorize(request, self._token)
        body = await read_body(request, {"build": int, "project": str})
        numbers = await self._control.cancel(build=body.get("build"), project=body.get("project"))
        return web.json_response({"cancelled": list(numbers)})


def describe_pool(state: PoolState) -> dict[str, Any]:
    """Return the pool as the API shows it."""
    lock, away = state.lock, state.away
    return {
        "state": state.word,
        "slots": state.slots,
        "running": state.running,
        "total": _amount(state.total),
        "free": _amount(state.free),
        "mean_seconds": state.mean_seconds,
        "lock": None
        if lock is None
        else {
            "since": lock.since.isoformat(),
            "why": lock.why,
            "advice": lock.advice,
            "next_probe": lock.next_probe.isoformat(),
        },
        "away": None if away is None else {"since": away.since.isoformat(), "why": away.why},
    }


def describe_waiting(waiting: Waiting | None) -> dict[str, Any]:
    """Return where a build stands as the API shows it beside the build."""
    if waiting is None:
        return {"waits": None, "position": None, "estimate_seconds": None}
    estimate = waiting.estimate_seconds
    return {
        "waits": waiting.reason,
        "position": waiting.position,
        "estimate_seconds": None if estimate is None else round(estimate, 1),
    }


def notices(state: PoolState) -> list[str]:
    """Return what a probe is told beside that all is well: the pool's trouble keeps no page from being served."""
    if state.away is not None:
        return [
            f"builds wait for the builder, which is away since {state.away.since:%Y-%m-%d %H:%M} UTC: {state.away.why}"
        ]
    if state.lock is not None:
        return [f"builds are locked: {state.lock.why}. {state.lock.advice}"]
    return [f"builds are {state.word}; `buildthrough resume` goes on"] if state.is_draining else []


def _amount(demand: Demand) -> dict[str, int]:
    return {"memory_bytes": demand.memory_bytes, "cpus": demand.cpus}
