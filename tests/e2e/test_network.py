"""The README's commands and real sdists of many kinds, against PyPI as this machine reaches it.

No sdist's code runs outside the sandbox: apart from the README's own examples, the sdist is asked for as pip would ask,
with pip's own User-Agent, and pip itself installs the wheel only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
from packaging.utils import canonicalize_name
from tests.e2e.clients import find_pypy, make_client, pip_user_agent
from tests.e2e.real_sdists import BUILDABLE, NESTED, SLOW, UNBUILDABLE
from tests.e2e.server import Server, wait_for

from buildthrough.proxy.entry import sdist_identity

pytestmark = [pytest.mark.network, pytest.mark.timeout(1500)]

BINARY = ("install", "--no-deps", "--only-binary", ":all:")
TRIED = (*BUILDABLE, *SLOW) if os.environ.get("REAL_SDISTS") == "all" else BUILDABLE
WAIT_SECONDS = 1200 if TRIED != BUILDABLE else 400
"""For one build and those before it."""


@pytest.fixture(scope="module")
def server():
    """Run one server for all: pages and requirements are asked of PyPI once."""
    made = Server(None, network=True, environment={"BUILDTHROUGH_UPSTREAM__PAGE_TTL": "60"})
    try:
        yield made.start()
        made.stop()
    finally:
        made.close()


@pytest.fixture(scope="module")
def agent():
    return pip_user_agent(dict(os.environ))


@pytest.fixture
def variables():
    """Give environment variables that tell clients of no other index than the server's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_"))}
    return {**kept, "PIP_CONFIG_FILE": os.devnull, "no_proxy": "127.0.0.1"}


@pytest.fixture
def client(tmp_path, variables):
    return make_client(tmp_path / "client", variables)


def identify(row):
    return f"{row.project}-{row.version}"


def sdist_of(server, project, version):
    for name in server.listed(canonicalize_name(project)):
        if sdist_identity(name) == (canonicalize_name(project), version):
            return name
    raise AssertionError(f"PyPI lists no sdist of {project} {version}")


def install(done):
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def has_library(name):
    known = shutil.which("pkg-config")
    return known is not None and subprocess.run([known, "--exists", name], check=False).returncode == 0


def docopt_is_built(server, agent):
    server.download("docopt", "docopt-0.6.2.tar.gz", user_agent=agent)
    server.wait_for_build("docopt", "SUCCEEDED", version="0.6.2", seconds=WAIT_SECONDS)


def test_requests_passes_through(server, client):
    install(client.pip("install", "requests", index=server.simple))
    assert client.check("requests", "__version__")
    assert server.builds("requests") == []


def test_docopt_as_the_readme_says(server, client, tmp_path):
    install(client.pip("install", "docopt==0.6.2", index=server.simple))
    server.wait_for_build("docopt", "SUCCEEDED", version="0.6.2")
    second = make_client(tmp_path / "second", client.variables)
    install(second.pip("install", "--no-cache-dir", "--only-binary", ":all:", "docopt==0.6.2", index=server.simple))
    assert second.check("docopt", "__version__") == "0.6.2"


def test_markupsafe_by_uv_as_the_readme_says(server, client, tmp_path):
    install(client.uv("install", "markupsafe==2.1.1", index=server.simple))
    build = server.wait_for_build("markupsafe", "SUCCEEDED", version="2.1.1")
    assert "manylinux" in build["wheel"]
    second = make_client(tmp_path / "second", client.variables)
    install(second.uv(*BINARY, "markupsafe==2.1.1", index=server.simple))
    assert second.check("markupsafe", "_speedups.escape('<')") == "&lt;"


@pytest.fixture(scope="module")
def submitted(server, agent):
    """Download all sdists as pip does, so that two are built at any time; return their file names."""
    names = {}
    for row in (*TRIED, *UNBUILDABLE):
        names[row] = sdist_of(server, row.project, row.version)
        server.download(canonicalize_name(row.project), names[row], user_agent=agent)
    return names


@pytest.mark.parametrize("row", TRIED, ids=identify)
def test_real_sdist(server, client, submitted, row):
    project = canonicalize_name(row.project)
    build = server.wait_for_build(project, "SUCCEEDED", version=row.version, seconds=WAIT_SECONDS)
    assert (build["version"], build["sdist"]) == (row.version, submitted[row])
    assert row.platform in build["wheel"], row.kind
    assert "-linux_" not in build["wheel"]
    install(client.pip(*BINARY, f"{row.project}=={row.version}", index=server.simple))
    if row.module is not None:
        assert client.check(row.module, "__name__") == row.module


def test_build_requirement_without_a_wheel_is_built_first(server, submitted):
    parent = server.wait_for_build(NESTED.project, "SUCCEEDED", version=NESTED.version, seconds=WAIT_SECONDS)
    (child,) = server.builds("versiontools")
    assert child["state"] == "SUCCEEDED"
    assert parent["created"] < child["created"] < child["finished"] < parent["finished"]
    assert f"[build requirement {child['wheel']} " in server.build_log(parent["id"])


@pytest.mark.parametrize("row", UNBUILDABLE, ids=identify)
def test_real_sdist_that_cannot_be_built(server, agent, submitted, row):
    if row.lacking and has_library(row.lacking):
        pytest.skip(f"this machine has {row.lacking}")
    project = canonicalize_name(row.project)
    build = server.wait_for_build(project, "FAILED", version=row.version, seconds=WAIT_SECONDS)
    assert build["fault"].startswith(row.faults), build
    assert build["line"] in server.build_log(build["id"])
    assert not [entry for entry in server.listed(project).values() if "/built/" in entry["url"]]
    failed_before = server.downloads("failed-before")
    server.download(project, submitted[row], user_agent=agent)
    wait_for(lambda: server.downloads("failed-before") > failed_before, "word that it failed before")
    assert [each["id"] for each in server.builds(project)] == [build["id"]], "it was remembered"


@pytest.mark.skipif(find_pypy() is None, reason="needs pypy3")
def test_pypy_gets_a_wheel_of_its_own(server, tmp_path, variables):
    pypy = make_client(tmp_path / "pypy", variables, interpreter=find_pypy())
    agent = pip_user_agent(dict(os.environ), pypy.python)
    server.download("netifaces", sdist_of(server, "netifaces", "0.11.0"), user_agent=agent)
    build = server.wait_for_build("netifaces", "SUCCEEDED", target="pp3", seconds=WAIT_SECONDS)
    assert re.search(r"-pp3\d+-pypy3\d+_pp73-manylinux", build["wheel"])
    install(pypy.pip(*BINARY, "netifaces==0.11.0", index=server.simple))
    assert pypy.check("netifaces", "__name__") == "netifaces"


def test_the_index_as_it_was(server, client):
    install(client.pip("install", "requests", index=f"{server.url}/at/2022-01-01T00:00:00Z/simple/"))
    assert client.check("requests", "__version__") == "2.26.0"


def test_lock_file_of_uv_holds_the_wheel(server, client, agent):
    """Locked with an empty cache, installed from the lock with an empty cache: no build on the client."""
    docopt_is_built(server, agent)
    (client.folder / "pyproject.toml").write_text(
        '[project]\nname = "locked"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["docopt==0.6.2"]\n'
        f'[[tool.uv.index]]\nurl = "{server.simple}"\ndefault = true\n'
    )
    install(client.uv_project("lock"))
    lock = (client.folder / "uv.lock").read_text()
    assert "/built/docopt/" in lock
    for _ in range(2):
        install(client.uv_project("sync", "--locked", "--no-build"))
        shutil.rmtree(client.folder / ".venv")
    assert (client.folder / "uv.lock").read_text() == lock


def test_hash_of_the_sdist_alone_still_installs_the_sdist(server, client, agent):
    """The README's own example: docopt's sdist is the only one that a client builds here."""
    docopt_is_built(server, agent)
    digest = server.listed("docopt")[sdist_of(server, "docopt", "0.6.2")]["hashes"]["sha256"]
    requirements = client.folder / "requirements.txt"
    requirements.write_text(f"docopt==0.6.2 --hash=sha256:{digest}\n")
    done = client.pip("install", "--require-hashes", "-r", str(requirements), index=server.simple)
    install(done)
    assert "docopt-0.6.2.tar.gz" in done.stdout
    assert client.check("docopt", "__version__") == "0.6.2"
