"""One server for many tests of clients: each test has projects of its own."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from tests.e2e.server import wait_for
from tests.fakes.sdists import intree_sdist

if TYPE_CHECKING:
    import subprocess

    from tests.e2e.server import Server
    from tests.fakes.pypi import FakeFile, FakePyPI

REVALIDATED = re.compile(
    r'^buildthrough_requests_total\{.*route="/simple/\{project\}/".*status="(\d+)".*\} (\S+)$', re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The fake index, another one, and the server before the first."""

    pypi: FakePyPI
    other: FakePyPI
    server: Server
    agent: str

    @property
    def index(self) -> str:
        return self.server.simple

    def sdist(self, name: str) -> FakeFile:
        """List version 1.0 of a project as an sdist whose wheel is another one with each build."""
        made = intree_sdist(name, "1.0", differs=True)
        return self.pypi.add(name, made.filename, made.data)

    def build(self, name: str) -> str:
        """Have a wheel built by a miss, and return its file name."""
        count = len(self.server.builds(name))
        self.server.download(name, self.sdist_name(name), user_agent=self.agent)
        wait_for(lambda: len(self.server.builds(name)) > count, f"build of {name}")
        return self.server.wait_for_build(name, "SUCCEEDED")["wheel"]

    def sdist_name(self, name: str) -> str:
        return next(iter(self.pypi.projects[name].files))

    def number(self, name: str, wheel: str) -> str:
        """Return the ``BUILD`` of a listed wheel."""
        data = self.server.ask(self.server.listed(name)[wheel]["url"]).body
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return archive.read(f"{module(name)}.py").decode().rpartition("'")[0].rpartition("'")[2]

    def answers(self) -> dict[str, float]:
        """Return how many project pages were answered so far, by status."""
        return {
            status: float(count) for status, count in REVALIDATED.findall(self.server.ask("/metrics").body.decode())
        }


def module(name: str) -> str:
    """Return the module that a project of `World.sdist` has."""
    return name.replace("-", "_")


def ok(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """Expect success."""
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Expect a refusal, and return what was said."""
    assert done.returncode != 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr
