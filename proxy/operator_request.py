"""What operators' requests have in common: the token, and a small JSON object as the body."""

from __future__ import annotations

import asyncio
import hmac
import json
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from buildthrough.proxy.errors import BadRequest, TooSlow, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Mapping

BODY_SECONDS = 20.0
"""How long the body of a request may take to arrive."""


def authorize(request: web.Request, token: str) -> None:
    """Raise `Unauthorized` where the request does not bring the operator's token."""
    scheme, _, found = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    given = found.strip(" ").encode(errors="surrogateescape")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given, token.encode()):
        raise Unauthorized("A change needs the operator's token: Authorization: Bearer <admin.token>.")


async def read_body(request: web.Request, fields: Mapping[str, type]) -> dict[str, Any]:
    """Read a JSON object with these fields and no others. Raise `BadRequest` or `TooSlow`."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            read = await request.read()
        body = json.loads(read)
    except TimeoutError as error:
        raise TooSlow(f"The body did not arrive within {BODY_SECONDS:g} seconds.") from error
    except web.RequestPayloadError as error:
        raise BadRequest("The body cannot be read: its coding or its chunks are broken.") from error
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is no JSON.") from error
    if not isinstance(body, dict):
        raise BadRequest("The body is no JSON object.")
    for key, value in body.items():
        if key not in fields:
            known = f"there are {', '.join(fields)}" if fields else "there are none"
            raise BadRequest(f"There is no field {key[:40]!r} here; {known}.")
        if value is not None and type(value) is not fields[key]:
            raise BadRequest(f"The field {key} is of the wrong type.")
    return {key: value for key, value in body.items() if value is not None}
