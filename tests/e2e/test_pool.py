"""The pool of a real server by real commands: what waits and why, drain, cancel, a yank while a build runs."""

from __future__ import annotations

import pytest
from tests.e2e.server import wait_for
from tests.fakes.sdists import pure_sdist, slow_sdist

LONG = 600.0


@pytest.fixture
def slow(pypi):
    """Three projects whose builds take longer than any test."""
    for name in ("one", "two", "three"):
        pypi.add(name, f"{name}-1.0.tar.gz", slow_sdist(LONG, name).data)


def states(server):
    return {build["project"]: build["state"] for build in server.builds()}


def test_cancel_drain_and_resume_by_commands(pypi, servers, slow, pip_agent):
    environment = {"BUILDTHROUGH_BUILD__SLOTS": "2", "BUILDTHROUGH_UPSTREAM__PAGE_TTL": "0"}
    server = servers(environment=environment).start()
    for name in ("one", "two", "three"):
        server.download(name, f"{name}-1.0.tar.gz", user_agent=pip_agent)
        wait_for(lambda name=name: name in states(server), name)
    wait_for(lambda: sorted(states(server).values()) == ["QUEUED", "RUNNING", "RUNNING"], "two builds")
    assert "waits for its turn, number 1" in server.run("builds").stdout

    drained = server.run("drain")
    assert (drained.returncode, "those that run now (2) go on" in drained.stdout) == (0, True)
    assert "`buildthrough resume`" in server.run("builds", "--project", "three").stdout
    one = server.builds("one")[0]["id"]
    assert server.run("cancel", str(one)).stdout == f"1 build cancelled: {one}.\n"
    assert server.wait_for_build("one", "CANCELLED")["fault"] == "cancelled.operator"
    pypi.yank("two-1.0.tar.gz", "broken")
    server.page("two")
    assert server.wait_for_build("two", "CANCELLED")["fault"] == "cancelled.yanked"
    waited = server.run("drain", "--wait")
    assert waited.stdout == "No more builds are started, and none runs.\n"
    assert states(server)["three"] == "QUEUED"

    pypi.add("four", "four-1.0.tar.gz", pure_sdist("four").data)
    server.stop()
    server.start()
    server.download("four", "four-1.0.tar.gz", user_agent=pip_agent)
    assert "four-1.0.tar.gz" in server.listed("four")
    assert b"buildthrough_pool_draining 1.0" in server.ask("/metrics").body
    server.run("cancel", "--project", "three")
    assert server.run("resume").returncode == 0
    assert server.wait_for_build("four", "SUCCEEDED")["wheel"] in server.listed("four")


def test_a_build_that_may_use_more_than_there_is_waits_for_nobody(pypi, servers, pip_agent):
    environment = {"BUILDTHROUGH_BUILD__MEMORY_BYTES": "1 GiB", "BUILDTHROUGH_BUILD__POOL_MEMORY_BYTES": "1 GiB"}
    server = servers(environment=environment).start()
    for name in ("one", "two"):
        pypi.add(name, f"{name}-1.0.tar.gz", slow_sdist(LONG if name == "one" else 0, name).data)
        server.download(name, f"{name}-1.0.tar.gz", user_agent=pip_agent)
        wait_for(lambda name=name: name in states(server), name)
    wait_for(lambda: states(server) == {"one": "RUNNING", "two": "QUEUED"}, "one build")
    wait_for(lambda: server.builds("two")[0]["waits"] == "budget", "word of what it waits for")
    server.run("cancel", "--project", "one")
    server.wait_for_build("two", "SUCCEEDED")
