"""The list of all projects."""

import json

import pytest
from tests.fakes.answers import JSON, answer

from buildthrough.proxy.errors import UpstreamInvalid
from buildthrough.proxy.project_list import ListSource, source_of
from buildthrough.proxy.project_list import render_project_list as rendition


def render_project_list(given, form):
    return b"".join(rendition(source_of(given), form))


URL = "https://index.example.org/mirror/simple/"


def html(body: str | bytes, **changes):
    return answer(body, "text/html", url=URL, **changes)


@pytest.mark.parametrize(
    "body",
    [
        '{"projects":[{"name":"six","x":1e3}, {"name":"Foo_Bar"}],"meta":{"api-version":"1.4"} }\n',
        '{"projects":[]}',
        '{"meta":{"note":"\u00e9"},"projects":[]}',
    ],
)
def test_json_passes_as_it_is(body):
    assert render_project_list(answer(body, url=URL), "json") == body.encode()


def test_html_from_json():
    listed = (
        '{"meta":{"_last-serial":7},"projects":[{"name":"six"},{"name":"Foo_Bar"},{"name":"<b>"},{"name":"\\ud800"}]}'
    )
    page = render_project_list(answer(listed, url=URL), "html").decode()
    assert [line.strip() for line in page.splitlines() if "<a " in line] == [
        '<a href="six/">six</a>',
        '<a href="foo-bar/">Foo_Bar</a>',
    ]
    assert page.startswith("<!DOCTYPE html>")
    assert page.endswith("</html>\n<!--SERIAL 7-->\n")


@pytest.mark.parametrize(
    ("href", "after"),
    [
        ("/mirror/simple/six/", "six/"),
        ("/mirror/simple/Foo_Bar", "foo-bar/"),
        ("https://index.example.org/mirror/simple/six/", "six/"),
        ("//index.example.org/mirror/simple/six/", "six/"),
        ("six/", "six/"),
        ("./six/", "./six/"),
        ("Six", "Six"),
        ("/simple/six/", "/simple/six/"),
        ("https://other.example.org/mirror/simple/six/", "https://other.example.org/mirror/simple/six/"),
        ("/mirror/simple/six/1.0/", "/mirror/simple/six/1.0/"),
        ("/mirror/simple/-/", "/mirror/simple/-/"),
        ("../", "../"),
        ("#a", "#a"),
        ("", ""),
    ],
)
def test_links_to_project_pages_become_relative(href, after):
    body = "<!DOCTYPE html>\n<!-- <a href='/mirror/simple/x/'> -->\n<a class=x href='HREF'>six</a><a href='x/'>x</a>\n"
    page = render_project_list(html(body.replace("HREF", href)), "html").decode()
    assert page == body.replace("HREF", after)


def test_a_base_is_honoured_and_taken_out_of_force():
    body = '<html><base href="/mirror/"><a href="simple/six/">six</a><a href="simple/x/">x</a></html>'
    page = render_project_list(html(body), "html").decode()
    assert page == '<html><base data-upstream-href="/mirror/"><a href="six/">six</a><a href="x/">x</a></html>'


def test_json_from_html():
    body = (
        '<html><a href="/mirror/simple/six/">six</a><a href="foo-bar/"> Foo_Bar\n</a><a href="../">up</a>'
        '<a href="x/">&lt;b&gt;</a><a href="y/"></a></html><!--SERIAL 7-->'
    )
    assert json.loads(render_project_list(html(body), "json")) == {
        "meta": {"_last-serial": 7, "api-version": "1.0"},
        "projects": [{"name": "six"}, {"name": "Foo_Bar"}, {"name": "x"}, {"name": "y"}],
    }


@pytest.mark.parametrize(
    ("body", "content_type", "sentence"),
    [
        ("", JSON, "an object"),
        ("{}", JSON, "without projects"),
        ('{"projects":{}}', JSON, "an array"),
        ('{"projects":[{"name":"six"}', JSON, "a comma or the end"),
        ('{"projects":[{}]}', JSON, "no name"),
        ('{"projects":["six"]}', JSON, "no name"),
        ('{"projects":[]}}', JSON, "more behind its end"),
        ('{"projects":[],"meta":{"api-version":"2.0"}}', JSON, "speaks version 2.0"),
        ("Bad gateway", "text/html", "names none"),
        ("<html><h1>Sign in</h1><a href='/login'>here</a></html>", "text/html", "names none"),
        ("<html></html>", "text/html", "names none"),
        ('<html><meta name="pypi:repository-version" content="2.0"></html>', "text/html", "speaks version 2.0"),
        ("<html></html>", "text/plain", "content type"),
        (b"<html>\xff", "text/html", "cannot be decoded"),
    ],
)
@pytest.mark.parametrize("form", ["json", "html"])
@pytest.mark.parametrize("last_serial", [None, "7"])
def test_what_is_no_list(body, content_type, sentence, form, last_serial):
    with pytest.raises(UpstreamInvalid, match=sentence):
        render_project_list(answer(body, content_type, last_serial=last_serial), form)


def test_long_lists_are_whole():
    names = [f"project-{number}" for number in range(10_000)]
    listed = json.dumps({"projects": [{"name": name} for name in names]})
    page = render_project_list(answer(listed, url=URL), "html")
    back = json.loads(render_project_list(html(page), "json"))
    assert [one["name"] for one in back["projects"]] == names


@pytest.mark.parametrize("size", [1, 7, 50])
@pytest.mark.parametrize("form", ["json", "html"])
def test_where_the_pieces_end_makes_no_difference(size, form):
    names = [f"project-{number}" for number in range(300)]
    body = json.dumps(
        {"meta": {"api-version": "1.4"}, "projects": [{"name": name, "é": 1.5} for name in names]}
    ).encode()
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    whole = ListSource(content_type=JSON, url=URL, last_serial=None, pieces=lambda: [body])
    parts = ListSource(content_type=JSON, url=URL, last_serial=None, pieces=lambda: pieces)
    assert b"".join(rendition(parts, form)) == b"".join(rendition(whole, form))
