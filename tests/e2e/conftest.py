"""A server before the fake index, and clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.e2e.clients import Client, make_client, pip_user_agent
from tests.e2e.server import Server
from tests.e2e.tools import Installer, make_installer
from tests.e2e.world import World
from tests.fakes.pypi import FakePyPI
from tests.fakes.wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def servers(pypi: FakePyPI) -> Iterator[Callable[..., Server]]:
    """Make servers that are not started yet; whatever runs at the end is stopped by SIGTERM, and that must be clean."""
    made: list[Server] = []

    def make(**options) -> Server:
        server = Server(options.pop("upstream", pypi.simple), **options)
        made.append(server)
        return server

    yield make
    try:
        for server in made:
            server.stop()
    finally:
        for server in made:
            server.close()


@pytest.fixture
def server(servers: Callable[..., Server]) -> Server:
    """Start a server in front of the fake index."""
    return servers().start()


@pytest.fixture
def clients(tmp_path: Path, offline: dict[str, str]) -> Callable[..., Client]:
    """Make fresh virtual environments."""
    count = iter(range(1000))

    def make(**options) -> Client:
        return make_client(tmp_path / f"client{next(count)}", offline, **options)

    return make


@pytest.fixture
def client(clients: Callable[..., Client]) -> Client:
    """Make one fresh virtual environment."""
    return clients()


@pytest.fixture(scope="session")
def pip_agent() -> str:
    """Ask a real pip what User-Agent it sends."""
    from tests.fakes.dial import offline_environment

    return pip_user_agent(offline_environment())


@pytest.fixture(scope="module")
def world(pip_agent: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Serve ``shared``, of which we built a wheel, and ``theirs``, of which upstream has one."""
    with FakePyPI() as pypi, FakePyPI() as other:
        server = Server(pypi.simple)
        try:
            world = World(pypi=pypi, other=other, server=server.start(), agent=pip_agent)
            world.sdist("shared")
            world.build("shared")
            wheel = make_wheel(tmp_path_factory.mktemp("wheels"), name="theirs", version="2.0")
            pypi.add("theirs", wheel.name, wheel.read_bytes())
            yield world
            server.stop()
        finally:
            server.close()


@pytest.fixture
def installers(tmp_path: Path, offline: dict[str, str]) -> Callable[..., Installer]:
    """Make environments for a client, with a cache of their own or a given one."""
    count = iter(range(1000))

    def make(tool: str, **options) -> Installer:
        return make_installer(tmp_path / f"machine{next(count)}", offline, tool, **options)

    return make
