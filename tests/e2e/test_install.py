"""What users came for: pip and uv install through the server; the second of them gets a wheel."""

from __future__ import annotations

import hashlib
import zipfile
from io import BytesIO

import pytest
from tests.e2e.clients import find_pypy, pip_user_agent
from tests.e2e.server import wait_for
from tests.fakes.sdists import c_sdist, legacy_sdist, needy_sdist, pure_sdist
from tests.fakes.wheels import make_wheel

BINARY = ("install", "--only-binary", ":all:")


def ok(done):
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def publish(pypi, sdist, **more):
    return pypi.add(sdist.project, sdist.filename, sdist.data, **more)


def test_a_wheel_passes_through_unchanged(pypi, server, client, tmp_path, pip_agent):
    wheel = make_wheel(tmp_path, name="demo", version="1.0").read_bytes()
    pypi.add("demo", "demo-1.0-py3-none-any.whl", wheel)
    ok(client.pip("install", "demo", index=server.simple))
    assert client.check("demo", "__version__") == "1.0"
    assert server.download("demo", "demo-1.0-py3-none-any.whl", user_agent=pip_agent) == wheel
    assert pypi.count("/packages/*.whl", "GET") == 1
    assert server.builds() == []


def test_pip_gets_the_sdist_and_then_the_wheel(pypi, server, clients):
    publish(pypi, pure_sdist("pure", "1.0"))
    first = clients()
    done = ok(first.pip("install", "pure==1.0", index=server.simple))
    assert "pure-1.0.tar.gz" in done.stdout
    assert first.check("pure") == "42"
    build = server.wait_for_build("pure", "SUCCEEDED")
    assert (build["version"], build["sdist"]) == ("1.0", "pure-1.0.tar.gz")
    assert build["wheel"].endswith("-py3-none-any.whl")
    second = clients()
    done = ok(second.pip(*BINARY, "pure==1.0", index=server.simple))
    assert build["wheel"] in done.stdout
    assert second.check("pure") == "42"
    assert len(server.builds()) == 1


def test_uv_gets_the_sdist_and_then_the_wheel(pypi, server, clients):
    publish(pypi, pure_sdist("pure", "1.0"))
    first = clients()
    ok(first.uv("install", "pure==1.0", index=server.simple))
    assert first.check("pure") == "42"
    server.wait_for_build("pure", "SUCCEEDED")
    second = clients()
    ok(second.uv(*BINARY, "pure==1.0", index=server.simple))
    assert second.check("pure") == "42"


def test_a_c_extension_becomes_a_manylinux_wheel(pypi, server, clients):
    publish(pypi, c_sdist("cext", "2.0"))
    ok(clients().pip("install", "cext", index=server.simple))
    build = server.wait_for_build("cext", "SUCCEEDED")
    assert "manylinux" in build["wheel"]
    assert not any("-linux_" in name for name in server.listed("cext"))
    for install in ("pip", "uv"):
        client = clients()
        ok(getattr(client, install)(*BINARY, "cext", index=server.simple))
        assert client.check("cext") == "42"


def test_the_entry_says_what_the_wheel_is(pypi, server, client, pip_agent):
    sdist = publish(pypi, pure_sdist("pure", "1.0"), upload_time="2020-01-02T03:04:05Z")
    server.download("pure", "pure-1.0.tar.gz", user_agent=pip_agent)
    name = server.wait_for_build("pure", "SUCCEEDED")["wheel"]
    entry = server.listed("pure")[name]
    wheel = server.ask(entry["url"]).body
    sidecar = server.ask(entry["url"] + ".metadata").body
    with zipfile.ZipFile(BytesIO(wheel)) as archive:
        assert archive.read("pure-1.0.dist-info/METADATA") == sidecar
    assert list(entry["hashes"]) == ["sha256"]
    assert entry["hashes"]["sha256"] == hashlib.sha256(wheel).hexdigest()
    assert entry["core-metadata"] == {"sha256": hashlib.sha256(sidecar).hexdigest()}
    assert (entry["size"], entry["upload-time"], entry["yanked"]) == (len(wheel), sdist.upload_time, False)
    assert "1.0" in server.page("pure")["versions"]
    assert "provenance" not in entry or entry["provenance"] is None


@pytest.mark.parametrize("form", ["json", "html"])
def test_upstream_with_only_one_form(pypi, servers, clients, form):
    pypi.form = form
    publish(pypi, pure_sdist("pure", "1.0"))
    server = servers().start()
    ok(clients().pip("install", "pure", index=server.simple))
    server.wait_for_build("pure", "SUCCEEDED")
    for install in ("pip", "uv"):
        ok(getattr(clients(), install)(*BINARY, "pure", index=server.simple))


def test_require_hashes_with_the_hash_of_the_sdist(pypi, server, clients, tmp_path):
    file = publish(pypi, pure_sdist("pure", "1.0"))
    locked = tmp_path / "locked.txt"
    locked.write_text(f"pure==1.0 --hash=sha256:{file.sha256}\n")
    for _ in range(2):  # before there is a wheel, and after
        for install in ("pip", "uv"):
            client = clients()
            ok(getattr(client, install)("install", "--require-hashes", "-r", str(locked), index=server.simple))
            assert client.check("pure") == "42"
        server.wait_for_build("pure", "SUCCEEDED")


def test_build_requirements_come_through_the_index(pypi, server, clients, tmp_path, pip_agent):
    wheel = make_wheel(tmp_path, name="buildtool", version="3.0")
    pypi.add("buildtool", wheel.name, wheel.read_bytes())
    sdist = needy_sdist(["buildtool>=2"], "needy", "1.0", imports=["buildtool"])
    publish(pypi, sdist)
    server.download("needy", sdist.filename, user_agent=pip_agent)
    server.wait_for_build("needy", "SUCCEEDED")
    assert pypi.count("/packages/*buildtool-3.0*.whl", "GET") == 1


def test_a_build_requirement_without_wheel_is_built_first(pypi, server, pip_agent):
    publish(pypi, pure_sdist("buildtool", "3.0"))
    sdist = needy_sdist(["buildtool"], "needy", "1.0", imports=["buildtool"])
    publish(pypi, sdist)
    server.download("needy", sdist.filename, user_agent=pip_agent)
    server.wait_for_build("needy", "SUCCEEDED")
    assert {build["project"] for build in server.builds()} == {"needy", "buildtool"}


def test_a_zip_is_an_sdist_too(pypi, server, clients, pip_agent):
    publish(pypi, pure_sdist("zipped", "1.0", archive=".zip"))
    server.download("zipped", "zipped-1.0.zip", user_agent=pip_agent)
    server.wait_for_build("zipped", "SUCCEEDED")
    ok(clients().pip(*BINARY, "zipped", index=server.simple))


def test_pypy_is_a_target_of_its_own(pypi, server, clients, offline, pip_agent):
    pypy = find_pypy()
    if pypy is None:
        pytest.skip("pypy3 is not installed")
    publish(pypi, c_sdist("cext", "2.0"))
    server.download("cext", "cext-2.0.tar.gz", user_agent=pip_user_agent(offline, pypy))
    build = server.wait_for_build("cext", "SUCCEEDED")
    assert build["target"].startswith("pp3")
    client = clients(interpreter=pypy)
    ok(client.pip(*BINARY, "cext", index=server.simple))
    assert client.check("cext") == "42"
    server.download("cext", "cext-2.0.tar.gz", user_agent=pip_agent)  # CPython has no wheel yet
    wait_for(lambda: len(server.builds("cext")) == 2, "second build")
    build = server.wait_for_build("cext", "SUCCEEDED")
    assert build["target"].startswith("cp3")
    assert len([name for name in server.listed("cext") if name.endswith(".whl")]) == 2


def test_a_client_that_does_not_say_what_it_runs_on_starts_no_build(pypi, server):
    publish(pypi, pure_sdist("pure", "1.0"))
    for agent in ("curl/8.0", "pip/26.3 {not json", "poetry/2.5.1 CPython/3.11.7 Linux/6.18", "x" * 4000):
        server.download("pure", "pure-1.0.tar.gz", user_agent=agent)
    assert server.builds_after("unknown-client", 4) == []


def test_a_wheel_that_fits_is_enough(pypi, server, tmp_path, pip_agent):
    publish(pypi, pure_sdist("demo", "1.0"))
    wheel = make_wheel(tmp_path, name="demo", version="1.0")
    pypi.add("demo", wheel.name, wheel.read_bytes())
    server.download("demo", "demo-1.0.tar.gz", user_agent=pip_agent)
    assert server.builds_after("wheel-fits") == []


def test_legacy_setup_py_needs_setuptools_as_a_wheel(pypi, server, pip_agent):
    """Without setuptools upstream there is nothing to build with; that is said, and the sdist stays."""
    publish(pypi, legacy_sdist("legacy", "1.0"))
    server.download("legacy", "legacy-1.0.tar.gz", user_agent=pip_agent)
    build = server.wait_for_build("legacy", "FAILED")
    assert "setuptools" in build["line"]
    assert list(server.listed("legacy")) == ["legacy-1.0.tar.gz"]
