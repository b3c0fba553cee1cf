"""buildthrough, as it is in this folder."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

from bench.peer import ROOT, Peer
from bench.process import Child, environment, free_port


class Ours(Peer):
    """The server with its defaults, but for a long life of pages; every setting else is as installed."""

    name = "buildthrough"
    alive = "/health/ready"

    @classmethod
    def install(cls) -> None:
        """Nothing: ``make bench`` has done it."""

    @classmethod
    def version(cls) -> str:
        """Return the version, and which commit."""
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        commit = said.stdout.strip()
        return f"{version('buildthrough')} ({commit})" if commit else version("buildthrough")

    def launch(self, upstream: str) -> Child:
        """Start on a data folder of its own."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        own = environment(BUILDTHROUGH_UPSTREAM__PAGE_TTL="36000")
        command = [
            sys.executable, "-m", "buildthrough.proxy", "serve", "--host", "127.0.0.1", "--port", str(port),
            "--data-dir", self.folder / "data", "--upstream", f"{upstream}/simple/",
        ]  # fmt: skip
        return Child.start(command, self.folder, own)
