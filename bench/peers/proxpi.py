"""proxpi under gunicorn with two threads, as its image runs it."""

from __future__ import annotations

from bench.installing import venv, version_in
from bench.peer import Peer
from bench.process import Child, environment, free_port


class Proxpi(Peer):
    """Keeps pages in memory, as objects."""

    name = "proxpi"
    path = "/index/"
    alive = "/health"

    @classmethod
    def install(cls) -> None:
        """Install from PyPI."""
        venv("proxpi", "proxpi", "gunicorn")

    @classmethod
    def version(cls) -> str:
        """Return what is installed."""
        return version_in("proxpi", "proxpi")

    def launch(self, upstream: str) -> Child:
        """Start with a long life of pages, without an access log, and waiting for files however long they take."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        own = environment(
            PROXPI_INDEX_URL=f"{upstream}/simple/",
            PROXPI_INDEX_TTL="36000",
            PROXPI_CACHE_DIR=str(self.folder / "files"),
            PROXPI_CACHE_SIZE="50000000000",
            PROXPI_DOWNLOAD_TIMEOUT="120",
            PROXPI_LOGGING_LEVEL="WARNING",
        )
        program = venv("proxpi", "proxpi", "gunicorn") / "gunicorn"
        options = ["--threads", "2", "--log-level", "warning", "--timeout", "300", "--bind", f"127.0.0.1:{port}"]
        return Child.start([program, *options, "proxpi.server:app"], self.folder, own)
