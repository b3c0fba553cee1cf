"""devpi-server with one mirror index."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.request
from typing import Any

from bench.installing import venv, version_in
from bench.peer import Peer
from bench.process import Broken, Child, free_port


class Devpi(Peer):
    """Keeps what it read from pages in SQLite, files in folders."""

    name = "devpi"
    path = "/root/up/+simple/"
    alive = "/+api"

    @classmethod
    def install(cls) -> None:
        """Install from PyPI."""
        venv("devpi", "devpi-server")

    @classmethod
    def version(cls) -> str:
        """Return what is installed."""
        return version_in("devpi", "devpi-server")

    def prepare(self, upstream: str) -> None:  # noqa: ARG002 - the mirror is made once it runs
        """Make the data folder."""
        init = [venv("devpi", "devpi-server") / "devpi-init", "--serverdir", self.folder / "data", "--no-root-pypi"]
        ended = subprocess.run(init, capture_output=True, text=True, timeout=60, check=False)
        if ended.returncode != 0:
            raise Broken(f"devpi-init ended with {ended.returncode}: {ended.stderr[-300:]}")

    def launch(self, upstream: str) -> Child:  # noqa: ARG002 - the mirror is made once it runs
        """Start with room for as many clients as the others have."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        program = venv("devpi", "devpi-server") / "devpi-server"
        options = ["--serverdir", self.folder / "data", "--host", "127.0.0.1", "--port", str(port)]
        return Child.start(
            [program, *options, "--connection-limit", "500", "--mirror-cache-expiry", "36000"], self.folder
        )

    def settle(self, upstream: str) -> None:
        """Make the mirror index through the web interface."""
        told = self._call("POST", "/+login", {"user": "root", "password": ""})
        token = base64.b64encode(f"root:{told['result']['password']}".encode()).decode()
        mirror = {"type": "mirror", "mirror_url": f"{upstream}/simple/", "mirror_cache_expiry": 36000}
        self._call("PUT", "/root/up", mirror, token)

    def _call(self, method: str, path: str, body: dict[str, Any], token: str = "") -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            headers["X-Devpi-Auth"] = token
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as answer:
                told: dict[str, Any] = json.loads(answer.read())
        except OSError as failed:
            raise Broken(f"{method} {path}: {failed}") from failed
        return told
