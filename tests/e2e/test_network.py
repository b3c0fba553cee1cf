"""The README's commands and real sdists of many kinds, against PyPI as this machine reaches it.

No sdist's code runs outside the sandbox: apart from the README's own examples, the sdist is asked for as pip would ask,
with pip's own User-Agent, and pip itself installs the wheel only.
"""

from __future__ import annotations

import os

import pytest
from packaging.utils import canonicalize_name
from tests.e2e.clients import make_client, pip_user_agent
from tests.e2e.server import Server

from buildthrough.proxy.entry import sdist_identity

pytestmark = [pytest.mark.network, pytest.mark.timeout(600)]

BINARY = ("install", "--no-deps", "--only-binary", ":all:")

BUILDABLE = [
    ("docopt", "0.6.2", "docopt"),
    ("markupsafe", "2.0.1", "markupsafe"),
    ("markupsafe", "1.1.1", "markupsafe"),
    ("crcmod", "1.7", "crcmod"),
    ("zope.interface", "5.1.0", "zope.interface"),
    ("sqlalchemy", "1.4.40", "sqlalchemy"),
    ("coverage", "4.5.4", "coverage"),
    ("dill", "0.3.1.1", "dill"),
    ("paho-mqtt", "1.6.1", "paho.mqtt"),
    ("sgmllib3k", "1.0.0", "sgmllib"),
    ("timeout-decorator", "0.5.0", "timeout_decorator"),
    ("junit-xml", "1.8", None),
    ("langdetect", "1.0.9", None),
    ("watchdog", "0.10.2", None),
    ("petl", "1.7.15", "petl"),
    ("requests-hardened", "1.0.0b3", None),
]
"""Project, version, and a module that can be imported without the package's dependencies."""

C_EXTENSIONS = {"markupsafe", "crcmod", "zope.interface", "sqlalchemy"}
EITHER = {"coverage"}
"""Leaves its extension out where that does not compile."""

UNBUILDABLE = [
    ("pycrypto", "2.6.1", "capi"),
    ("demjson", "2.2.4", "rot.setuptools"),
    ("dbus-python", "1.4.0", "syslib"),
]
"""Project, version, and how the fault's class begins."""


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
def client(tmp_path):
    """Make an environment whose clients are told of no other index than the server's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_"))}
    variables = {**kept, "PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1", "no_proxy": "127.0.0.1"}
    return make_client(tmp_path / "client", variables)


def sdist_of(server, project, version):
    for name in server.listed(canonicalize_name(project)):
        if sdist_identity(name) == (canonicalize_name(project), version):
            return name
    raise AssertionError(f"PyPI lists no sdist of {project} {version}")


def install(done):
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


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


@pytest.mark.parametrize("row", BUILDABLE, ids=lambda row: "-".join(row[:2]))
def test_real_sdist(server, client, agent, row):
    project, version, module = row
    name = sdist_of(server, project, version)
    server.download(canonicalize_name(project), name, user_agent=agent)
    build = server.wait_for_build(canonicalize_name(project), "SUCCEEDED", version=version, seconds=300)
    assert (build["version"], build["sdist"]) == (version, name)
    assert "-linux_" not in build["wheel"]
    if project not in EITHER:
        assert ("manylinux" in build["wheel"]) == (project in C_EXTENSIONS)
    install(client.pip(*BINARY, f"{project}=={version}", index=server.simple))
    if module is not None:
        assert client.check(module, "__name__") == module


@pytest.mark.parametrize(("project", "version", "fault"), UNBUILDABLE)
def test_real_sdist_that_cannot_be_built(server, agent, project, version, fault):
    name = sdist_of(server, project, version)
    server.download(canonicalize_name(project), name, user_agent=agent)
    build = server.wait_for_build(canonicalize_name(project), "FAILED", version=version, seconds=300)
    assert build["fault"].startswith(fault), build
    assert build["line"] in server.build_log(build["id"])
    assert not [wheel for wheel in server.listed(canonicalize_name(project)) if f"-{version}-" in wheel]
