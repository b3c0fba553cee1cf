"""The command line's client of a running server's ``/api/v1``: one request at a time, never through a proxy."""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Protocol
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from http.client import HTTPResponse
    from pathlib import Path

ANSWER_SECONDS = 30.0
_MAX_ANSWER_BYTES = 64 << 20
_MAX_FILE_BYTES = 4 << 30
_MAX_ERROR_BYTES = 64 << 10
_CHUNK_BYTES = 64 << 10
_MAX_SENTENCE = 500
_UNAUTHORIZED = 401
_NOT_FOUND = 404


class RemoteError(Exception):
    """The server could not be asked, or refused. The argument is one sentence: what is wrong, and what to do."""


class NoServer(RemoteError):
    """Nothing answers at the address."""


class NotOurServer(RemoteError):
    """Something answers, but it does not speak our interface."""


class Refused(RemoteError):
    """The server says no. Its own sentence is the argument."""


class Absent(Refused):
    """The server has no such thing."""


class WrongToken(Refused):
    """The server does not take the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """The operator's token, and where it was looked for."""

    text: str = field(repr=False)
    """Empty where none was found."""
    place: str


class TokenSource(Protocol):
    """Finds the operator's token when a change is asked for, and not before."""

    def __call__(self) -> Token:
        """Return it."""
        ...


class _NoRedirects(HTTPRedirectHandler):
    """Left alone, urllib carries the token to wherever a redirect leads."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


class Remote:
    """A running server."""

    def __init__(self, url: str, token: TokenSource) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._opener = build_opener(ProxyHandler({}), _NoRedirects())

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the JSON object at a path below ``/api/v1/``. Raise `RemoteError`."""
        with self._open(Request(self._url(path, query))) as response:  # noqa: S310 - `connect` admits http and https
            return self._object(response)

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Ask for a change, with the token. Raise `RemoteError`."""
        token = self._token()
        headers = {"Content-Type": "application/json"}
        if token.text:
            headers["Authorization"] = f"Bearer {token.text}"
        content = json.dumps(body).encode()
        request = Request(self._url(path, None), data=content, headers=headers, method="POST")  # noqa: S310 - as above
        with self._open(request, token) as response:
            return self._object(response)

    def text(self, path: str) -> Iterator[str]:
        """Yield the pieces of a text of any length. Raise `RemoteError`."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        with self._open(Request(self._url(path, None))) as response:  # noqa: S310 - as above
            while chunk := self._read(response, _CHUNK_BYTES):
                yield decoder.decode(chunk)
            self._check_whole(response)
        yield decoder.decode(b"", final=True)

    def file(self, path: str, destination: Path) -> None:
        """Fetch what lies at a path of the server, such as a build's ``url``. Raise `RemoteError`."""
        request = Request(f"{self.url}{path}")  # noqa: S310 - as above
        with self._open(request) as response, destination.open("xb") as out:
            while chunk := self._read(response, _CHUNK_BYTES):
                out.write(chunk)
                if out.tell() > _MAX_FILE_BYTES:
                    raise NotOurServer(f"The file at {self.url}{path} is longer than {_MAX_FILE_BYTES} bytes.")
            self._check_whole(response)

    def _url(self, path: str, query: Mapping[str, str] | None) -> str:
        return f"{self.url}/api/v1/{path}" + (f"?{urlencode(query)}" if query else "")

    def _open(self, request: Request, token: Token | None = None) -> HTTPResponse:
        try:
            response: HTTPResponse = self._opener.open(request, timeout=ANSWER_SECONDS)
        except HTTPError as answer:
            with answer:
                raise self._refusal(answer, token) from None
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from error
        return response

    def _unreachable(self, error: OSError | HTTPException) -> RemoteError:
        if isinstance(error, HTTPException):
            return NotOurServer(f"What answers at {self.url} is not buildthrough; check --server.")
        reason = getattr(error, "reason", error)  # URLError wraps the socket's
        if isinstance(reason, TimeoutError):
            return NoServer(f"The server at {self.url} did not answer within {ANSWER_SECONDS:g} seconds; see its log.")
        if isinstance(reason, ConnectionRefusedError):
            return NoServer(
                f"No server runs at {self.url}; start one with `buildthrough serve`, or name one with --server URL."
            )
        text = getattr(reason, "strerror", None) or reason
        return NoServer(f"The server at {self.url} cannot be reached ({text}); check --server, or start one.")

    def _refusal(self, answer: HTTPError, token: Token | None) -> RemoteError:
        if answer.code == _UNAUTHORIZED and token is not None:
            found = (
                "The server does not take the operator's token of" if token.text else "No operator's token was found:"
            )
            return WrongToken(f"{found} {token.place}; set admin.token as it is set for the server.")
        try:
            body = json.loads(answer.read(_MAX_ERROR_BYTES))
        except (OSError, HTTPException, ValueError, RecursionError):
            body = None
        sentence = body.get("error") if isinstance(body, dict) else None
        if not isinstance(sentence, str):
            return NotOurServer(
                f"What answers at {self.url} is not buildthrough (status {answer.code}); check --server."
            )
        return (Absent if answer.code == _NOT_FOUND else Refused)(sentence[:_MAX_SENTENCE])

    def _object(self, response: HTTPResponse) -> dict[str, Any]:
        content = self._read(response, _MAX_ANSWER_BYTES + 1)
        if len(content) > _MAX_ANSWER_BYTES:
            raise NotOurServer(f"The answer of {self.url} is longer than {_MAX_ANSWER_BYTES} bytes; ask for less.")
        self._check_whole(response)
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise NotOurServer(f"What answers at {self.url} is not buildthrough; check --server.")
        return body

    def _check_whole(self, response: HTTPResponse) -> None:
        if response.length:  # bytes that were announced and did not come: read with a size does not say so
            raise NoServer(f"The answer of {self.url} broke off; try again.")

    def _read(self, response: HTTPResponse, size: int) -> bytes:
        try:
            return response.read(size)
        except (OSError, HTTPException) as error:
            raise NoServer(f"The answer of {self.url} broke off; try again.") from error
