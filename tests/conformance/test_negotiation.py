"""Which form of a page a client gets."""

from __future__ import annotations

import pytest
from tests.integration.assembled import HTML, JSON, TEXT

PAGES = ("/simple/demo/", "/simple/", "/upstream/simple/demo/", "/at/2025-01-01T00:00:00Z/simple/demo/")
SENT = {
    "pip": (f"{JSON}, {HTML}; q=0.1, text/html; q=0.01", JSON),
    "uv": (f"{JSON}, {HTML};q=0.2, text/html;q=0.01", JSON),
    "poetry": (f"{JSON}, */*;q=0.1", JSON),
    "pipenv, curl": ("*/*", TEXT),
    "no header": (None, TEXT),
    "a browser": ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", TEXT),
    "an old pip": ("text/html", TEXT),
}


@pytest.mark.parametrize("client", SENT)
async def test_what_clients_send_gets_what_pypi_gives_them(sdist, site, client):
    accept, expected = SENT[client]
    for page in PAGES:
        answer = await site.ask(page, **({} if accept is None else {"Accept": accept}))
        assert (answer.status, answer.headers["Content-Type"]) == (200, expected)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (f"text/html;q=0.9, {JSON};q=0.8", TEXT),
        (f"{JSON};q=0.8, text/html;q=0.9", TEXT),
        (f"{HTML};q=0.3, {JSON};q=0.4", JSON),
        (f"{JSON};q=0, text/html;q=0.1", TEXT),
        (f"text/html;q=0.001,{HTML};q=0.002", HTML),
        (f"{JSON};q=0, */*", TEXT),
        ("", TEXT),
    ],
)
async def test_weights_decide_and_order_does_not(sdist, site, accept, expected):
    assert (await site.ask("/simple/demo/", Accept=accept)).headers["Content-Type"] == expected


async def test_latest_is_answered_with_the_version_that_it_is(sdist, site):
    for kind in ("json", "html"):
        answer = await site.ask("/simple/demo/", Accept=f"application/vnd.pypi.simple.latest+{kind}")
        assert answer.headers["Content-Type"] == f"application/vnd.pypi.simple.v1+{kind}"


async def test_nothing_acceptable_is_406(sdist, site):
    for page in PAGES:
        answer = await site.ask(page, Accept="application/vnd.pypi.simple.v2+json")
        assert answer.status == 406
        assert JSON in answer.sentence


async def test_the_format_parameter_overrides_the_header(sdist, site):
    for page in PAGES:
        for kind, expected in ((JSON, JSON), (HTML, HTML), ("text/html", TEXT), (JSON.replace("+", "%2B"), JSON)):
            for accept in ("text/html", JSON, "image/png"):
                answer = await site.ask(f"{page}?format={kind}", Accept=accept)
                assert (answer.status, answer.headers["Content-Type"]) == (200, expected)
        assert (await site.ask(f"{page}?format=application/pdf")).status == 406


@pytest.mark.parametrize("spelling", ["Application/VND.pypi.simple.V1+JSON", JSON])
async def test_the_content_type_is_spelled_in_lower_case_whatever_upstream_and_client_write(
    pypi, sdist, site, spelling
):
    """Its letters count for uv."""
    pypi.fault("/simple/demo/", _spelled("Application/vnd.PyPI.simple.v1+JSON"))
    answer = await site.ask("/simple/demo/", Accept=spelling)
    assert (answer.status, answer.headers["Content-Type"]) == (200, JSON)


def _spelled(content_type):
    from tests.fakes.faults import Fault

    return Fault(headers={"Content-Type": content_type})
