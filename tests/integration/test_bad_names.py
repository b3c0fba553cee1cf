"""Names that are no names, and paths that climb: a clear refusal, and nothing of it reaches upstream or the disk."""

from __future__ import annotations

import pytest
from tests.fakes.sdists import pure_sdist
from tests.integration.assembled import JSON, TOKEN

NAMES = [
    "demo%0A",
    "%0Ademo",
    "demo%0D%0AX-Evil:%201",
    "..",
    ".",
    "%2e%2e",
    "%2E%2E%2F%2E%2E",
    "..%2f..%2fetc%2fpasswd",
    "..%5c..%5cetc",
    "%252e%252e",
    "a" * 1000,
    "-",
    "_",
    "demo-",
    ".demo",
    "de%20mo",
    "%20demo",
    "%00",
    "demo%00",
    "d%C3%A9mo",
    "%E2%80%AEdemo",
    "\N{KELVIN SIGN}",
    "%E2%84%AA",
    "%ff%fe",
    "%zz",
    "%",
    "%u0041",
    "demo%3Fx",
    "demo%23x",
    "de*mo",
    "demo@1",
    "<script>alert(1)</script>",
    "demo;rm",
    "$(id)",
    "con:",
    "%F0%9F%90%8D",
]


@pytest.fixture
def sdist(pypi):
    pypi.add("other", "other-1.0.tar.gz", b"other")
    return pypi.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data)


async def raw(site, target: str | bytes) -> tuple[int, bytes]:
    """Send a request target as it is, as no client would spell it."""
    target = target.encode() if isinstance(target, str) else target
    answer = await site.raw(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\nX-Evil" not in head
    return int(head.split()[1]), body


def is_sentence(body: bytes) -> bool:
    text = body.decode()
    return text.endswith(".\n") and text.count("\n") == 1 and "Traceback" not in text and "<script" not in text


async def test_names_that_are_none(pypi, site, sdist):
    for name in NAMES:
        for target in (f"/simple/{name}/", f"/simple/{name}", f"/upstream/simple/{name}/", f"/files/{name}/x/y.whl"):
            status, body = await raw(site, target)
            assert status in {400, 404}, (target, status)
            assert is_sentence(body), (target, body)
        status, body = await raw(site, f"/built/{name}/{'0' * 64}/x-1.0-py3-none-any.whl")
        assert status in {400, 404}, name
        assert is_sentence(body)
    assert pypi.requests == []
    assert (await site.ask("/simple/demo/", Accept=JSON)).status == 200


async def test_an_empty_name(site):
    for target in ("/simple//", "/upstream/simple//", "/files//x", "/built//x", "//", "//simple/demo/"):
        status, body = await raw(site, target)
        assert status in {400, 404}, target
        assert is_sentence(body)


SECRETS = ("admin.token", "server.json", "catalog.sqlite3", "lock", "../../../../etc/passwd")
CLIMBS = [
    "/files/demo/../../{}",
    "/files/demo/%2e%2e/%2e%2e/{}",
    "/files/demo/..%2f..%2f{}",
    "/files/demo/%2e%2e%2f%2e%2e%2f{}",
    "/files/demo/%252e%252e%252f{}",
    "/files/demo/..%5c..%5c{}",
    "/files/demo/..\\..\\{}",
    "/files/demo/....//....//{}",
    "/files/demo/./{}",
    "/files/demo//{}",
    "/files/demo/%2F{}",
    "/files/demo/file:%2f%2f{}",
    "/files/demo/packages/%00{}",
    "/files/demo/{}%00.tar.gz",
    "/files/demo/..;/{}",
    "/files/demo/%c0%ae%c0%ae/{}",
    "/files/../{}",
    "/simple/../{}",
    "/built/demo/../../{}",
    "/built/demo/" + "0" * 64 + "/..%2f..%2f..%2f{}",
    "/built/demo/" + "0" * 64 + "/{}",
    "/../{}",
    "/{}",
    "/data/{}",
    "/static/{}",
]


async def test_paths_that_climb(pypi, site, sdist):
    for climb in CLIMBS:
        for secret in SECRETS:
            target = climb.format(secret)
            status, body = await raw(site, target)
            assert status in {400, 404}, (target, status)
            assert is_sentence(body), (target, body)
            assert TOKEN.encode() not in body
            assert b"root:" not in body
    assert pypi.count("/packages/*") == 0
    assert (await site.ask(f"/files/demo/{sdist.path}")).status == 200


async def test_spellings_of_a_listed_path_that_are_another_path(pypi, site, sdist):
    first, rest = sdist.path.split("/", 1)
    for path in (
        f"{first}/../{first}/{rest}",
        f"{first}/./{rest}",
        f"{first}//{rest}",
        f"{first}\\{rest}",
        f"{first}%5C{rest}",
        f"{sdist.path}%00",
        f"{sdist.path}%0A",
        f"{sdist.path}%20",
        sdist.path.upper(),
        f"{sdist.path};x",
        f"../other/{sdist.path}",
    ):
        status, body = await raw(site, f"/files/demo/{path}")
        assert status in {400, 404}, (path, status)
        assert is_sentence(body)


async def test_targets_that_are_no_paths(site):
    for target in (
        b"http://example.org/simple/demo/",
        b"*",
        b"example.org:443",
        b"/simple/\xff\xfe/",
        b"/simple/demo/?\xff",
        b"/%",
        b"/?" + b"x=1&" * 3000,
        b"/simple/?format=" + b"%0d%0aX-Evil:1",
        b"/simple/demo?%0d%0aX-Evil:1",
        b"/" + b"a/" * 4000,
        b"/simple/" + b"a" * 8000 + b"/",
    ):
        status, body = await raw(site, target)
        assert status in {200, 301, 400, 404, 406}, (target[:60], status)
        assert status < 400 or is_sentence(body), (target[:60], body)
    assert (await site.ask("/health/live")).status == 200


async def test_the_legacy_json_beside_the_index_is_a_quick_404(pypi, site, sdist):
    for path in ("/simple/demo/json", "/simple/demo/1.0/", "/simple/demo/json/"):
        answer = await site.ask(path)
        assert answer.status == 404, path
        assert answer.sentence
    assert pypi.requests == []
