"""Real pip and uv under a cut-off, and before what the operator denies."""

from __future__ import annotations

import json

import pytest
from tests.fakes.pypi import FakePyPI
from tests.fakes.sdists import needy_sdist, pure_sdist
from tests.fakes.wheels import make_wheel

MAY = "2024-05-01T00:00:00Z"


def ok(done):
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def add(pypi, folder, version, uploaded, name="demo"):
    folder.mkdir(exist_ok=True)
    wheel = make_wheel(folder, name=name, version=version)
    return pypi.add(name, wheel.name, wheel.read_bytes(), upload_time=uploaded)


@pytest.fixture
def demo(pypi, tmp_path):
    """List a wheel of April and one of June."""
    add(pypi, tmp_path / "1", "1.0", "2024-04-01T00:00:00.000000Z")
    add(pypi, tmp_path / "2", "2.0", "2024-06-01T00:00:00.000000Z")
    return pypi


@pytest.mark.parametrize(("tool", "written"), [("pip", MAY), ("uv", "2024-05-01T02:00:00+02:00")])
def test_install_as_it_was(demo, server, client, tool, written):
    index = f"{server.url}/at/{written}/simple/"
    ok(getattr(client, tool)("install", "demo", index=index))
    assert client.check("demo", "__version__") == "1.0"
    done = getattr(client, tool)("install", "demo==2.0", index=index)
    assert done.returncode != 0
    assert "demo==2.0" in done.stdout + done.stderr
    assert demo.count("/packages/*2.0*") == 0


def test_a_lock_file_made_as_it_was(demo, server, client):
    index = f"{server.url}/at/{MAY}/simple/"
    (client.folder / "pyproject.toml").write_text(
        '[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = ["demo"]\n'
    )
    ok(client.uv_project("lock", "--default-index", index))
    locked = (client.folder / "uv.lock").read_text()
    assert f"{server.url}/at/{MAY}/files/demo/" in locked
    assert "demo-2.0" not in locked
    ok(client.uv_project("sync", "--locked", "--no-install-project", "--default-index", index))
    assert demo.count("/packages/*1.0*.whl") == 1


def test_a_cooldown_before_an_index_in_html(tmp_path, servers, clients):
    with FakePyPI(form="html") as pypi:
        add(pypi, tmp_path / "1", "1.0", "2024-04-01T00:00:00.000000Z")
        add(pypi, tmp_path / "2", "2.0", "2024-06-01T00:00:00.000000Z")
        environment = {"BUILDTHROUGH_UPSTREAM__EXCLUDE_NEWER": MAY}
        server = servers(upstream=pypi.simple, environment=environment).start()
        for tool in ("pip", "uv"):
            client = clients()
            ok(getattr(client, tool)("install", "demo", index=server.simple))
            assert client.check("demo", "__version__") == "1.0"


def test_a_built_wheel_is_there_as_it_was(pypi, server, clients, pip_agent):
    sdist = pure_sdist("pure", "1.0")
    pypi.add("pure", sdist.filename, sdist.data, upload_time="2024-04-01T00:00:00.000000Z")
    ok(clients().pip("install", "pure", index=f"{server.url}/at/{MAY}/simple/"))
    server.wait_for_build("pure", "SUCCEEDED")
    client = clients()
    ok(client.uv("install", "--only-binary", ":all:", "pure", index=f"{server.url}/at/{MAY}/simple/"))
    assert client.check("pure") == "42"
    before = client.uv("install", "--reinstall", "pure", index=f"{server.url}/at/2024-03-01T00:00:00Z/simple/")
    assert before.returncode != 0


def denying(servers, *lines):
    return servers(environment={"BUILDTHROUGH_POLICY__DENY": json.dumps(lines)}).start()


def test_a_denied_version(demo, servers, client):
    server = denying(servers, "demo>=2 # a leak")
    ok(client.uv("install", "demo", index=server.simple))
    assert client.check("demo", "__version__") == "1.0"


def test_a_denied_project_is_not_looked_for_elsewhere_by_uv_and_pip_can_say_why(demo, servers, client, tmp_path):
    """A 404 would send uv to the next index: what is denied here would come from there."""
    server = denying(servers, "demo # typosquats, see ticket 12")
    with FakePyPI() as other:
        add(other, tmp_path / "evil", "9.0", "2024-04-01T00:00:00.000000Z")
        done = client.uv("install", "demo", "--index", server.simple, index=other.simple)
        assert done.returncode != 0
        assert "403" in done.stderr
        assert other.requests == []
    done = client.pip("install", "-vv", "demo", index=server.simple)
    assert done.returncode != 0
    assert "typosquats, see ticket 12" in done.stdout + done.stderr


def test_a_denied_build_requirement(pypi, servers, tmp_path, pip_agent):
    add(pypi, tmp_path / "1", "1.0", "2024-04-01T00:00:00.000000Z", name="needed")
    sdist = needy_sdist(["needed"], imports=["needed"])
    pypi.add("needy", sdist.filename, sdist.data)
    server = denying(servers, "needed # typosquats")
    server.download("needy", sdist.filename, user_agent=pip_agent)
    build = server.wait_for_build("needy", "FAILED")
    assert "denied here by the rule needed: typosquats" in json.dumps(build)
