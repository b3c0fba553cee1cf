"""Which form a client gets."""

import pytest

from buildthrough.proxy.errors import NotAcceptable
from buildthrough.proxy.negotiation import HTML, JSON, LONGEST_HEADER, TEXT, choose, choose_coding

V1 = "application/vnd.pypi.simple.v1"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        # what clients really send
        (f"{V1}+json, {V1}+html; q=0.1, text/html; q=0.01", JSON),  # pip
        (f"{V1}+json, {V1}+html;q=0.2, text/html;q=0.01", JSON),  # uv
        (f"{V1}+json, */*;q=0.1", JSON),  # poetry
        ("*/*", TEXT),  # curl, pipenv
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT),  # a browser
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", TEXT),  # old Java
        (None, TEXT),
        ("", TEXT),
        ("  ", TEXT),
        # weights decide, order does not
        (f"{V1}+html;q=0.3, {V1}+json;q=0.2", HTML),
        (f"text/html;q=0.01, {V1}+json", JSON),
        (f"text/html, {V1}+html, {V1}+json", JSON),
        (f"{V1}+json;q=0, */*", TEXT),
        (f"text/html;q=0, */*;q=0.5, {V1}+json;q=0", HTML),
        ("application/*", JSON),
        (f"application/*;q=0.9, {V1}+json;q=0", HTML),
        ("text/*;q=0.3, application/*;q=0.2", TEXT),
        (f"*/*, {V1}+html;q=0.1", TEXT),
        # spellings
        ("application/vnd.pypi.simple.latest+json", JSON),
        ("application/vnd.pypi.simple.latest+html", HTML),
        ("APPLICATION/VND.PyPI.Simple.V1+JSON", JSON),
        (f"{V1}+json ; charset=utf-8 ; q=1.000", JSON),
        (f', ,{V1}+json;x="a b",', JSON),
        # what cannot be understood
        ("garbage", TEXT),
        ("application/json; q=high", TEXT),
        (";;;", TEXT),
        ("application/xml, ()", TEXT),
        (f"{V1}+json;q=2, text/html;q=0.1", TEXT),
        ("x/y," * LONGEST_HEADER, TEXT),
    ],
)
def test_the_client_gets_what_it_prefers(accept, chosen):
    assert choose(accept) == chosen


@pytest.mark.parametrize(
    "accept",
    ["application/json", "application/vnd.pypi.simple.v2+json", "image/*", "*/*;q=0", "text/html;q=0.0", "text/plain"],
)
def test_nothing_acceptable(accept):
    with pytest.raises(NotAcceptable, match=r"application/vnd\.pypi\.simple\.v1\+json"):
        choose(accept)


def test_the_actual_version_is_named_in_lower_case():
    assert JSON.content_type == "application/vnd.pypi.simple.v1+json"
    assert HTML.content_type == "application/vnd.pypi.simple.v1+html"
    assert TEXT.content_type.startswith("text/html")


@pytest.mark.parametrize(
    ("value", "chosen"),
    [
        (f"{V1}+json", JSON),
        (f"{V1} json", JSON),  # a plus sign in a query string
        ("application/vnd.pypi.simple.latest+html", HTML),
        ("text/html", TEXT),
        ("", HTML),
        (None, HTML),
    ],
)
def test_the_format_parameter_overrides(value, chosen):
    assert choose(f"{V1}+html", value) == chosen


def test_an_unknown_format_parameter():
    with pytest.raises(NotAcceptable, match="format"):
        choose("*/*", "application/xml")


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        (None, "identity"),
        ("", "identity"),
        ("gzip, deflate", "gzip"),
        ("gzip, deflate, zstd", "zstd"),
        ("gzip, zstd;q=0.9", "gzip"),
        ("zstd", "zstd"),
        ("zstd;q=0, gzip", "gzip"),
        ("identity", "identity"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip;q=0", "identity"),
        ("gzip; q=0.0, *", "identity"),
        ("*", "gzip"),
        ("*;q=0", "identity"),
        ("br;q=1, gzip;q=0.001", "gzip"),
        ("gzipped", "identity"),
        ("gzip," * LONGEST_HEADER, "identity"),
    ],
)
def test_coding(header, coding):
    assert choose_coding(header) == coding
