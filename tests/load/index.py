"""The fake index in a process of its own: ``python -m tests.load.index SECONDS MANIFEST``; it ends with its input.

It writes the manifest (sha256 by project and file name), then one line with its address.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.fakes.pypi import FakeFile, FakePyPI
from tests.load.content import fill


class QuickPyPI(FakePyPI):
    """Finds files by their path and keeps no log: thousands of projects, for minutes."""

    def __init__(self) -> None:
        super().__init__(unknown_keys=False)
        self.by_path: dict[str, FakeFile] = {}

    def _file(self, path):
        found = self.by_path.get(path.removeprefix("/"))
        self.requests.clear()
        return found if found is not None else super()._file(path)


def main(seconds: float, manifest: Path) -> None:
    """Serve until the input ends."""
    with QuickPyPI() as pypi:
        fill(pypi, seconds)
        files = {project.name: project.listed for project in pypi.projects.values()}
        pypi.by_path = {file.path: file for listed in files.values() for file in listed}
        told = {name: {file.filename: file.sha256 for file in listed} for name, listed in files.items()}
        manifest.write_text(json.dumps(told))
        print(pypi.simple, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(float(sys.argv[1]), Path(sys.argv[2]))
