"""A private index beside PyPI, and somebody who has registered its names there: real pip and uv, real builds."""

from __future__ import annotations

import base64

import pytest
from tests.e2e.server import JSON
from tests.fakes.certificate import make_certificate, server_context
from tests.fakes.faults import Fault
from tests.fakes.proxy import forwarding_thread
from tests.fakes.pypi import FakePyPI
from tests.fakes.sdists import needy_sdist
from tests.fakes.wheels import make_wheel

PASSWORD = "s3cret-of-acme"
LOGIN = "Basic " + base64.b64encode(f"ci:{PASSWORD}".encode()).decode()


TOOLS = ("pip", "uv")


@pytest.fixture
def acme():
    with FakePyPI(authorization=LOGIN) as index:
        yield index


def add(index, folder, name, version, **more):
    wheel = make_wheel(folder, name=name, version=version, **more)
    index.add(name, wheel.name, wheel.read_bytes())


@pytest.fixture
def before_both(servers, acme, pypi):
    """Start a server in front of both; with lines more for the private index's table."""

    def start(*lines: str):
        server = servers(
            upstream=None,
            environment={
                "BUILDTHROUGH_UPSTREAMS__ACME__PASSWORD": PASSWORD,
                "BUILDTHROUGH_UPSTREAM__RETRIES": "0",
            },
        )
        configure(server, acme, pypi, *lines)
        return server.start()

    return start


def configure(server, acme, pypi, *lines: str) -> None:
    table = [f'[upstreams.acme]\nurl = "{acme.simple}"\nusername = "ci"', *lines]
    table += [f'[upstreams.pypi]\nurl = "{pypi.simple}"']
    (server.folder / "buildthrough.toml").write_text("\n".join(table))


def test_a_private_name_on_pypi_is_never_installed(before_both, acme, pypi, clients, tmp_path):
    add(acme, tmp_path, "acme-tool", "1.0")
    for name in ("acme-tool", "acme-other"):
        add(pypi, tmp_path, name, "99.0")
    add(pypi, tmp_path, "helpful", "2.0", requires=["acme-tool"])
    server = before_both()
    pypi.forget_requests()

    environments = {tool: clients() for tool in TOOLS}

    def install(tool, *wanted):
        """Install; return whether that went well. Nobody ever gets the wrong one, or asks for it."""
        done = getattr(environments[tool], tool)("install", *wanted, index=server.simple)
        assert "99.0" not in done.stdout + done.stderr
        assert pypi.count("/simple/acme-*") == 0
        return done.returncode == 0

    assert install("pip", "helpful")
    assert environments["pip"].check("acme_tool", "__version__") == "1.0"
    assert environments["pip"].check("helpful", "__version__") == "2.0"

    # The private index fails: what is known goes on, what is not decided waits.
    acme.fault("*", Fault(status=503))
    assert install("uv", "helpful")
    assert environments["uv"].check("acme_tool", "__version__") == "1.0"
    assert server.ask("/simple/acme-other/").status == 503
    assert pypi.count("/simple/acme-*") == 0

    # After a restart, with the pages lost, too.
    server.stop()
    for path in (server.data / "pages").rglob("*.db*"):
        path.unlink()
    server.start()
    environments = {tool: clients() for tool in TOOLS}
    assert not install("pip", "--retries=0", "acme-tool")
    assert server.ask("/simple/acme-tool/").status == 503

    # The project is deleted there: it is gone, and nobody takes its place.
    acme.heal()
    acme.remove_project("acme-tool")
    assert not install("pip", "acme-tool")
    assert not install("uv", "acme-tool")
    assert server.ask("/simple/acme-tool/").status == 404
    assert pypi.count("/simple/acme-*") == 0

    # Until an operator says so.
    listed = server.run("upstreams", "acme-tool")
    assert listed.stdout.splitlines()[-1].split()[:2] == ["acme-tool", "acme"]
    assert PASSWORD not in listed.stdout
    forgot = server.run("forget", "Acme_Tool")
    assert forgot.returncode == 0, forgot.stderr
    assert server.run("forget", "acme-tool").returncode == 1
    assert "acme-tool-99.0" in next(iter(server.listed("acme-tool")), "").replace("_", "-")


def test_a_pinned_name_is_looked_for_nowhere_else(before_both, acme, pypi, client, tmp_path):
    add(pypi, tmp_path, "acme-tool", "99.0")
    add(pypi, tmp_path, "other", "1.0")
    server = before_both('projects = ["acme-*"]', "pinned_only = true")
    assert client.pip("install", "acme-tool", index=server.simple).returncode != 0
    add(acme, tmp_path, "acme-tool", "1.0")
    done = client.uv("install", "acme-tool", "other", index=server.simple)
    assert done.returncode == 0, done.stderr
    assert client.check("acme_tool", "__version__") == "1.0"
    assert pypi.count("/simple/acme-tool/") == 0
    assert acme.count("/simple/other/") == 0
    projects = server.ask("/simple/", Accept=JSON).json["projects"]
    assert {one["name"] for one in projects} == {"acme-tool", "other"}


def test_builds_take_their_requirements_from_where_they_belong(before_both, acme, pypi, tmp_path, pip_agent):
    add(acme, tmp_path, "acme-backend", "1.0")
    add(pypi, tmp_path, "acme-backend", "99.0")
    sdist = needy_sdist(["acme-backend"], "acme-app", "1.0", imports=["acme_backend"])
    acme.add(sdist.project, sdist.filename, sdist.data)
    server = before_both()
    server.download("acme-app", sdist.filename, user_agent=pip_agent)
    build = server.wait_for_build("acme-app", "SUCCEEDED")
    assert "acme_backend-1.0-py3-none-any.whl" in server.build_log(build["id"])
    assert pypi.count("/simple/acme-*") == 0
    assert pypi.count("/packages/*") == 0


def test_a_build_of_somebody_elses_sdist_is_not_given_what_is_private(before_both, acme, pypi, tmp_path, pip_agent):
    """It could pack the private wheel into its own, which is for all."""
    add(acme, tmp_path, "acme-backend", "1.0")
    add(pypi, tmp_path, "public-backend", "1.0")
    curious = needy_sdist(["public-backend", "acme-backend"], "curious", "1.0", imports=["acme_backend"])
    own = needy_sdist(["public-backend", "acme-backend"], "acme-app", "1.0", imports=["acme_backend"])
    pypi.add(curious.project, curious.filename, curious.data)
    acme.add(own.project, own.filename, own.data)
    server = before_both()
    server.download("curious", curious.filename, user_agent=pip_agent)
    server.download("acme-app", own.filename, user_agent=pip_agent)
    build = server.wait_for_build("curious", "FAILED")
    assert (build["stage"], build["fault"]) == ("requires", "deps.denied")
    assert build["line"].startswith("acme-backend comes from acme, which wants credentials")
    server.wait_for_build("acme-app", "SUCCEEDED")


def test_through_a_proxy_to_an_index_that_wants_a_certificate(servers, client, tmp_path):
    """The server's own event loop tunnels and shows the certificate; nothing goes past the proxy."""
    certificate, key = make_certificate(tmp_path, "client")
    tls, _ = server_context(tmp_path, clients=certificate)
    login = "Basic " + base64.b64encode(b"me:word").decode()
    with FakePyPI(tls=tls, authorization="Bearer t0ken") as index, forwarding_thread(login) as proxy:
        add(index, tmp_path, "demo", "1.0")
        settings = {
            "BUILDTHROUGH_UPSTREAM__TOKEN": "t0ken",
            "BUILDTHROUGH_UPSTREAM__CLIENT_CERT": str(certificate),
            "BUILDTHROUGH_UPSTREAM__CLIENT_KEY": str(key),
            "BUILDTHROUGH_UPSTREAM__CA_FILE": str(tmp_path / "certificate.pem"),
            "https_proxy": f"http://me:word@127.0.0.1:{proxy.port}",
            "no_proxy": "",
            "NO_PROXY": "",
        }
        server = servers(upstream=index.simple, environment=settings).start()
        done = client.pip("install", "demo", index=server.simple)
        assert done.returncode == 0, done.stderr
        assert set(index.certificates) == {"client"}
        assert proxy.asked
        assert all(line.startswith("CONNECT ") for line in proxy.asked)
        assert "t0ken" not in "".join(proxy.heads)
        asked = len(index.requests)
        proxy.authorization = "Basic other"
        assert server.ask("/simple/demo/").status == 200
        assert server.ask("/simple/unknown/").status in {404, 503}
        server.stop()
        server.start()
        answer = server.ask("/simple/unknown/")
        assert answer.status == 503
        assert b"proxy" in answer.body
        assert len(index.requests) <= asked + 2


def test_secrets_show_nowhere(servers, acme, pypi, tmp_path):
    """Not in what the commands print, not in the log, not in what is kept."""
    add(acme, tmp_path, "acme-tool", "1.0")
    secrets = {
        "BUILDTHROUGH_UPSTREAMS__ACME__PASSWORD": PASSWORD,
        "BUILDTHROUGH_UPSTREAMS__TOKENED__TOKEN": "t0ken-of-another",
        "BUILDTHROUGH_UPSTREAMS__INLINE__URL": pypi.simple.replace("//", "//inl1ne-user:inl1ne-word@"),
        "BUILDTHROUGH_ADMIN__TOKEN": "adm1n-token",
        "http_proxy": "http://pr0xy-user:pr0xy-word@127.0.0.1:9",
        "NETRC": str(tmp_path / "netrc"),
    }
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login n3trc-user password n3trc-word\n")
    server = servers(
        upstream=None, environment={**secrets, "BUILDTHROUGH_LOG__LEVEL": "debug", "BUILDTHROUGH_LOG__ACCESS": "true"}
    )
    tables = (
        f'[upstreams.acme]\nurl = "{acme.simple}"\nusername = "ci"\n'
        f'[upstreams.inline]\n[upstreams.tokened]\nurl = "{pypi.simple}"\n'
        f'[upstreams.netrc]\nurl = "{pypi.simple}other/"\n'
    )
    (server.folder / "buildthrough.toml").write_text(tables)
    server.start()
    wheel = next(iter(server.listed("acme-tool").values()))["url"]
    pypi.fault("/simple/refused/", Fault(status=403))
    pypi.fault("/simple/away/", Fault(redirect="ftp://example.org/"))
    heard = []
    pages = [f"/simple/{name}" for name in ("", "acme-tool/", "Acme_Tool/", "refused/", "away/", "unknown/")]
    for path in (*pages, wheel, f"{wheel}.metadata", "/pypi/acme-tool/json", "/metrics", "/api/v1/upstreams"):
        answer = server.ask(path)
        heard.append(f"{answer.headers}\n{answer.body.decode('latin-1')}")
    for command in (("config",), ("doctor",), ("upstreams",)):
        done = server.run(*command)
        heard.append(done.stdout + done.stderr)
    assert "acme: " in heard[-2]
    assert "a name and a password from" in heard[-2]
    server.stop()
    heard.append(server.log.read_text())
    heard += [path.read_bytes().decode("latin-1") for path in server.data.rglob("*") if path.is_file()]
    words = [PASSWORD, LOGIN.split()[1], "t0ken", "inl1ne", "adm1n-token", "pr0xy", "n3trc"]
    words += [base64.b64encode(text.encode()).decode() for text in ("inl1ne-user:inl1ne-word", "n3trc-user:n3trc-word")]
    found = {word: next((text for text in heard if word in text), None) for word in words}
    assert {word: text[:500] for word, text in found.items() if text} == {}
