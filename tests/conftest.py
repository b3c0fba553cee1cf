"""What all tests stand on: the dial guard around each, and the fake index."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.fakes.dial import guard, offline_environment
from tests.fakes.pypi import FakePyPI

if TYPE_CHECKING:
    from collections.abc import Iterator

# Tests start hundreds of Pythons, each of which would compile all of our modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.fixture(autouse=True)
def dial_guard(request: pytest.FixtureRequest) -> Iterator[None]:
    """Refuse to reach other machines, in each test that is not marked ``network``."""
    if request.node.get_closest_marker("network") is not None:
        yield
        return
    with guard():
        yield


@pytest.fixture(autouse=True)
def _no_outer_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no setting of the machine that runs the tests reach the code under test."""
    for name in list(os.environ):
        if name.startswith("BUILDTHROUGH_"):
            monkeypatch.delenv(name)


@pytest.fixture
def pypi() -> Iterator[FakePyPI]:
    """Start a fake index on a loopback socket, empty at first."""
    with FakePyPI() as index:
        yield index


@pytest.fixture
def offline() -> dict[str, str]:
    """Return an environment for subprocesses in which outward calls fail at once."""
    return offline_environment()
