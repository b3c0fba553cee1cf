"""Real pip and real uv install from the fake index: what it answers is what they expect of an index."""

from __future__ import annotations

import json

import pytest
from tests.e2e.clients import find_pypy, make_client, pip_user_agent
from tests.fakes.pypi import FakePyPI
from tests.fakes.sdists import c_sdist, pure_sdist
from tests.fakes.wheels import make_wheel


@pytest.mark.parametrize("form", ["json", "html"])
@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_install(tmp_path, offline, form, tool):
    with FakePyPI(form=form, relative=form == "json") as pypi:
        wheel = make_wheel(tmp_path, name="demo", version="1.0")
        pypi.add("demo", wheel.name, wheel.read_bytes())
        sdist = pure_sdist("pure", "1.0")
        pypi.add("pure", sdist.filename, sdist.data)
        client = make_client(tmp_path / "client", offline)
        done = getattr(client, tool)("install", "demo", "pure", index=pypi.simple)
        assert done.returncode == 0, done.stderr
        assert client.check("pure") == "42"


def test_install_into_pypy(tmp_path, offline, pypi):
    pypy = find_pypy()
    if pypy is None:
        pytest.skip("pypy3 is not installed")
    sdist = c_sdist("cext", "1.0")
    pypi.add("cext", sdist.filename, sdist.data)
    client = make_client(tmp_path / "client", offline, interpreter=pypy)
    done = client.pip("install", "cext", index=pypi.simple)
    assert done.returncode == 0, done.stderr
    assert client.check("cext") == "42"
    agent = pip_user_agent(offline, pypy)
    assert json.loads(agent.partition(" ")[2])["implementation"]["name"] == "PyPy"


def test_user_agent_of_pip(offline):
    agent = pip_user_agent(offline)
    assert agent.startswith("pip/")
    assert json.loads(agent.partition(" ")[2])["distro"]["libc"]["lib"] == "glibc"
