"""Lock files of uv, poetry and pdm made through the server, and what becomes of them."""

from __future__ import annotations

import tomllib

import pytest
from tests.e2e.tools import INSTALLERS, PDM, POETRY, UVS, make_project
from tests.e2e.world import module, ok, refused


@pytest.fixture
def projects(tmp_path, offline, world):
    """Make projects whose only index is the server."""
    count = iter(range(1000))

    def make(tool, *dependencies):
        return make_project(tmp_path / f"project{next(count)}", offline, tool, world.index, *dependencies)

    return make


def built_of(world, name):
    """Return the file name and digest of the wheel that we built for a project."""
    ((filename, entry),) = ((key, entry) for key, entry in world.server.listed(name).items() if key.endswith(".whl"))
    return filename, entry["hashes"]["sha256"]


def locked_files(project):
    """Return the digests that a lock file of uv, poetry or pdm has, by project."""
    lock = tomllib.loads(project.lock_text())
    found = {}
    for package in lock["package"]:
        files = [*package.get("files", []), *package.get("wheels", [])]
        files += [package["sdist"]] if "sdist" in package else []
        found[package["name"]] = {str(file["hash"]).removeprefix("sha256:") for file in files}
    return found


@pytest.mark.parametrize("tool", UVS)
def test_a_lock_of_uv_outlives_the_cache_of_the_server(world, projects, tool):
    """Files that upstream has are fetched again; the wheel that we built is not in the cache but in the records."""
    project = projects(tool, "shared", "theirs")
    ok(project.run("lock"))
    text = project.lock_text()
    filename, digest = built_of(world, "shared")
    assert f"{world.server.url}/built/shared/{digest}/{filename}" in text
    assert f"{world.server.url}/files/theirs/packages/" in text
    assert locked_files(project)["shared"] == {digest, world.pypi.file(world.sdist_name("shared")).sha256}
    project.forget_caches()
    for kept in (world.server.data / "files").rglob("*"):
        if kept.is_file():
            kept.unlink()
    ok(project.run("sync", "--locked"))
    assert project.client.check("shared", "BUILD") == world.number("shared", filename)
    assert project.client.check("theirs", "__version__") == "2.0"
    ok(project.run("lock", "--check"))


@pytest.mark.parametrize("tool", UVS)
def test_a_lock_of_uv_that_holds_a_purged_wheel_installs_the_sdist_when_told_to(world, projects, tool):
    name = f"purged-{tool.replace('.', '-')}"
    world.sdist(name)
    world.build(name)
    project = projects(tool, name)
    ok(project.run("lock"))
    assert world.server.operate("/api/v1/purge", project=name).status == 200
    refused(project.run("sync", "--locked"))
    ok(project.run("sync", "--locked", "--no-binary-package", name))
    assert project.client.check(module(name)) == "42"


@pytest.mark.parametrize("tool", UVS)
def test_a_lock_of_uv_takes_no_wheel_that_came_later(world, projects, tool):
    """To read what the sdist requires, uv downloads it: already the lock is a miss."""
    name = f"later-{tool.replace('.', '-')}"
    world.sdist(name)
    project = projects(tool, name)
    ok(project.run("lock"))
    world.server.wait_for_build(name, "SUCCEEDED")
    _, digest = built_of(world, name)
    ok(project.run("lock"))
    assert digest not in project.lock_text()
    ok(project.run("sync", "--locked"))
    ok(project.run("lock", "--upgrade"))
    assert digest in project.lock_text()


def test_a_standard_lock_file_of_pip_is_installed_by_uv_from_its_urls(world, installers):
    """``pylock.toml`` (PEP 751) holds our URL and the digest of what was chosen; nobody asks for a page again."""
    (pip,) = (tool for tool in INSTALLERS if tool.startswith("pip-26"))
    (uv,) = (tool for tool in UVS if tool.startswith("uv-0.13"))
    machine = installers(pip)
    lock = machine.client.folder / "pylock.toml"
    ok(machine.run("lock", "shared", "--output", str(lock), index=world.index))
    filename, digest = built_of(world, "shared")
    (package,) = tomllib.loads(lock.read_text())["packages"]
    (wheel,) = package["wheels"]
    assert wheel["url"] == world.server.listed("shared")[filename]["url"]
    assert wheel["hashes"] == {"sha256": digest}
    other = installers(uv)
    ok(other.install("-r", str(lock), index="http://127.0.0.1:1/simple/"))
    assert other.client.check("shared", "BUILD") == world.number("shared", filename)


def test_poetry_adds_locks_and_installs(world, projects):
    project = projects(POETRY, "theirs")
    ok(project.run("add", "shared"))
    filename, digest = built_of(world, "shared")
    assert locked_files(project)["shared"] == {digest, world.pypi.file(world.sdist_name("shared")).sha256}
    assert world.index.rstrip("/") in project.lock_text()
    assert project.client.check("shared", "BUILD") == world.number("shared", filename)
    assert project.client.check("theirs", "__version__") == "2.0"


def test_poetry_installs_the_sdist_that_it_locked_although_there_is_a_wheel_now(world, projects):
    """The hash of the sdist is all that the lock file has (T7). Its own cache keeps poetry from seeing the wheel."""
    world.sdist("later-poetry")
    project = projects(POETRY, "later-poetry")
    ok(project.run("lock"))
    wheel = world.build("later-poetry")
    _, digest = built_of(world, "later-poetry")
    ok(project.run("install", "--no-root"))
    assert project.client.check("later_poetry", "BUILD") != world.number("later-poetry", wheel)
    ok(project.run("lock", "--regenerate"))
    assert digest not in project.lock_text()
    project.forget_caches()
    ok(project.run("lock", "--regenerate"))
    assert digest in project.lock_text()


def test_pdm_adds_locks_and_installs(world, projects):
    project = projects(PDM, "theirs")
    ok(project.run("add", "shared"))
    filename, digest = built_of(world, "shared")
    assert locked_files(project)["shared"] == {digest, world.pypi.file(world.sdist_name("shared")).sha256}
    assert project.client.check("shared", "BUILD") == world.number("shared", filename)
    assert project.client.check("theirs", "__version__") == "2.0"


def test_pdm_installs_the_sdist_that_it_locked_although_there_is_a_wheel_now(world, projects):
    world.sdist("later-pdm")
    project = projects(PDM, "later-pdm")
    ok(project.run("lock"))
    wheel = world.build("later-pdm")
    ok(project.run("sync"))
    assert project.client.check("later_pdm", "BUILD") != world.number("later-pdm", wheel)
    _, digest = built_of(world, "later-pdm")
    ok(project.run("update", "--no-sync"))
    assert digest in project.lock_text()
