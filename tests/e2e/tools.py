"""Two generations of pip and uv, poetry and pdm, as `make test` fetched them, each with a cache."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.clients import make_client

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

    from tests.e2e.clients import Client

ROOT = Path(__file__).parents[2]
FETCHED = ROOT / ".cache" / "clients"
NAMES = [
    line.split()[0]
    for line in Path(__file__).with_name("clients.txt").read_text().splitlines()
    if line.strip() and not line.startswith("#")
]
INSTALLERS = [name for name in NAMES if name.startswith(("pip-", "uv-"))]
UVS = [name for name in NAMES if name.startswith("uv-")]
(POETRY,) = (name for name in NAMES if name.startswith("poetry-"))
(PDM,) = (name for name in NAMES if name.startswith("pdm-"))


def program(tool: str, command: str) -> str:
    """Return the path of a client's command; a client that is missing is a failure, never a reason to skip."""
    path = FETCHED / tool / "bin" / command
    assert path.exists(), f"{tool} is not in {FETCHED}: run `make .cache/clients/.fetched`"
    return str(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installer:
    """One pip or uv with an environment to install into, and a cache that others may share."""

    tool: str
    client: Client
    cache: Path

    def install(
        self, *arguments: str, index: str, also: str | None = None, retries: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``install`` from an index, and from another where the first does not have it."""
        return self.run("install", *arguments, index=index, also=also, retries=retries)

    def run(
        self, verb: str, *arguments: str, index: str, also: str | None = None, retries: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run another command of pip, or of ``uv pip``."""
        is_pip = self.tool.startswith("pip-")
        command = self._pip(verb, index, also) if is_pip else self._uv(verb, index, also)
        variables = {**self.client.variables, "PIP_CACHE_DIR": str(self.cache), "UV_CACHE_DIR": str(self.cache)}
        del variables["PIP_NO_CACHE_DIR"]
        if retries is not None:
            variables["PIP_RETRIES"] = variables["UV_HTTP_RETRIES"] = str(retries)
        return self.client.run(*command, *arguments, variables=variables)

    def _pip(self, verb: str, index: str, also: str | None) -> list[str]:
        more = [] if also is None else ["--extra-index-url", also]
        python = program(self.tool, "python")
        # Plain HTTP is cached from hosts alone that pip is told to trust.
        more += ["--trusted-host", "127.0.0.1"]
        return [python, "-m", "pip", "--python", self.client.python, verb, "--index-url", index, *more]

    def _uv(self, verb: str, index: str, also: str | None) -> list[str]:
        more = ["--default-index", index] if also is None else ["--index", index, "--default-index", also]
        return [program(self.tool, "uv"), "pip", verb, "--python", self.client.python, *more]


def make_installer(folder: Path, variables: Mapping[str, str], tool: str, *, cache: Path | None = None) -> Installer:
    """Make an environment for a client, with an empty cache unless one is given."""
    return Installer(tool=tool, client=make_client(folder, variables), cache=cache or folder / "cache")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project that uv, poetry or pdm locks and installs, the proxy its only index."""

    tool: str
    client: Client
    folder: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the tool in the project's folder."""
        command = self.tool.partition("-")[0]
        return replace(self.client, cwd=self.folder).run(program(self.tool, command), *arguments)

    def lock_text(self) -> str:
        """Return what the lock file says."""
        return (self.folder / f"{self.tool.partition('-')[0]}.lock").read_text()

    def forget_caches(self) -> None:
        """Throw away what the tool has cached, as on another machine."""
        shutil.rmtree(self.folder / "cache", ignore_errors=True)


_SOURCE = {
    "uv": "",  # by its environment variable
    "poetry": '[tool.poetry]\npackage-mode = false\n[[tool.poetry.source]]\nname = "proxy"\nurl = "{url}"\n'
    'priority = "primary"\n',
    "pdm": '[tool.pdm]\ndistribution = false\n[[tool.pdm.source]]\nname = "pypi"\nurl = "{url}"\n',
}


def make_project(folder: Path, variables: Mapping[str, str], tool: str, index: str, *dependencies: str) -> Project:
    """Write a project with an environment of its own."""
    client = make_client(folder, variables)
    place = folder / "project"
    place.mkdir()
    (place / "pyproject.toml").write_text(
        f'[project]\nname = "app"\nversion = "0"\nrequires-python = ">=3.11,<4"\n'
        f"dependencies = {json.dumps(dependencies)}\n" + _SOURCE[tool.partition("-")[0]].format(url=index)
    )
    own = {
        "VIRTUAL_ENV": str(client.folder),
        "UV_DEFAULT_INDEX": index,
        "UV_CACHE_DIR": str(place / "cache"),
        "UV_PROJECT_ENVIRONMENT": str(client.folder),
        "POETRY_CACHE_DIR": str(place / "cache"),
        "POETRY_CONFIG_DIR": str(place / "config"),
        "POETRY_DATA_DIR": str(place / "data"),
        "POETRY_KEYRING_ENABLED": "false",
        "POETRY_NO_INTERACTION": "1",
        "PDM_CACHE_DIR": str(place / "cache"),
        "PDM_CONFIG_FILE": str(place / "pdm.toml"),
        "PDM_CHECK_UPDATE": "false",
        "NO_COLOR": "1",
    }
    client = replace(client, variables={**client.variables, **own})
    return Project(tool=tool, client=client, folder=place)
