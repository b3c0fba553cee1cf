"""The assembled server in front of several indexes, each with what it wants to see."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes.certificate import make_certificate, server_context
from tests.fakes.faults import Fault
from tests.fakes.proxy import forwarding
from tests.fakes.pypi import FakePyPI
from tests.integration.assembled import JSON, serving

from buildthrough.config.load import load
from buildthrough.config.schema import SettingsError
from buildthrough.proxy.credentials import basic, bearer
from buildthrough.proxy.survey import survey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.integration.assembled import Site

TOKEN = "t0ken"


@pytest.fixture
def acme() -> Iterator[FakePyPI]:
    with FakePyPI(authorization=bearer(TOKEN).authorization, serials=False) as index:
        index.add("acme-tool", "acme_tool-1.0.tar.gz", b"ours" * 1000)
        index.add("both", "both-1.0.tar.gz", b"acme" * 1000)
        yield index


@pytest.fixture
def pypi() -> Iterator[FakePyPI]:
    with FakePyPI() as index:
        index.add("acme-tool", "acme_tool-99.0.tar.gz", b"evil" * 1000)
        index.add("both", "both-1.0.tar.gz", b"pypi" * 1000)
        index.add("six", "six-1.0.tar.gz", b"six" * 1000)
        yield index


def configured(folder: Path, **tables: str) -> None:
    text = "\n".join(f"[upstreams.{name}]\n{lines}" for name, lines in tables.items())
    (folder / "buildthrough.toml").write_text(text)


def in_order(folder: Path, acme: FakePyPI, pypi: FakePyPI, *, token: str = TOKEN, lines: str = "") -> None:
    configured(folder, acme=f'url = "{acme.simple}"\ntoken = "{token}"\n{lines}', pypi=f'url = "{pypi.simple}"')


def both(folder: Path, **settings: Any) -> AbstractAsyncContextManager[Site]:
    return serving("", folder, **settings)


async def download(site: Site, project: str, filename: str) -> bytes:
    answer = await site.ask((await site.listed(project))[filename]["url"])
    assert answer.status == 200, answer.body
    return answer.body


async def test_each_project_and_its_files_come_from_one(acme, pypi, tmp_path):
    in_order(tmp_path, acme, pypi)
    async with both(tmp_path) as site:
        assert await download(site, "both", "both-1.0.tar.gz") == b"acme" * 1000
        assert await download(site, "six", "six-1.0.tar.gz") == b"six" * 1000
        assert pypi.count("/simple/both/") == 0
        # What another index has under the same name is not to be had here, not even by its path.
        assert (await site.ask(f"/files/both/{pypi.file('both-1.0.tar.gz').path}")).status == 404
        assert (await site.ask("/pypi/both/json")).status == 200
        assert pypi.count("/pypi/both/*") == 0
        told = (await site.ask("/api/v1/upstreams")).json
        assert [one["name"] for one in told["upstreams"]] == ["acme", "pypi"]
        assert {one["project"]: one["upstream"] for one in told["decisions"]} == {"both": "acme", "six": "pypi"}
        await site.tells('buildthrough_upstream_seconds_count{kind="page",outcome="not found",upstream="acme"} 1.0')
    assert not [seen for seen in pypi.requests if "Authorization" in seen.headers]


async def test_a_page_without_links_of_its_own_origin_is_fetched_without_its_credentials(acme, pypi, tmp_path):
    """The first index lists a file that lies on the second: no token goes there."""
    target = pypi.file("six-1.0.tar.gz")
    acme.add("linked", "six-1.0.tar.gz", b"six" * 1000, extra={"url": f"{pypi.url}/{target.path}"})
    in_order(tmp_path, acme, pypi)
    async with both(tmp_path) as site:
        assert await download(site, "linked", "six-1.0.tar.gz") == b"six" * 1000
    (seen,) = pypi.asked("/packages/*", "GET")
    assert "Authorization" not in seen.headers


SIGN_IN = b"<!DOCTYPE html><html><body><a href='/forgot'>Forgot your password?</a></body></html>"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503),
        Fault(status=401),
        Fault(status=403),
        Fault(status=200, body=b"{}", content_type="application/json"),
        Fault(redirect="http://localhost:9/simple/"),
    ],
)
async def test_while_the_first_fails_nothing_is_decided(acme, pypi, tmp_path, fault):
    in_order(tmp_path, acme, pypi)
    acme.fault("/simple/*", fault)
    async with both(tmp_path) as site:
        for path in ("/simple/six/", "/simple/acme-tool/", "/simple/"):
            answer = await site.ask(path, Accept=JSON)
            assert answer.status in {502, 503}, path
            assert answer.sentence
        assert pypi.count("/simple/?*") == 0
        acme.heal()
        assert list(await site.listed("six")) == ["six-1.0.tar.gz"]
        # What was decided does not depend on the first any more, and what came from it is served as it was.
        assert list(await site.listed("acme-tool")) == ["acme_tool-1.0.tar.gz"]
        acme.fault("/simple/*", fault)
        assert (await site.ask("/simple/six/", Accept=JSON)).headers["X-Buildthrough-Cache"] == "revalidated"
        stale = await site.ask("/simple/acme-tool/", Accept=JSON)
        assert stale.status == 200
        assert stale.headers["X-Buildthrough-Cache"].startswith("stale")
        assert list(await site.listed("acme-tool")) == ["acme_tool-1.0.tar.gz"]
    assert pypi.count("/simple/acme-tool/") == 0


async def test_a_page_to_sign_in_decides_nothing(acme, pypi, tmp_path):
    in_order(tmp_path, acme, pypi)
    acme.fault("/simple/*", Fault(status=200, body=SIGN_IN, content_type="text/html"))
    async with both(tmp_path) as site:
        answer = await site.ask("/simple/six/")
        assert answer.status == 502
        assert "any page" in answer.sentence
        acme.heal()
        assert list(await site.listed("six")) == ["six-1.0.tar.gz"]


async def test_decisions_hold_over_a_restart_whatever_the_order(acme, pypi, tmp_path):
    in_order(tmp_path, acme, pypi)
    async with both(tmp_path) as site:
        assert await download(site, "both", "both-1.0.tar.gz") == b"acme" * 1000
    configured(tmp_path, pypi=f'url = "{pypi.simple}"', acme=f'url = "{acme.simple}"\ntoken = "t0ken"')
    async with both(tmp_path) as site:
        assert await download(site, "both", "both-1.0.tar.gz") == b"acme" * 1000
        assert (await site.operate("/api/v1/forget", {"project": "both"}, token="wrong")).status == 401
        assert (await site.operate("/api/v1/forget", {"project": "Both"})).json == {
            "project": "both",
            "upstream": "acme",
        }
        assert await download(site, "both", "both-1.0.tar.gz") == b"pypi" * 1000
        assert (await site.operate("/api/v1/forget", {"project": "unknown"})).status == 404
        assert (await site.operate("/api/v1/forget", {})).status == 400
        audit = (await site.store.catalog.audit())[0]
        assert (audit.action, json.loads(audit.detail)) == ("forget", {"project": "both", "upstream": "acme"})
    # Without the upstream that a project was decided to come from: nobody takes its place, and no page outlives it.
    async with both(tmp_path) as site:
        assert (await site.ask("/simple/acme-tool/")).status == 200
        await site.operate("/api/v1/forget", {"project": "acme-tool"})
    acme_only = f'url = "{acme.simple}"\ntoken = "t0ken"'
    configured(tmp_path, other=acme_only)
    async with both(tmp_path) as site:
        answer = await site.ask("/simple/both/")
        assert answer.status == 503
        assert "'pypi'" in answer.sentence
        assert "forget" in answer.sentence


async def test_what_is_forgotten_is_had_from_the_new_place_at_once(acme, pypi, tmp_path):
    """Also the answers of the JSON API, in memory and in the store, and whatever is fresh."""
    in_order(tmp_path, acme, pypi)
    async with both(tmp_path, upstream__page_ttl=3600) as site:
        for path in ("/pypi/both/json", "/pypi/both/1.0/json"):
            assert (await site.ask(path)).json["urls"][0]["size"] == 4000
        assert await download(site, "both", "both-1.0.tar.gz") == b"acme" * 1000
    pypi.add("both", "both-1.0.tar.gz", b"more" * 2000)
    configured(tmp_path, acme=f'url = "{acme.simple}"\ntoken = "t0ken"', pypi=f'url = "{pypi.simple}"')
    acme_gone = acme.projects.pop("both")
    async with both(tmp_path, upstream__page_ttl=3600) as site:
        assert await download(site, "both", "both-1.0.tar.gz") == b"acme" * 1000
        assert (await site.operate("/api/v1/forget", {"project": "both"})).status == 200
        assert await download(site, "both", "both-1.0.tar.gz") == b"more" * 2000
        for path in ("/pypi/both/json", "/pypi/both/1.0/json"):
            assert (await site.ask(path)).json["urls"][0]["size"] == 8000
    assert acme_gone.name == "both"


@pytest.mark.parametrize("form", ["json", "html"])
async def test_credentials_in_upstreams_links_are_not_passed_on(tmp_path, form):
    """Not where we serve the file, and not where we cannot; we use them, as upstream wrote them."""
    with FakePyPI(form=form) as index, FakePyPI(authorization=basic("ci", "s3cret").authorization) as files:
        data = b"x" * 100
        host = files.url.removeprefix("http://")
        path = files.add("demo", "demo-1.0.tar.gz", data).path
        index.add("demo", "demo-1.0.tar.gz", data, extra={"url": f"http://ci:s3cret@{host}/{path}"})
        index.add("demo", "demo-2.0.tar.gz", data, extra={"url": f"http://ci:s3cret@{host}/a//b/demo-2.0.tar.gz"})
        async with serving(index.simple, tmp_path) as site:
            for accept in (JSON, "text/html"):
                answer = await site.ask("/simple/demo/", Accept=accept)
                assert b"s3cret" not in answer.body
                assert f"http://{host}/a//b/demo-2.0.tar.gz".encode() in answer.body
            assert b"s3cret" not in (await site.ask("/pypi/demo/json")).body
            assert await download(site, "demo", "demo-1.0.tar.gz") == data


async def test_the_list_of_other_upstreams_is_not_served_after_them(acme, pypi, tmp_path):
    in_order(tmp_path, acme, pypi)
    async with both(tmp_path, upstream__page_ttl=3600) as site:
        projects = (await site.ask("/simple/", Accept=JSON)).json["projects"]
        assert [one["name"] for one in projects] == ["acme-tool", "both", "six"]
    configured(tmp_path, pypi=f'url = "{pypi.simple}"')
    pypi.remove_project("six")
    async with both(tmp_path, upstream__page_ttl=3600) as site:
        projects = (await site.ask("/simple/", Accept=JSON)).json["projects"]
        assert [one["name"] for one in projects] == ["acme-tool", "both"]


async def test_a_pin_goes_before_a_decision(acme, pypi, tmp_path):
    configured(tmp_path, pypi=f'url = "{pypi.simple}"', acme=f'url = "{acme.simple}"\ntoken = "t0ken"')
    async with both(tmp_path, upstream__page_ttl=3600) as site:
        assert list(await site.listed("acme-tool")) == ["acme_tool-99.0.tar.gz"]
    pinned = f'url = "{acme.simple}"\ntoken = "t0ken"\nprojects = ["ACME_*"]'
    configured(tmp_path, pypi=f'url = "{pypi.simple}"', acme=pinned)
    async with both(tmp_path, upstream__page_ttl=3600) as site:
        assert list(await site.listed("acme-tool")) == ["acme_tool-1.0.tar.gz"]
        assert (await site.ask("/simple/acme-unknown/")).status == 404
        assert pypi.count("/simple/acme-unknown/") == 0


async def test_each_upstream_has_its_own_credentials_certificates_and_authorities(pypi, tmp_path, monkeypatch):
    certificate, key = make_certificate(tmp_path, "client")
    mutual = tmp_path / "mutual"
    mutual.mkdir()
    tls, _ = server_context(mutual, clients=certificate)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login netrc password from-file\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    kinds = {
        "login": (basic("user", "word"), 'username = "user"'),
        "tokened": (bearer("t0ken"), ""),
        "netrc": (basic("netrc", "from-file"), ""),
    }
    indexes = {name: FakePyPI(authorization=wanted.authorization) for name, (wanted, _) in kinds.items()}
    indexes["inline"] = FakePyPI(authorization=basic("in", "li/ne").authorization)
    indexes["mutual"] = FakePyPI(tls=tls)
    for name, index in indexes.items():
        index.add(name, f"{name}-1.0.tar.gz", name.encode() * 1000)
        index.start()
    try:
        tables = {name: f'url = "{indexes[name].simple}"\n{lines}' for name, (_, lines) in kinds.items()}
        tables["inline"] = f'url = "{indexes["inline"].simple.replace("//", "//in:li%2Fne@")}"'
        tables["mutual"] = (
            f'url = "{indexes["mutual"].simple}"\nca_file = "{mutual / "certificate.pem"}"\n'
            f'client_cert = "{certificate}"\nclient_key = "{key}"'
        )
        configured(tmp_path, **tables, pypi=f'url = "{pypi.simple}"')
        secrets = {"upstreams__login__password": "word", "upstreams__tokened__token": "t0ken"}
        async with both(tmp_path, **secrets) as site:
            for name in indexes:
                assert await download(site, name, f"{name}-1.0.tar.gz") == name.encode() * 1000
            # PyPI is on this host, too, and the file says so of the host: what a netrc file says, it is to see.
            assert list(await site.listed("six")) == ["six-1.0.tar.gz"]
        assert set(indexes["mutual"].certificates) == {"client"}
        assert {seen.headers.get("Authorization") for seen in indexes["mutual"].requests} <= {
            None,
            basic("netrc", "from-file").authorization,
        }
    finally:
        for index in indexes.values():
            index.stop()


async def test_all_goes_by_the_proxy_of_the_environment(pypi, tmp_path, monkeypatch):
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with forwarding(basic("me", "word").authorization) as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:word@127.0.0.1:{proxy.port}")
        async with serving(pypi.simple, tmp_path) as site:
            assert await download(site, "six", "six-1.0.tar.gz") == b"six" * 1000
            assert len(proxy.asked) == len(pypi.requests) == 3
        monkeypatch.setenv("http_proxy", f"http://me:wr0ng@127.0.0.1:{proxy.port}")
        async with serving(pypi.simple, tmp_path) as site:
            answer = await site.ask("/simple/unknown/")
            assert answer.status == 503
            assert "proxy" in answer.sentence
            assert "wr0ng" not in answer.sentence


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('ca_file = "/no/such/file"', ["upstreams.acme.ca_file", "/no/such/file", "No such file"]),
        ('client_cert = "/no/such/file"', ["upstreams.acme.client_cert", "/no/such/file"]),
        ('ca_file = "netrc"', ["upstreams.acme", "ca_file"]),
        ('client_cert = "netrc"', ["upstreams.acme", "client_cert"]),
    ],
)
async def test_files_that_cannot_be_used_are_said_at_the_start(acme, tmp_path, monkeypatch, lines, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "netrc").write_text("no certificate")
    in_order(tmp_path, acme, acme, lines=lines)
    with pytest.raises(SettingsError) as caught:
        async with both(tmp_path):
            pass
    assert [word for word in words if word not in str(caught.value)] == []


async def test_the_doctor_says_how_each_is_reached(acme, pypi, tmp_path, monkeypatch):
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 passw0rd s3cret\n")
    in_order(tmp_path, acme, pypi, token="wr0ng")
    lines = await survey(load(folder=tmp_path, environment={}).settings)
    text = "\n".join(lines)
    assert "asked" in lines[0]
    assert f"  - acme: {acme.simple}, from the settings; with a token from the settings" in lines
    assert "it fails: Upstream refused us" in text
    assert "it answers; it has no project pip" in text
    assert "cannot be read as netrc" in text
    assert "no project is pinned" in text
    assert "wr0ng" not in text
    assert "s3cret" not in text
    in_order(tmp_path, acme, pypi, lines='projects = ["acme-*"]\npinned_only = true')
    text = "\n".join(await survey(load(folder=tmp_path, environment={}).settings))
    assert "pins acme-* and is asked for nothing else" in text
    assert "no project is pinned" not in text
