"""Real sdists that today's build requirements cannot build, against PyPI as this machine reaches it."""

from __future__ import annotations

import os

import pytest
from packaging.version import Version
from tests.e2e.clients import make_client
from tests.e2e.real_sdists import ROTTEN
from tests.e2e.server import Server

pytestmark = [pytest.mark.network, pytest.mark.timeout(1500)]

NEWEST = {"demjson": ("setuptools", "58"), "pyyaml": ("cython", "3")}
"""What each was written for is older than this."""


@pytest.fixture(scope="module")
def server():
    made = Server(None, network=True, environment={"BUILDTHROUGH_UPSTREAM__PAGE_TTL": "60"})
    try:
        yield made.start()
        made.stop()
    finally:
        made.close()


@pytest.mark.parametrize("row", ROTTEN, ids=lambda row: f"{row.project}-{row.version}")
def test_rotten_sdist_is_built_with_what_it_was_written_for(server, tmp_path, row):
    asked = server.operate("/api/v1/builds", name=row.project, version=row.version)
    assert asked.status == 202, asked.body
    build = server.wait_for_build(row.project, "SUCCEEDED", version=row.version, seconds=600)
    assert build["time_cut"] is not None
    second = server.build_log(build["id"]).partition("that looks like rot: once more")[2]
    tool, limit = NEWEST[row.project]
    used = [line for line in second.splitlines() if line.lower().startswith(f"[build requirement {tool}-")]
    assert used
    assert all(Version(line.split("-")[1]) < Version(limit) for line in used)
    assert row.platform in build["wheel"]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_"))}
    client = make_client(tmp_path / "client", {**kept, "PIP_CONFIG_FILE": os.devnull, "no_proxy": "127.0.0.1"})
    done = client.pip(
        "install", "--no-deps", "--only-binary", ":all:", f"{row.project}=={row.version}", index=server.simple
    )
    assert done.returncode == 0, done.stderr
    assert client.check(row.module, "__name__") == row.module
