"""The real server as a subprocess, with a data folder of its own, stopped by SIGTERM and looked after."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urljoin

from tests.fakes import uids
from tests.fakes.dial import offline_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

JSON = "application/vnd.pypi.simple.v1+json"
PATIENCE_SECONDS = 300
"""So long nothing takes that comes at all, on however busy a machine: the bound of every wait."""
STOP_SECONDS = 120
"""From SIGTERM to the end; `server.shutdown_seconds` is longer here, so that who waits it out is late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def wait_for(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Return what the condition returns once it is true. Raise `AssertionError` after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"after {seconds} s there is still no {what}")


def descendants(pid: int) -> set[tuple[int, str]]:
    """Return all processes below one, each with its start time, so that a reused number is not taken for it."""
    parents: dict[int, list[tuple[int, str]]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))) is not None:
            parents.setdefault(int(fields[1]), []).append((int(entry.name), fields[19]))
    found: set[tuple[int, str]] = set()
    todo = [pid]
    while todo:
        below = parents.get(todo.pop(), [])
        found.update(below)
        todo.extend(child for child, _ in below)
    return found


def alive(processes: set[tuple[int, str]]) -> set[tuple[int, str]]:
    """Return those that still run (a zombie does not)."""
    return {
        (pid, start)
        for pid, start in processes
        if (fields := _stat(pid)) is not None and fields[19] == start and fields[0] != "Z"
    }


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


class Server:
    """One server process after another on one data folder."""

    def __init__(
        self, upstream: str | None, *, environment: Mapping[str, str] | None = None, network: bool = False
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="buildthrough-e2e-"))
        self.folder.chmod(0o755)  # builds run as other users, who must reach their work folder
        self.data = self.folder / "data"
        self.temporary = self.folder / "tmp"
        self.temporary.mkdir()
        self.temporary.chmod(0o1777)
        self.log = self.folder / "server.log"
        self.upstream = upstream
        self.process: subprocess.Popen[bytes] | None = None
        base = dict(os.environ) if network else offline_environment()
        self.environment = {
            **base,
            "PATH": "/usr/bin:/bin",  # the Pythons of the system; version managers' launchers take seconds to answer
            "TMPDIR": str(self.temporary),
            "BUILDTHROUGH_UPSTREAM__PAGE_TTL": "0",
            "BUILDTHROUGH_SERVER__SHUTDOWN_SECONDS": str(2 * STOP_SECONDS),
            "BUILDTHROUGH_BUILD__SLOT_UID_BASE": str(uids.SERVER),
            **(environment or {}),
        }

    # --- life -----------------------------------------------------------------------------------------------------

    def command(self, *more: str) -> list[str]:
        """Return the argv of ``serve``."""
        chosen = ["--upstream", self.upstream] if self.upstream else []
        return [
            sys.executable, "-m", "buildthrough.proxy", "serve",
            "--port", "0", "--data-dir", str(self.data), *chosen, *more,
        ]  # fmt: skip

    def start(self) -> Self:
        """Start, and wait until it listens."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), env=self.environment, cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        wait_for(self._listens, "server that listens")
        return self

    def _listens(self) -> bool:
        assert self.process is not None
        if (code := self.process.poll()) is not None:
            self.process = None
            raise AssertionError(f"the server ended with {code} at its start:\n{self.tail()}")
        return self.address is not None

    @property
    def address(self) -> str | None:
        """Where the process that runs now listens."""
        try:
            told = json.loads((self.data / "server.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return told["url"].rstrip("/") if self.process is not None and told["pid"] == self.process.pid else None

    def stop(self) -> None:
        """Send SIGTERM; the server must end with 0 and leave no process and no temporary file."""
        if self.process is None:
            return
        below = descendants(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"SIGTERM did not end the server within {STOP_SECONDS} s:\n{self.tail()}") from None
        self.process = None
        assert code == 0, f"SIGTERM ended the server with {code}:\n{self.tail()}"
        assert alive(below) == set(), "a process outlives the server"
        assert self.left_behind() == [], "temporary files outlive the server"

    def kill(self) -> None:
        """Send SIGKILL, and wait until everything below is gone as well."""
        assert self.process is not None
        below = descendants(self.process.pid)
        self.process.kill()
        self.process.wait()
        self.process = None
        wait_for(lambda: not alive(below), "end of the processes below a killed server")

    def close(self) -> None:
        """End and clear away whatever there is."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def left_behind(self) -> list[str]:
        """Return temporary files: all of TMPDIR, and what bears a temporary name in the data folder."""
        marks = ("tmp", "temp", "part", "incoming")
        held = [path for path in self.data.rglob("*") if path.is_file() and any(m in path.name.lower() for m in marks)]
        return sorted(str(path.relative_to(self.folder)) for path in [*held, *self.temporary.rglob("*")])

    def tail(self, characters: int = 4000) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    # --- asking ---------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        address = self.address
        assert address is not None, "the server does not run"
        return address

    @property
    def simple(self) -> str:
        """The index URL to hand to a client."""
        return f"{self.url}/simple/"

    def ask(
        self, path: str, *, method: str = "GET", body: Any = None, timeout: float = PATIENCE_SECONDS, **headers: str
    ) -> Answer:
        """Ask for a path of the server, or a whole URL; answers of any status are returned."""
        request = urllib.request.Request(
            path if path.startswith("http") else self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={key.replace("_", "-"): value for key, value in headers.items()},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout) as answer:
                return Answer(status=answer.status, headers=answer.headers, body=answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(status=error.code, headers=error.headers, body=error.read())
        except http.client.IncompleteRead as cut:
            raise AssertionError(f"{path} broke off: {cut}\n{self.tail()}") from cut

    def page(self, project: str) -> dict[str, Any]:
        """Return a project's page."""
        answer = self.ask(f"/simple/{project}/", Accept=JSON)
        assert answer.status == 200, f"{answer.status}: {answer.body[:300]!r}"
        return answer.json

    def listed(self, project: str) -> dict[str, dict[str, Any]]:
        """Return a page's entries by file name, each ``url`` made absolute."""
        base = f"{self.url}/simple/{project}/"
        entries = {entry["filename"]: dict(entry) for entry in self.page(project)["files"]}
        for entry in entries.values():
            entry["url"] = urljoin(base, entry["url"])
        return entries

    def download(self, project: str, filename: str, *, user_agent: str) -> bytes:
        """Fetch a listed file as a client that sends this User-Agent."""
        answer = self.ask(self.listed(project)[filename]["url"], User_Agent=user_agent)
        assert answer.status == 200, f"{answer.status}: {answer.body[:300]!r}"
        return answer.body

    # --- operations -----------------------------------------------------------------------------------------------

    @property
    def token(self) -> str:
        return (self.data / "admin.token").read_text().strip()

    def operate(self, path: str, **body: Any) -> Answer:
        """Post to the operations API with the operator's token."""
        return self.ask(path, method="POST", body=body, Authorization=f"Bearer {self.token}")

    def builds(self, project: str | None = None) -> list[dict[str, Any]]:
        """Return builds, the newest first."""
        return self.ask("/api/v1/builds" + (f"?project={project}" if project else "")).json["builds"]

    def wait_for_build(
        self, project: str, *states: str, version: str = "", target: str = "", seconds: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """Wait until the newest build of a project is in one of the states; fail where it ends otherwise.

        ``version`` and the beginning of ``target`` say which builds are looked at; all, if empty.
        """
        final = {"SUCCEEDED", "FAILED", "CANCELLED"}

        def reached() -> dict[str, Any] | None:
            builds = [
                build
                for build in self.builds(project)
                if version in {"", build["version"]} and build["target"].startswith(target)
            ]
            if not builds or builds[0]["state"] in states:
                return builds[0] if builds else None
            if builds[0]["state"] in final:
                raise AssertionError(f"the build ended otherwise: {builds[0]}\n{self.build_log(builds[0]['id'])}")
            return None

        return wait_for(reached, f"build of {project} in {states}; {version or 'any version'}", seconds)

    def let_go(self, project: str) -> dict[str, Any]:
        """Let the build of a `held_sdist` go on, and wait for its success."""

        def reached() -> bool:
            for wheels in self.temporary.glob("*/build-*/wheels"):
                with suppress(FileNotFoundError):  # it has ended meanwhile
                    (wheels / "go").touch()
            return self.builds(project)[0]["state"] == "SUCCEEDED"

        wait_for(reached, f"success of {project}")
        return self.builds(project)[0]

    def build_log(self, build: int) -> str:
        answer = self.ask(f"/api/v1/builds/{build}/log")
        return answer.body.decode(errors="replace") if answer.status == 200 else f"({answer.status}, no log)"

    def downloads(self, verdict: str) -> float:
        """Return how many downloads were judged so for building; each is once it was answered."""
        name = f'buildthrough_sdist_downloads_total{{verdict="{verdict}"}} '
        lines = self.ask("/metrics").body.decode().splitlines()
        return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), 0)

    def builds_after(self, verdict: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many downloads were judged so for building, and return all builds."""
        wait_for(lambda: self.downloads(verdict) == count, f"verdict of {verdict}, {count} times")
        return self.builds()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line against this data folder, as an operator on the same machine does."""
        own = {**self.environment, "BUILDTHROUGH_STORAGE__DIR": str(self.data)}
        command = [sys.executable, "-m", "buildthrough.proxy", *arguments]
        return subprocess.run(
            command, env=own, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )


def run_to_end(server: Server, *, prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run ``serve`` where it is expected to end by itself."""
    return subprocess.run(
        [*prefix, *server.command()],
        env=server.environment, cwd=server.folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
