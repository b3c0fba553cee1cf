"""A server on a real port before the fake index, which lists a sdist and a wheel of ``demo``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.fakes.sdists import pure_sdist
from tests.fakes.wheels import make_wheel
from tests.integration.assembled import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.fakes.pypi import FakeFile, FakePyPI
    from tests.integration.assembled import Site

    from buildthrough.proxy.built import BuiltWheel


@pytest.fixture
async def site(pypi: FakePyPI, tmp_path: Path) -> AsyncIterator[Site]:
    """Serve; each page is asked for anew."""
    async with serving(pypi.simple, tmp_path) as running:
        yield running


@pytest.fixture
def sdist(pypi: FakePyPI) -> FakeFile:
    """List the sdist of demo 1.0."""
    return pypi.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data, upload_time="2015-01-02T03:04:05.000006Z")


@pytest.fixture
def upstream_wheel(pypi: FakePyPI, tmp_path: Path) -> FakeFile:
    """List a wheel of demo 2.0, with a plus sign in its name."""
    path = make_wheel(tmp_path, name="demo", version="2.0+cu130", requires_python=">=3.8")
    return pypi.add("demo", path.name, path.read_bytes())


@pytest.fixture
async def wheel(site: Site, sdist: FakeFile) -> BuiltWheel:
    """Publish a wheel of the sdist as a build would have."""
    return await site.publish(sdist, requires_python=">=3.8")
