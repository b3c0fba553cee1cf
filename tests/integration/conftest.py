"""The assembled application in front of the fake index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.fakes.later import Later
from tests.integration.assembled import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.fakes.pypi import FakePyPI
    from tests.integration.assembled import Site


@pytest.fixture
async def site(pypi: FakePyPI, tmp_path: Path) -> AsyncIterator[Site]:
    """Serve; each page is asked for anew."""
    async with serving(pypi.simple, tmp_path) as running:
        yield running


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Let pages grow old when the test says so."""
    return Later(monkeypatch)
