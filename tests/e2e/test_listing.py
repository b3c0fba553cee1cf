"""A built wheel lives and dies with its sdist's listing."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from tests.e2e.server import JSON, wait_for
from tests.fakes.faults import Fault
from tests.fakes.sdists import intree_sdist, pure_sdist
from tests.fakes.wheels import make_wheel

SDIST = "pure-1.0.tar.gz"
BINARY = ("install", "--only-binary", ":all:")


@pytest.fixture
def built(pypi, server, pip_agent):
    """Return the file name and URL of a wheel that was built from ``pure`` 1.0."""
    pypi.add("pure", SDIST, pure_sdist("pure", "1.0").data)
    server.download("pure", SDIST, user_agent=pip_agent)
    wheel = server.wait_for_build("pure", "SUCCEEDED")["wheel"]
    return wheel, server.listed("pure")[wheel]["url"]


def etag(server):
    return server.ask("/simple/pure/", Accept=JSON).headers["ETag"]


def test_yank_unyank_remove_return_quarantine_clear(pypi, server, clients, built):
    wheel, url = built
    data = server.ask(url).body
    seen = [etag(server)]

    pypi.yank(SDIST, "breaks everything")
    assert server.listed("pure")[wheel]["yanked"] == "breaks everything"
    assert server.ask(url).body == data
    assert clients().pip(*BINARY, "pure", index=server.simple).returncode != 0
    pinned = clients().pip(*BINARY, "pure==1.0", index=server.simple)
    assert pinned.returncode == 0
    assert "breaks everything" in pinned.stdout + pinned.stderr
    seen.append(etag(server))

    pypi.yank(SDIST)
    assert server.listed("pure")[wheel]["yanked"] is True
    seen.append(etag(server))

    pypi.unyank(SDIST)
    assert server.listed("pure")[wheel]["yanked"] is False
    assert clients().pip(*BINARY, "pure", index=server.simple).returncode == 0
    seen.append(etag(server))

    pypi.remove(SDIST)
    assert server.page("pure")["files"] == []
    assert server.ask(url).status == 404
    assert server.ask(url + ".metadata").status == 404
    assert clients().pip("install", "pure", index=server.simple).returncode != 0
    seen.append(etag(server))

    pypi.bring_back(SDIST)
    assert server.ask(url).body == data
    assert clients().pip(*BINARY, "pure", index=server.simple).returncode == 0
    seen.append(etag(server))

    pypi.quarantine("pure")
    page = server.page("pure")
    assert (page["files"], page["project-status"]["status"]) == ([], "quarantined")
    assert server.ask(url).status == 404
    assert clients().pip("install", "pure", index=server.simple).returncode != 0
    seen.append(etag(server))

    pypi.clear("pure")
    assert wheel in server.listed("pure")
    assert server.ask(url).body == data
    seen.append(etag(server))
    assert all(before != after for before, after in pairwise(seen))
    assert len(server.builds()) == 1


def test_other_bytes_under_the_same_name(pypi, server, built, pip_agent):
    wheel, url = built
    pypi.replace(SDIST, intree_sdist("pure", "1.0", chatter="other bytes").data)
    assert wheel not in server.listed("pure")
    assert server.ask(url).status == 404
    server.download("pure", SDIST, user_agent=pip_agent)
    wait_for(lambda: len(server.builds("pure")) == 2, "second build")
    again = server.wait_for_build("pure", "SUCCEEDED")["wheel"]
    data = server.ask(server.listed("pure")[again]["url"]).body
    # The chatter is no part of the wheel: the same bytes again, so the same name and the same URL, which serve again.
    assert (again, server.listed("pure")[again]["url"]) == (wheel, url)
    assert hashlib.sha256(data).hexdigest() in url


def test_upstream_publishes_its_own_wheel(pypi, server, clients, built, tmp_path):
    wheel, url = built
    data = server.ask(url).body
    theirs = make_wheel(tmp_path, name="pure", version="1.0")
    pypi.add("pure", theirs.name, theirs.read_bytes())
    listed = server.listed("pure")
    assert [name for name in listed if name.endswith(".whl")] == [theirs.name]
    assert listed[theirs.name]["hashes"]["sha256"] == pypi.file(theirs.name).sha256
    assert server.ask(url).body == data
    assert clients().pip(*BINARY, "pure", index=server.simple).returncode == 0
    pypi.remove(theirs.name)
    assert server.listed("pure")[wheel]["url"] == url


def test_a_yanked_sdist_is_not_built(pypi, server, pip_agent):
    pypi.add("pure", SDIST, pure_sdist("pure", "1.0").data, yanked="bad")
    server.download("pure", SDIST, user_agent=pip_agent)
    assert server.builds_after("yanked") == []


@pytest.mark.parametrize(
    "fault", [Fault(status=503), Fault(status=500), Fault(drop=True), Fault(status=200, body=b"{", content_type=JSON)]
)
def test_upstream_that_fails_takes_nothing_away(pypi, server, built, fault):
    _, url = built
    before = server.ask("/simple/pure/", Accept=JSON).body
    pypi.fault("/simple/*", fault)
    answer = server.ask("/simple/pure/", Accept=JSON)
    assert (answer.status, answer.body) == (200, before)
    assert server.ask(url).status == 200
    assert server.ask("/simple/never-asked-before/", Accept=JSON).status in {502, 503}
    pypi.heal()
    assert server.ask("/simple/never-asked-before/", Accept=JSON).status == 404


def test_upstream_that_is_gone(pypi, server, built, clients):
    pypi.stop()
    try:
        assert clients().pip(*BINARY, "pure", index=server.simple).returncode == 0
        assert server.ask("/simple/never-asked-before/", Accept=JSON).status == 503
        assert server.ask("/health/ready").status == 200
    finally:
        pypi.start()


def test_strict_pass_through_shows_no_built_wheel(server, built):
    answer = server.ask("/upstream/simple/pure/", Accept=JSON)
    assert [entry["filename"] for entry in answer.json["files"]] == [SDIST]
