"""Which proxy is asked for what."""

from __future__ import annotations

import pytest
from yarl import URL

from buildthrough.proxy.credentials import basic
from buildthrough.proxy.errors import UpstreamUnavailable
from buildthrough.proxy.proxies import Proxies

PROXY = "http://proxy.example.org:3128"


def asked(environment: dict[str, str], url: str) -> str | None:
    found = Proxies(environment).of(URL(url))
    return None if found is None else str(found.url)


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({}, "https://example.org/", None),
        ({"HTTPS_PROXY": PROXY}, "https://example.org/", PROXY),
        ({"https_proxy": PROXY}, "https://example.org/", PROXY),
        ({"HTTPS_PROXY": PROXY}, "http://example.org/", None),
        ({"HTTPS_PROXY": "http://one:1", "https_proxy": "http://two:2"}, "https://x.example.org/", "http://two:2"),
        ({"HTTPS_PROXY": "http://one:1", "https_proxy": ""}, "https://x.example.org/", None),
        ({"ALL_PROXY": PROXY}, "http://example.org/", PROXY),
        ({"HTTP_PROXY": "proxy.example.org:3128"}, "http://example.org/", PROXY),
        ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, "http://example.org/", None),
        ({"HTTP_PROXY": f"{PROXY}/path?query"}, "http://example.org/", PROXY),
    ],
)
def test_the_proxy_of_a_scheme(environment, url, expected):
    assert asked(environment, url) == expected


@pytest.mark.parametrize(
    ("exempt", "url", "is_direct"),
    [
        ("*", "http://example.org/", True),
        ("example.org", "http://example.org/", True),
        ("example.org", "http://EXAMPLE.org./", True),
        ("example.org", "http://a.example.org/", True),
        (".example.org", "http://a.example.org/", True),
        ("*.example.org", "http://a.example.org/", True),
        ("example.org", "http://badexample.org/", False),
        ("example.org:80", "http://example.org/", True),
        ("example.org:81", "http://example.org/", False),
        ("other, 10.0.0.0/8", "http://10.1.2.3/", True),
        ("10.0.0.0/8", "http://11.1.2.3/", False),
        ("10.1.2.3", "http://10.1.2.3:81/", True),
        ("10.1.2.3:81", "http://10.1.2.3:81/", True),
        ("::1", "http://[::1]:81/", True),
        ("[::1]:81", "http://[::1]:81/", True),
        ("[::1]:82", "http://[::1]:81/", False),
        (" , ,", "http://example.org/", False),
        (".", "http://example.org/", False),
    ],
)
def test_what_is_reached_without(exempt, url, is_direct):
    assert (asked({"HTTP_PROXY": PROXY, "NO_PROXY": exempt}, url) is None) is is_direct


def test_credentials_of_a_proxy_do_not_show():
    found = Proxies({"HTTP_PROXY": "http://me:s%40cret@proxy.example.org"}).of(URL("http://example.org/"))
    assert found is not None
    assert found.credentials == basic("me", "s@cret")
    assert "cret" not in repr(found)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "http://[", "http://"])
def test_a_proxy_that_cannot_be_used_is_not_passed_by(proxy):
    with pytest.raises(UpstreamUnavailable):
        Proxies({"HTTP_PROXY": proxy}).of(URL("http://example.org/"))
