"""Two generations of pip and of uv against one server. What differs between them is in ``docs/clients.md``."""

from __future__ import annotations

import pytest
from tests.e2e.server import wait_for
from tests.e2e.tools import INSTALLERS
from tests.e2e.world import module, ok, refused
from tests.fakes.faults import Fault
from tests.fakes.wheels import make_wheel

BINARY = ("--only-binary", ":all:")


@pytest.mark.parametrize("tool", INSTALLERS)
def test_a_wheel_an_sdist_and_then_the_wheel_that_was_built(world, installers, tool):
    """With a warm cache all along: what is added later must be seen (T10)."""
    name = f"new-{tool.replace('.', '-')}"
    world.sdist(name)
    first = installers(tool)
    refused(first.install(*BINARY, name, index=world.index))
    assert world.server.builds(name) == []  # a page alone is no miss
    ok(first.install(name, "theirs", index=world.index))
    assert first.client.check(module(name)) == "42"
    assert first.client.check("theirs", "__version__") == "2.0"
    wheel = world.server.wait_for_build(name, "SUCCEEDED")["wheel"]
    ours = world.number(name, wheel)
    second = installers(tool, cache=first.cache)
    ok(second.install(name, index=world.index))
    # A uv that has built a wheel of the same file name itself keeps to it, unless it is told to take none.
    assert (second.client.check(module(name), "BUILD") == ours) == tool.startswith("pip-")
    third = installers(tool, cache=first.cache)
    ok(third.install(*BINARY, name, index=world.index))
    assert third.client.check(module(name), "BUILD") == ours
    assert len(world.server.builds(name)) == 1


@pytest.mark.parametrize("tool", INSTALLERS)
def test_a_yanked_version_is_refused_unless_it_is_pinned(world, installers, tool):
    sdist = world.sdist_name("shared")
    machine = installers(tool)
    world.pypi.yank(sdist, "breaks everything")
    try:
        refused(machine.install(*BINARY, "shared", index=world.index))
        done = ok(machine.install(*BINARY, "shared==1.0", index=world.index))
        assert "breaks everything" in done.stdout + done.stderr
    finally:
        world.pypi.unyank(sdist)


@pytest.mark.parametrize("tool", INSTALLERS)
def test_the_hash_of_the_sdist_alone_installs_the_sdist(world, installers, tmp_path, tool):
    (wheel,) = (name for name in world.server.listed("shared") if name.endswith(".whl"))
    locked = tmp_path / "locked.txt"
    locked.write_text(f"shared==1.0 --hash=sha256:{world.pypi.file(world.sdist_name('shared')).sha256}\n")
    machine = installers(tool)
    ok(machine.install("--require-hashes", "-r", str(locked), index=world.index))
    assert machine.client.check("shared", "BUILD") != world.number("shared", wheel)
    locked.write_text(f"shared==1.0 --hash=sha256:{'0' * 64}\n")
    refused(installers(tool).install("--require-hashes", "-r", str(locked), index=world.index))


@pytest.mark.parametrize("tool", INSTALLERS)
def test_a_recalled_wheel_is_replaced_in_spite_of_caches(world, installers, tool):
    """The new one has another file name: nothing else makes each of them take it (T9)."""
    name = f"recalled-{tool.replace('.', '-')}"
    world.sdist(name)
    old = world.build(name)
    url = world.server.listed(name)[old]["url"]
    before = installers(tool)
    ok(before.install(*BINARY, name, index=world.index))
    assert before.client.check(module(name), "BUILD") == world.number(name, old)
    world.server.operate("/api/v1/purge", project=name, allow_rebuild=True)
    new = world.build(name)
    assert new == old.replace("-1.0-", "-1.0-1-")
    after = installers(tool, cache=before.cache)
    ok(after.install(*BINARY, name, index=world.index))
    assert after.client.check(module(name), "BUILD") == world.number(name, new)
    assert world.server.ask(url).status == 404  # the operator's choice


@pytest.mark.parametrize("tool", INSTALLERS)
def test_a_page_that_did_not_change_is_asked_for_by_its_etag(world, installers, tool):
    first = installers(tool)
    begun = world.answers().get("200", 0)
    ok(first.install(*BINARY, "shared", index=world.index))
    wait_for(lambda: world.answers().get("200", 0) > begun, "count of its page")  # it is counted when it has left
    before = world.answers()
    second = installers(tool, cache=first.cache)
    ok(second.install(*BINARY, "shared", index=world.index))
    after = wait_for(lambda: (now := world.answers()) != before and now, "other counts")
    assert after == {**before, "304": before.get("304", 0) + 1}


@pytest.mark.parametrize("tool", INSTALLERS)
def test_a_project_that_we_do_not_know_is_looked_for_elsewhere(world, installers, tmp_path, tool):
    wheel = make_wheel(tmp_path, name="elsewhere", version="1.0")
    world.other.add("elsewhere", wheel.name, wheel.read_bytes())
    machine = installers(tool)
    ok(machine.install("elsewhere", index=world.index, also=world.other.simple))
    assert machine.client.check("elsewhere", "__version__") == "1.0"


@pytest.mark.parametrize("tool", INSTALLERS)
def test_a_server_that_cannot_answer_is_no_server_that_does_not_know(world, installers, tmp_path, tool):
    """503 stops uv. Each pip goes on to the next index all the same: nothing that a server says prevents it."""
    wheel = make_wheel(tmp_path, name="guarded", version="1.0")
    world.other.add("guarded", wheel.name, wheel.read_bytes())
    world.pypi.fault("/simple/guarded/", Fault(status=503))
    try:
        done = installers(tool).install("guarded", index=world.index, also=world.other.simple, retries=0)
    finally:
        world.pypi.heal()
    assert (done.returncode == 0) == tool.startswith("pip-"), done.stdout + done.stderr
