"""simple-repository-server: asks upstream each time, keeps nothing."""

from __future__ import annotations

from bench.installing import venv, version_in
from bench.peer import Peer
from bench.process import Child, free_port


class SimpleRepository(Peer):
    """Passes on what upstream says, through a model of pages; sends files through itself, to be comparable."""

    name = "simple-repository"
    alive = "/docs"

    @classmethod
    def install(cls) -> None:
        """Install from PyPI."""
        venv("simple-repository", "simple-repository-server")

    @classmethod
    def version(cls) -> str:
        """Return what is installed."""
        return version_in("simple-repository", "simple-repository-server")

    def launch(self, upstream: str) -> Child:
        """Start before upstream."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        program = venv("simple-repository", "simple-repository-server") / "simple-repository-server"
        options = ["--host", "127.0.0.1", "--port", str(port), "--stream-http-resources"]
        return Child.start([program, *options, f"{upstream}/simple/"], self.folder)
