"""A server on loopback that speaks ``/api/v1`` from a table of answers, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "open-sesame"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    authorization: str | None
    body: dict[str, Any] | None


@dataclass(slots=True, kw_only=True)
class FakeApi:
    """The table and the record. An answer is a JSON object, a text, bytes sent as they are, or (status, object)."""

    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    """By method and path: ``"GET builds/1/log"``."""
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def running() -> Iterator[FakeApi]:
    """Serve until the block ends."""
    api = FakeApi()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            authorization = self.headers.get("Authorization")
            body = json.loads(content) if content else None
            api.asked.append(
                Asked(
                    method=self.command,
                    path=parts.path,
                    query=dict(parse_qsl(parts.query)),
                    authorization=authorization,
                    body=body,
                )
            )
            if self.command == "POST" and authorization != f"Bearer {TOKEN}":
                answer: Any = (401, {"error": "A change needs the operator's token."})
            else:
                name = f"{self.command} {parts.path.removeprefix('/api/v1/')}"
                answer = api.answers.get(name, (404, {"error": "There is no such thing here."}))
            self._send(answer)

        def _send(self, answer: Any) -> None:
            if isinstance(answer, bytes):
                self.wfile.write(answer)
                return
            status, content = answer if isinstance(answer, tuple) else (200, answer)
            data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            try:
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):
                return  # the client has seen enough, as `log | head` does

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
