"""A server whose builds run in a builder of its own: another process, without credentials and without network."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e.clients import find_pypy
from tests.e2e.server import PATIENCE_SECONDS, wait_for
from tests.fakes import uids
from tests.fakes.sdists import c_sdist, held_sdist, pure_sdist
from tests.sandbox.container import container

from buildthrough.builders import container_profile

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.server import Server

BINARY = ("install", "--only-binary", ":all:")


class Builder:
    """One builder process after another on one socket."""

    def __init__(self, folder: Path, shared: Path) -> None:
        self.socket = folder / "builder.sock"
        self.log = folder / "builder.log"
        (folder / "tmp").mkdir()
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "TMPDIR": str(folder / "tmp"),
            "BUILDTHROUGH_BUILD__WORK_DIR": str(shared),
            "BUILDTHROUGH_BUILD__SLOT_UID_BASE": str(uids.SERVER),
            "BUILDTHROUGH_BUILD__SLOTS": "1",
        }
        for place in (folder, folder / "tmp"):
            place.chmod(0o755)
        self.process: subprocess.Popen[bytes] | None = None
        self.around: Callable[..., tuple[str, ...]] = _without_network
        """Puts the command into something."""

    def start(self) -> None:
        """Start, and wait until it listens."""
        argv = self.around(sys.executable, "-m", "buildthrough.proxy", "builder", "--socket", str(self.socket))
        self.socket.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                argv, env=self.environment, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_for(self._listens, "builder that listens")

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        return self.socket.exists()

    def end(self, number: int) -> int:
        """Send a signal and wait; return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_SECONDS)
        self.process = None
        return code


def _without_network(*argv: str) -> tuple[str, ...]:
    """Give it a network namespace of its own, where nothing is; only root can."""
    return ("/usr/bin/unshare", "--net", "--", *argv) if os.geteuid() == 0 else argv


@pytest.fixture
def pair(servers):
    """Make a builder, and a server that has it build; neither is started yet."""
    folder = Path(tempfile.mkdtemp(prefix="builder-e2e-"))  # pytest's own is its owner's alone
    server = servers()
    builder = Builder(folder, server.temporary)
    server.environment["BUILDTHROUGH_BUILD__SOCKET"] = str(builder.socket)
    yield server, builder
    server.stop()
    if builder.process is not None:
        assert builder.end(signal.SIGTERM) == 0, builder.log.read_text()
        assert not builder.socket.exists()
    shutil.rmtree(folder)


def test_a_miss_is_built_by_the_builder(pypi, pair, clients):
    server, builder = pair
    builder.start()
    server.start()
    for sdist in (pure_sdist("pure", "1.0"), c_sdist("cext", "2.0")):
        pypi.add(sdist.project, sdist.filename, sdist.data)
        done = clients().pip("install", sdist.project, index=server.simple)
        assert done.returncode == 0, done.stderr
        build = server.wait_for_build(sdist.project, "SUCCEEDED")
        client = clients()
        done = client.pip(*BINARY, sdist.project, index=server.simple)
        assert done.returncode == 0, done.stderr
        assert build["wheel"] in done.stdout
        assert client.check(sdist.project) == "42"
    told = server.ask("/api/v1/targets").json
    assert told["isolation"]["level"] in {"full", "unprivileged"}
    assert told["targets"]
    wait_for(lambda: "isolation=" in builder.log.read_text(), "word of the isolation")  # a thread writes the log


def test_a_builder_that_is_killed_costs_one_try(pypi, pair, pip_agent):
    server, builder = pair
    builder.start()
    server.start()
    sdist = held_sdist("slow")
    pypi.add("slow", sdist.filename, sdist.data)
    server.download("slow", sdist.filename, user_agent=pip_agent)
    server.wait_for_build("slow", "RUNNING")
    wait_for(builders_processes, "process of the build")
    builder.end(signal.SIGKILL)
    wait_for(lambda: not builders_processes(), "end of the build's processes")
    assert server.ask("/simple/slow/").status == 200
    server.wait_for_build("slow", "QUEUED", "RUNNING")
    builder.start()
    build = server.let_go("slow")
    assert build["attempts"] > 1


def test_a_builder_that_starts_after_the_server_builds_what_was_missed(pypi, pair, pip_agent):
    server, builder = pair
    sdist = pure_sdist("pure", "1.0")
    pypi.add("pure", sdist.filename, sdist.data)
    server.start()
    assert server.download("pure", sdist.filename, user_agent=pip_agent) == sdist.data
    why = f"no builder answers at {builder.socket}"
    wait_for(lambda: why in (server.ask("/api/v1/targets").json["builder"]["why"] or ""), "word that it is away")
    found = server.run("doctor")
    assert "its BUILDER IS AWAY since" in found.stdout
    assert "the builder is away since" in server.run("targets").stdout
    builder.start()
    server.wait_for_build("pure", "SUCCEEDED")
    assert "BUILDER IS AWAY" not in server.run("doctor").stdout
    wait_for(lambda: "the builder is away" in server.log.read_text(), "line in the log")


@pytest.mark.skipif(find_pypy() is None, reason="needs pypy3")
def test_a_builder_comes_back_with_another_python(pypi, pair, pip_agent):
    """As after an upgrade of its container: the server goes on, and takes over what there is then."""
    server, builder = pair
    pythons = builder.socket.parent / "pythons"
    pythons.mkdir(mode=0o755)
    builder.environment["PATH"] = str(pythons)
    server.start()
    (pythons / "pypy3").symlink_to(find_pypy())
    builder.start()
    before = wait_for(lambda: targets(server), "targets")
    builder.end(signal.SIGTERM)
    wait_for(lambda: server.ask("/api/v1/pool").json["state"] == "away", "builder that is away")
    assert targets(server) == before  # what it had; builds of that would wait for it
    (pythons / "pypy3").unlink()
    builder.start()
    wait_for(lambda: server.ask("/api/v1/pool").json["state"] == "open", "builder that is back")
    (gone,) = wait_for(lambda: before - targets(server), "target less")
    assert gone.startswith("pp3")
    sdist = pure_sdist("pure", "1.0")
    pypi.add("pure", sdist.filename, sdist.data)
    server.download("pure", sdist.filename, user_agent=pip_agent)
    server.wait_for_build("pure", "SUCCEEDED")


def targets(server: Server) -> set[str]:
    return {one["target"] for one in server.ask("/api/v1/targets").json["targets"]}


@pytest.mark.skipif(os.geteuid() != 0, reason="runc is started as root")
def test_the_builder_runs_in_a_container(pypi, pair, clients):
    """The shape of compose.yaml: no network, no capability, our system call profile, an ordinary user."""
    server, builder = pair
    sdist = c_sdist("cext", "2.0")
    pypi.add(sdist.project, sdist.filename, sdist.data)
    with container(seccomp=container_profile.profile(), masked=False) as bundle:
        builder.socket.parent.chmod(0o777)
        bundle.share(builder.socket.parent)
        bundle.share(server.temporary)
        bundle.environment["BUILDTHROUGH_BUILD__WORK_DIR"] = str(server.temporary)
        builder.around = bundle.command
        builder.start()
        server.start()
        assert clients().pip("install", "cext", index=server.simple).returncode == 0
        build = server.wait_for_build("cext", "SUCCEEDED")
        assert "manylinux" in build["wheel"]
        assert server.ask("/api/v1/targets").json["isolation"]["level"] == "unprivileged"
        server.stop()
        assert builder.end(signal.SIGTERM) == 0, builder.log.read_text()


def builders_processes() -> list[int]:
    """Return the processes of the user that builds."""
    if os.geteuid() != 0:
        return []
    return [
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal() and _owner(entry) == uids.SERVER
    ]


def _owner(process: Path) -> int | None:
    try:
        return process.stat().st_uid
    except FileNotFoundError:
        return None
