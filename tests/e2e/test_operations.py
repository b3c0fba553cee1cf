"""What operators do: look, purge, ask again; and what they see when a build fails."""

from __future__ import annotations

import pytest
from tests.e2e.server import wait_for
from tests.fakes.sdists import broken_sdist, pure_sdist

SDIST = "pure-1.0.tar.gz"
MESSAGE = "fatal error: zork.h: No such file or directory"


@pytest.fixture
def built(pypi, server, pip_agent):
    pypi.add("pure", SDIST, pure_sdist("pure", "1.0").data)
    server.download("pure", SDIST, user_agent=pip_agent)
    wheel = server.wait_for_build("pure", "SUCCEEDED")["wheel"]
    return wheel, server.listed("pure")[wheel]["url"]


def test_purge(server, built, pip_agent):
    wheel, url = built
    tried = server.operate("/api/v1/purge", project="pure", dry_run=True)
    assert [gone["filename"] for gone in tried.json["purged"]] == [wheel]
    assert wheel in server.listed("pure")
    done = server.operate("/api/v1/purge", project="pure")
    assert (done.status, [gone["filename"] for gone in done.json["purged"]]) == (200, [wheel])
    assert list(server.listed("pure")) == [SDIST]
    assert server.ask(url).status == 404
    assert server.ask(url + ".metadata").status == 404
    server.download("pure", SDIST, user_agent=pip_agent)  # a miss again: the tombstone holds
    assert len(server.builds_after("buried")) == 1
    assert list(server.listed("pure")) == [SDIST]


def test_purge_that_allows_to_build_again(server, built, pip_agent):
    server.operate("/api/v1/purge", project="pure", version="1.0", allow_rebuild=True)
    server.download("pure", SDIST, user_agent=pip_agent)
    wait_for(lambda: len(server.builds()) == 2, "second build")
    second = server.wait_for_build("pure", "SUCCEEDED")
    assert len(server.builds()) == 2
    assert second["wheel"] in server.listed("pure")


def test_an_operator_asks_for_what_was_purged(server, built):
    server.operate("/api/v1/purge", project="pure")
    target = server.builds("pure")[0]["target"]
    asked = server.operate("/api/v1/builds", name="pure", version="1.0", target=target)
    assert asked.status == 202
    assert server.wait_for_build("pure", "SUCCEEDED")["wheel"] in server.listed("pure")


def test_purge_what_upstream_has_yanked_since(pypi, server, built):
    wheel, url = built
    assert server.operate("/api/v1/purge", yanked=True).json["purged"] == []
    pypi.yank(SDIST, "broken")
    assert [gone["filename"] for gone in server.operate("/api/v1/purge", yanked=True).json["purged"]] == [wheel]
    assert server.ask(url).status == 404


def test_changes_need_the_token(world):
    server = world.server
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic " + server.token}):
        assert server.ask("/api/v1/purge", method="POST", body={"project": "shared"}, **headers).status == 401
    assert len(server.listed("shared")) == 2
    assert (server.data / "admin.token").stat().st_mode & 0o077 == 0


def test_a_failure_is_recorded_and_not_repeated(pypi, server, clients, pip_agent):
    pypi.add("broken", "broken-1.0.tar.gz", broken_sdist(MESSAGE).data)
    installed = clients().pip("install", "broken", index=server.simple)
    assert installed.returncode != 0  # it is the package: pip's own build fails as well
    build = server.wait_for_build("broken", "FAILED")
    assert (build["stage"], build["line"]) == ("build", MESSAGE)
    assert build["fault"].startswith("syslib")
    assert MESSAGE in server.build_log(build["id"])
    server.download("broken", "broken-1.0.tar.gz", user_agent=pip_agent)
    assert len(server.builds_after("failed-before")) == 1
    assert list(server.listed("broken")) == ["broken-1.0.tar.gz"]


def test_the_command_line_finds_the_running_server(pypi, server, built):
    wheel, _ = built
    shown = server.run("builds")
    assert shown.returncode == 0, shown.stderr
    assert "SUCCEEDED" in shown.stdout.upper()
    assert "pure" in shown.stdout
    build = server.builds("pure")[0]
    assert server.run("log", str(build["id"])).stdout.strip() == server.build_log(build["id"]).strip()
    tried = server.run("purge", "pure", "--dry-run")
    assert wheel in tried.stdout
    assert wheel in server.listed("pure")
    done = server.run("purge", "pure")
    assert done.returncode == 0, done.stderr
    assert wheel not in server.listed("pure")


def test_metrics_and_probes(world):
    server = world.server
    assert server.ask("/health/live").status == 200
    assert server.ask("/health/ready").status == 200
    figures = server.ask("/metrics").body.decode()
    assert "# TYPE" in figures
    assert "build" in figures


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/simple/..%2f..%2fetc/", {400, 404}),
        ("/simple/%00/", {400, 404}),
        ("/simple/a%0a/", {400, 404}),
        ("/simple/-/", {400, 404}),
        ("/files/pure/packages/../../admin.token", {400, 404}),
        ("/files/pure/%2e%2e/%2e%2e/admin.token", {400, 404}),
        ("/built/pure/0000/x.whl", {400, 404}),
        ("/nowhere", {404}),
        ("/api/v1/builds/999999", {404}),
        ("/api/v1/builds/x", {400, 404}),
    ],
)
def test_bad_paths(world, path, statuses):
    pypi, server = world.pypi, world.server
    pypi.forget_requests()
    answer = server.ask(path)
    assert answer.status in statuses
    assert b"Traceback" not in answer.body
    assert {request.path for request in pypi.requests} <= {"/simple/pure/"}  # nothing but the page of a real name
    assert server.ask("/health/live").status == 200


def test_giant_headers(world):
    server = world.server
    answer = server.ask("/simple/pure/", User_Agent="x" * 60_000)
    assert answer.status in {200, 400, 404, 431}
    assert server.ask("/health/live").status == 200
