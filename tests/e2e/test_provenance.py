"""Where a wheel is from, and whether it is the same when it is built again: the real server, sandbox and command."""

from __future__ import annotations

import hashlib
import json
import subprocess

import pytest
from tests.e2e.server import Server
from tests.fakes.pypi import FakePyPI
from tests.fakes.sdists import c_sdist, intree_sdist, needy_sdist, pure_sdist
from tests.fakes.wheels import make_wheel

from buildthrough.proxy.attestation import read_record


def make_key(folder, name):
    """Make a key pair as docs/provenance.md says."""
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return private, public


NOBODY = ("--server", "http://127.0.0.1:9")
"""Where no server runs."""


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return make_key(tmp_path_factory.mktemp("keys"), "signing")


@pytest.fixture(scope="module")
def shop(keys):
    """Serve before an index, with a key; each test has projects of its own."""
    with FakePyPI() as pypi:
        server = Server(pypi.simple, environment={"BUILDTHROUGH_BUILD__SIGNING_KEY": str(keys[0])})
        try:
            yield pypi, server.start()
            server.stop()
        finally:
            server.close()


def build(server, pypi, sdist, **more):
    pypi.add(sdist.project, sdist.filename, sdist.data, **more)
    asked = server.operate("/api/v1/builds", name=sdist.project, version=sdist.version)
    assert asked.status == 202, asked.body
    return server.wait_for_build(sdist.project, "SUCCEEDED")


def fetch(server, made, folder):
    """Download a wheel, as a client gets it."""
    file = folder / made["wheel"]
    file.write_bytes(server.ask(made["url"]).body)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == made["wheel_sha256"]
    return file


def test_a_wheel_says_what_it_was_built_from_and_how(shop, keys, tmp_path):
    pypi, signing = shop
    made = build(signing, pypi, c_sdist("cext", "2.0"))
    file = fetch(signing, made, tmp_path)
    answer = signing.ask(made["provenance"])
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert made["provenance"] == made["url"] + ".provenance.json"
    assert signing.ask(f"/api/v1/provenance/{made['wheel_sha256']}").json == answer.json
    record = read_record(answer.body)
    assert record.sha256 == made["wheel_sha256"]
    inside = record.statement["predicate"]["buildDefinition"]["internalParameters"]
    assert inside["isolation"]
    assert inside["limits"]["wallSeconds"] == 900
    assert inside["toolchain"]["cc"].startswith("cc ")
    assert inside["toolchain"]["python"].startswith("cpython 3.")
    run = record.statement["predicate"]["runDetails"]
    log = hashlib.sha256(signing.ask(f"/api/v1/builds/{made['id']}/log").body).hexdigest()
    assert run["byproducts"] == [{"name": "log", "digest": {"sha256": log}, "mediaType": "text/plain"}]
    assert run["metadata"]["startedOn"] < run["metadata"]["finishedOn"]

    told = signing.run("provenance", str(file), "--key", str(keys[1]))
    assert (told.returncode, told.stderr) == (0, "")
    for each in ("cext-2.0.tar.gz", made["target"], "toolchain", "isolation", "is signed with the key"):
        assert each in told.stdout
    trusting = signing.run("provenance", str(file))
    assert trusting.returncode == 0
    assert "says is its own" in trusting.stdout
    as_json = signing.run("provenance", str(file), "--json", "--key", str(keys[1]))
    assert json.loads(as_json.stdout.rpartition("The record")[0]) == record.statement

    # Without the server, the record beside the file does.
    (tmp_path / f"{file.name}.provenance.json").write_bytes(answer.body)
    assert signing.run("provenance", str(file), "--key", str(keys[1]), *NOBODY).returncode == 0


def test_each_way_to_fail_has_its_sentence(shop, keys, tmp_path):
    pypi, signing = shop
    made = build(signing, pypi, pure_sdist("pure", "1.0"))
    file = fetch(signing, made, tmp_path)
    record = signing.ask(made["provenance"]).body
    _, other = make_key(tmp_path, "other")
    unsigned = json.dumps(read_record(record).statement).encode()
    foreign = make_wheel(tmp_path, name="foreign")
    beside = file.with_name(file.name + ".provenance.json")

    def says(code, sentence, *arguments, record=None):
        beside.unlink(missing_ok=True)
        if record is not None:
            beside.write_bytes(record)
        done = signing.run("provenance", *map(str, arguments))
        assert (done.returncode, sentence in done.stderr) == (code, True), done
        assert done.stderr.count("\n") == 1

    says(1, "cannot be read (No such file", tmp_path / "none.whl")
    says(2, "holds no public key", file, "--key", keys[0])
    says(3, "There is no record", foreign)
    says(4, "it is no JSON", file, record=b"hello")
    says(4, "no statement of SLSA provenance", file, record=b"{}")
    says(6, "not signed", file, "--key", keys[1], record=unsigned)
    says(7, f"not signed with the key {other}", file, "--key", other)
    says(7, "not signed with the key", file, "--key", other, record=record)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    says(5, "is of a file with the sha256", file, "--key", keys[1], record=record)
    says(3, "There is no record", file, "--key", keys[1])
    says(1, "No server runs", file, *NOBODY)


def test_a_server_without_a_key_keeps_records_too(pypi, server, tmp_path):
    made = build(server, pypi, pure_sdist("pure", "1.0"))
    record = read_record(server.ask(made["provenance"]).body)
    assert (record.envelope, record.sha256) == (None, made["wheel_sha256"])
    assert server.ask("/api/v1/key").status == 404
    assert server.run("provenance", str(fetch(server, made, tmp_path))).returncode == 6
    assert "provenance" not in server.listed("pure")[made["wheel"]]  # PEP 740's is for those who publish the project
    assert server.run("verify").returncode == 0

    server.operate("/api/v1/purge", project="pure")
    assert server.ask(made["provenance"]).status == 404
    assert server.ask(f"/api/v1/provenance/{made['wheel_sha256']}").status == 404
    assert not [path for path in (server.data / "built").rglob("*") if path.is_file()]


def test_a_key_that_is_none_keeps_the_server_from_starting(servers, tmp_path):
    (tmp_path / "key.pem").write_text("no key")
    server = servers(environment={"BUILDTHROUGH_BUILD__SIGNING_KEY": str(tmp_path / "key.pem")})
    with pytest.raises(AssertionError, match=r"build\.signing_key cannot be used: .* holds no private key"):
        server.start()


def test_check_says_identical(shop):
    pypi, server = shop
    sdist = c_sdist("twin", "2.0")
    pypi.add("twin", sdist.filename, sdist.data)
    first = server.run("build", "twin==2.0", "--check")
    assert (first.returncode, first.stderr) == (0, "")
    assert "identical: twin-2.0-" in first.stdout
    assert len(server.builds("twin")) == 2
    assert len(server.listed("twin")) == 2  # the sdist and one wheel
    assert server.run("build", "twin==2.0", "--check").returncode == 0
    assert [build["state"] for build in server.builds("twin")] == ["SUCCEEDED"] * 3
    assert {build["wheel_sha256"] for build in server.builds("twin")} == {server.builds("twin")[0]["wheel_sha256"]}


def test_other_bytes_are_told_and_never_take_the_place_of_the_first(shop):
    pypi, server = shop
    sdist = intree_sdist("fickle", "1.0", differs=True)
    first = build(server, pypi, sdist)
    assert server.operate("/api/v1/builds", name="fickle", version="1.0").status == 409
    checked = server.run("build", "fickle==1.0.0", "--check")
    assert checked.returncode == 3
    assert "fickle.py: from line" in checked.stdout
    second = server.builds("fickle")[0]
    assert (first["wheel"], second["wheel"]) == ("fickle-1.0-py3-none-any.whl", "fickle-1.0-1-py3-none-any.whl")
    assert server.listed("fickle").keys() == {sdist.filename, second["wheel"]}  # the newest is listed, all are served
    for made in (first, second):
        assert hashlib.sha256(server.ask(made["url"]).body).hexdigest() == made["wheel_sha256"]
        assert read_record(server.ask(made["provenance"]).body).sha256 == made["wheel_sha256"]


def test_a_rebuild_that_fails_changes_nothing(shop, tmp_path):
    pypi, server = shop
    tool = make_wheel(tmp_path, name="buildtool", version="1.0")
    pypi.add("buildtool", tool.name, tool.read_bytes())
    made = build(server, pypi, needy_sdist(["buildtool"]))
    before = server.page("needy"), server.ask(made["url"]).body
    pypi.remove(tool.name)
    checked = server.run("build", "needy==1.0", "--check")
    assert (checked.returncode, "is FAILED (deps." in checked.stderr) == (1, True), checked
    assert (server.page("needy"), server.ask(made["url"]).body) == before
    assert server.ask(made["provenance"]).status == 200
