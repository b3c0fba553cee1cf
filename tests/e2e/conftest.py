"""A server before the fake index, and clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.e2e.clients import Client, make_client, pip_user_agent
from tests.e2e.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fakes.pypi import FakePyPI


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
