"""How an upstream is reached: credentials, certificates, proxies; and who is shown none of them."""

from __future__ import annotations

import base64
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes.certificate import make_certificate, server_context
from tests.fakes.dial import closed_port
from tests.fakes.faults import Fault
from tests.fakes.proxy import forwarding
from tests.fakes.pypi import FakePyPI

from buildthrough.proxy.credentials import basic, bearer
from buildthrough.proxy.errors import UpstreamFault, UpstreamInvalid, UpstreamUnavailable
from buildthrough.proxy.netrc_file import NetrcFile, from_netrc, netrc_path
from buildthrough.proxy.proxies import Proxies
from buildthrough.proxy.upstream import HttpUpstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.fakes.pypi import FakeFile

SECRET = "s3cret:with/all@kinds%of#Ünusual"
BASIC = "Basic " + base64.b64encode(f"user:{SECRET}".encode()).decode()
DATA = b"x" * 1000


def index(**options: Any) -> FakePyPI:
    pypi = FakePyPI(**options)
    pypi.add("six", "six-1.0.tar.gz", DATA)
    return pypi


def url_of(pypi: FakePyPI) -> str:
    file: FakeFile = pypi.file("six-1.0.tar.gz")
    return f"{pypi.url}/{file.path}"


async def fetch(pypi: FakePyPI, **options: Any) -> bytes:
    """Have the page and the file, as a client that is opened with these options does."""
    async with HttpUpstream.open(pypi.simple, retries=0, connect_seconds=5, **options) as client:
        assert await client.page("six", None) is not None
        assert await client.size(url_of(pypi)) == len(DATA)
        async with client.file(url_of(pypi)) as answer:
            return b"".join([chunk async for chunk in answer.chunks])


async def refusal(pypi: FakePyPI, fault: type[UpstreamFault] = UpstreamUnavailable, **options: Any) -> str:
    with pytest.raises(fault) as caught:
        await fetch(pypi, **options)
    return caught.value.sentence


@pytest.mark.parametrize(
    ("wanted", "given"), [(BASIC, basic("user", SECRET)), ("Bearer t0k.en-~+/=", bearer("t0k.en-~+/="))]
)
async def test_an_index_that_wants_credentials(wanted: str, given: Any) -> None:
    with index(authorization=wanted) as pypi:
        assert await fetch(pypi, credentials=given) == DATA
        sentence = await refusal(pypi)
        assert "401" in sentence
        assert "credentials" in sentence
        sentence = await refusal(pypi, credentials=basic("user", "other-secret"))
        assert "other-secret" not in sentence
    assert wanted not in repr(given)


async def test_a_netrc_file_is_read_for_the_very_host(tmp_path: Path) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login user password s3cret\ndefault login anybody password for-all\n")
    found = from_netrc(file, "127.0.0.1")
    assert found == basic("user", "s3cret")
    with index(authorization=basic("user", "s3cret").authorization) as pypi:
        assert await fetch(pypi, credentials=found) == DATA
    assert from_netrc(file, "example.org") is None
    file.write_text("machine 127.0.0.1 login user passw0rd s3cret\n")
    with pytest.raises(ValueError, match="netrc") as caught:
        from_netrc(file, "127.0.0.1")
    assert "s3cret" not in str(caught.value)
    assert netrc_path({"NETRC": str(file)}) == file
    assert netrc_path({"NETRC": str(tmp_path / "none")}) is None


async def test_a_netrc_file_that_changes_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "netrc"
    kept = NetrcFile(file, "127.0.0.1", look_seconds=0)
    assert await kept.current() is None
    with index() as pypi:
        async with HttpUpstream.open(pypi.simple, retries=0, credentials=kept) as client:
            for password in ("first", "second"):
                file.write_text(f"machine 127.0.0.1 login user password {password}\n")
                pypi.authorization = basic("user", password).authorization
                assert await client.page("six", None) is not None
            file.write_text("machine 127.0.0.1 login user pass")  # in the middle of being written
            assert await client.page("six", None) is not None
            file.unlink()
            assert await client.page("six", None) is not None
    lazy = NetrcFile(file, "127.0.0.1", look_seconds=3600)
    assert await lazy.current() is None
    file.write_text("machine 127.0.0.1 login user password third\n")
    assert await lazy.current() is None


@pytest.fixture
async def elsewhere() -> AsyncIterator[FakePyPI]:
    with FakePyPI() as other:
        other.add("six", "six-1.0.tar.gz", DATA)
        yield other


async def test_credentials_are_shown_to_no_other_origin(elsewhere: FakePyPI) -> None:
    """Neither by a link on a page, nor by a redirect; another port is another origin."""
    with index() as pypi:
        pypi.fault("/simple/away/", Fault(redirect=f"{elsewhere.simple}six/"))
        pypi.fault("/moved.tar.gz", Fault(redirect=url_of(elsewhere)))
        async with HttpUpstream.open(pypi.simple, retries=0, credentials=bearer("t0ken")) as client:
            assert await client.page("away", None) is not None
            assert await client.size(url_of(elsewhere)) == len(DATA)
            for url in (url_of(elsewhere), f"{pypi.url}/moved.tar.gz"):
                async with client.file(url) as answer:
                    assert b"".join([chunk async for chunk in answer.chunks]) == DATA
    assert len(elsewhere.requests) == 4
    assert not [seen for seen in elsewhere.requests if "Authorization" in seen.headers]
    assert {seen.headers["Authorization"] for seen in pypi.requests} == {"Bearer t0ken"}


async def test_a_page_comes_from_its_own_host_where_that_is_asked_for(elsewhere: FakePyPI) -> None:
    with index() as pypi:
        pypi.fault("/simple/away/", Fault(redirect=f"{elsewhere.simple.replace('127.0.0.1', 'localhost')}six/"))
        pypi.fault("/simple/near/", Fault(redirect="/simple/six/"))
        pypi.fault("/moved.tar.gz", Fault(redirect=url_of(elsewhere).replace("127.0.0.1", "localhost")))
        async with HttpUpstream.open(pypi.simple, retries=0, stays=True) as client:
            assert await client.page("near", None) is not None
            with pytest.raises(UpstreamInvalid, match="another host"):
                await client.page("away", None)
            assert elsewhere.requests == []
            async with client.file(f"{pypi.url}/moved.tar.gz") as answer:
                assert b"".join([chunk async for chunk in answer.chunks]) == DATA


async def test_a_signed_address_is_followed_as_it_was_written_and_is_in_no_message() -> None:
    with index() as pypi:
        pypi.fault("/file.tar.gz", Fault(redirect="/signed%2Fpath/x?sig=a%2Fb%3D&k=%7Ev+w"))
        pypi.fault("/signed/path/x", Fault(status=403))
        async with HttpUpstream.open(pypi.simple, retries=0) as client:
            for url in (f"{pypi.url}/file.tar.gz", f"{pypi.url}/signed%2Fpath/x?sig=a%2Fb%3D"):
                with pytest.raises(UpstreamUnavailable) as caught:
                    await client.file(url).__aenter__()
                assert "sig=" not in caught.value.sentence
        assert pypi.raw_paths[1] == "/signed%2Fpath/x?sig=a%2Fb%3D&k=%7Ev+w"


async def test_an_own_authority_and_a_client_certificate(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "client")
    tls, _ = server_context(tmp_path, clients=certificate)
    trusted = {"ca_file": tmp_path / "certificate.pem"}
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    with index(tls=tls) as pypi:
        assert await fetch(pypi, client_cert=certificate, client_key=key, **trusted) == DATA
        assert await fetch(pypi, client_cert=both, **trusted) == DATA
        await refusal(pypi, **trusted)
        assert "trusted" in await refusal(pypi, client_cert=both)
        stranger = tmp_path / "stranger"
        stranger.mkdir()
        other, other_key = make_certificate(stranger, "stranger")
        await refusal(pypi, client_cert=other, client_key=other_key, **trusted)
    assert set(pypi.certificates) == {"client"}


async def test_a_client_certificate_is_shown_to_no_other_origin(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "client")
    tls, _ = server_context(tmp_path, clients=certificate)
    tls.verify_mode = ssl.CERT_OPTIONAL
    with index(tls=tls) as pypi, index(tls=tls) as other:
        options = {"client_cert": certificate, "client_key": key, "ca_file": tmp_path / "certificate.pem"}
        async with HttpUpstream.open(pypi.simple, retries=0, **options) as client:
            assert await client.page("six", None) is not None
            async with client.file(url_of(other)) as answer:
                assert b"".join([chunk async for chunk in answer.chunks]) == DATA
        assert pypi.certificates == ["client"]
        assert other.certificates == [None]


async def test_an_encrypted_key_is_an_error_and_no_question_at_the_terminal(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "client", password="s3cret")
    with pytest.raises(ssl.SSLError):
        async with HttpUpstream.open("https://127.0.0.1:9/simple/", client_cert=certificate, client_key=key):
            pass


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_forwards_and_tunnels(tmp_path: Path, scheme: str) -> None:
    tls = server_context(tmp_path)[0] if scheme == "https" else None
    options = {"ca_file": tmp_path / "certificate.pem"} if tls else {}
    login = basic("me", "pr0xy:secret")
    with index(tls=tls, authorization=BASIC) as pypi:
        async with forwarding(login.authorization) as proxy:
            named = {f"{scheme.upper()}_PROXY": f"http://me:pr0xy%3Asecret@127.0.0.1:{proxy.port}"}
            given = basic("user", SECRET)
            assert await fetch(pypi, proxies=Proxies(named), credentials=given, **options) == DATA
            host = pypi.url.partition("//")[2]
            expected = f"CONNECT {host}" if tls else f"GET {pypi.simple}six/"
            assert proxy.asked[0] == expected
            # A tunnel hides from the proxy what is for the index, and from the index what is for the proxy.
            assert ("Basic" in proxy.heads[0].replace(login.authorization, "")) is (tls is None)
            assert not [seen for seen in pypi.requests if "Proxy-Authorization" in seen.headers]
            count = len(proxy.asked)
            direct = Proxies({**named, "no_proxy": "127.0.0.0/8"})
            assert await fetch(pypi, proxies=direct, credentials=given, **options) == DATA
            assert len(proxy.asked) == count
            wrong = Proxies({"ALL_PROXY": f"http://me:wrong-one@127.0.0.1:{proxy.port}"})
            sentence = await refusal(pypi, proxies=wrong, credentials=given, **options)
            assert "proxy" in sentence
            assert "wrong-one" not in sentence
        gone = Proxies({"all_proxy": f"http://me:wrong-one@127.0.0.1:{closed_port()}"})
        sentence = await refusal(pypi, proxies=gone, credentials=given, **options)
        assert "proxy" in sentence
        assert "wrong-one" not in sentence
        assert "socks5" in await refusal(pypi, proxies=Proxies({"ALL_PROXY": "socks5://127.0.0.1:9"}), **options)


async def test_the_environments_proxy_is_asked_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    with index() as pypi:
        async with forwarding() as proxy:
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
            for name in ("no_proxy", "NO_PROXY"):
                monkeypatch.delenv(name, raising=False)
            assert await fetch(pypi) == DATA
            assert proxy.asked[0].startswith("GET http://127.0.0.1")
