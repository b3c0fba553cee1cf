"""Answer at once what only has to be sent: a page that was asked for before in the same words, and lies in memory.

It stands before aiohttp's routes and before the middleware, which take as long as all the rest of such an answer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from buildthrough.proxy.page_response import page_response

if TYPE_CHECKING:
    from buildthrough.proxy.metrics import Metrics
    from buildthrough.proxy.mirror import Mirror
    from buildthrough.proxy.negotiation import Representation
    from buildthrough.proxy.rendered import Rendering

_MOST: Final = 4096
_LONGEST: Final = 1024
"""Characters of a request that is remembered."""

_Words = tuple[str, str | None, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a request for a page means."""

    project: str
    rendering: Rendering
    wanted: Representation


class Shortcut:
    """The requests for pages that were understood, by their words."""

    def __init__(self, mirror: Mirror, metrics: Metrics) -> None:
        self._mirror = mirror
        self._metrics = metrics
        self._plans: dict[_Words, Plan] = {}

    def remember(self, request: web.Request, plan: Plan) -> None:
        """Remember what a request meant, until there are too many."""
        words = _words(request)
        if "?" in words[0] or sum(len(word) for word in words if word is not None) > _LONGEST:
            return
        if len(self._plans) >= _MOST:
            self._plans.clear()
        self._plans[words] = plan

    def answer(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """Return the answer; None where anything has to be asked, made or refused, which is for the handlers to do."""
        plan = self._plans.get(_words(request))
        if plan is None or request.method != hdrs.METH_GET or hdrs.EXPECT in request.headers:
            return None
        began = time.perf_counter()
        page = self._mirror.page_at_hand(plan.project, plan.rendering)
        if page is None:
            return None
        response = page_response(request, page, plan.wanted, plan.rendering.coding)
        route = f"/{plan.rendering.view.prefix}simple/{{project}}/"
        self._metrics.request(route, hdrs.METH_GET, response.status, time.perf_counter() - began)
        return response


def _words(request: web.BaseRequest) -> _Words:
    headers = request.headers
    return request.raw_path, headers.get(hdrs.ACCEPT), headers.get(hdrs.ACCEPT_ENCODING)


SHORTCUT: Final = web.AppKey("shortcut", Shortcut)
"""Where an application keeps it for its connections."""
