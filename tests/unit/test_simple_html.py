"""Project pages in HTML: edited, never written anew; and either form derived from the other."""

import json
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.answers import DIGEST, HOST, URL, addition, answer

from buildthrough.proxy.errors import UpstreamInvalid
from buildthrough.proxy.html_text import attributes, tags
from buildthrough.proxy.page import read_page, render

GOLDEN = Path(__file__).parent.parent / "golden" / "pages"
NAME = "demo-1.0.tar.gz"
HREF = f"{HOST}/p/{NAME}#sha256={DIGEST}"


def read(body: str | bytes, content_type: str = "text/html", **changes):
    return read_page(answer(body, content_type, **changes), "demo")


def served(body: str, *additions, root: str = "../../") -> str:
    return render(read(body), "html", additions, root=root).decode()


class Links(HTMLParser):
    """What a client sees: pip's parser is this one."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.base = ""
        self.found: list[dict[str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.found.append(dict(attrs))
        if tag == "base" and "href" in dict(attrs):
            self.base = dict(attrs)["href"] or ""


def golden(name: str, body: bytes) -> None:
    assert body.decode() == (GOLDEN / name).read_text("utf-8")


ADDED = (
    addition("demo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", yanked='a > b & "c"'),
    addition("demo-1.0-py3-none-any.whl", yanked=True, requires_python=None, upload_time=None),
)


@pytest.mark.parametrize("sent", ["html", "json"])
@pytest.mark.parametrize("asked", ["html", "json"])
def test_golden_pages(sent, asked):
    content_type = "text/html" if sent == "html" else "application/vnd.pypi.simple.v1+json"
    page = read((GOLDEN / f"upstream.{sent}").read_bytes(), content_type)
    golden(f"{asked}-from-{sent}.{asked}", render(page, asked, ()))
    golden(f"{asked}-from-{sent}-with-wheels.{asked}", render(page, asked, ADDED))


def test_only_hrefs_are_replaced():
    before = (
        "<!doctype html><HTML><Body class=x onload='if (1 > 0) {}'>\n<!-- <a href='HREF'> --><A\n HREF = 'URL'\t"
        'data-x="1>0" data-YANKED data-yanked=twice disabled>demo</a><br>\n<p>1 < 2 </b >\n<a href=URL>x</a><script>'
        "'<a href=URL>'</script><style><a href=URL></style><title><a href=URL></title><![CDATA[ <a> ]]></ä><a/href=URL>"
    )
    after = served(before.replace("URL", HREF))
    ours = f"../../files/demo/p/{NAME}#sha256={DIGEST}"
    assert after == before.replace("HREF = 'URL'", f"HREF = '{ours}'").replace(
        "<a href=URL>x", f"<a href={ours}>x"
    ).replace("<a/href=URL>", f"<a/href={ours}>").replace("URL", HREF)


@pytest.mark.parametrize(
    "body",
    [
        "<html></html>",
        "<!DOCTYPE html>",
        "<a href=''></a>",
        "<html><a>no href</a><a href>none</a><a href='#top'>here</a><a href='mailto:x@example.org'>x</a></html>",
        "<html><a href='https://example.org/about'>about</a><a href='https://example.org'>x</a></html>",
        "\ufeff<html>é中😀</html>",
        "<html><!-- <a href='x.whl'>",
        "<html><a href='x.whl'",
    ],
)
def test_a_page_with_nothing_to_change_is_the_same_bytes(body):
    assert served(body) == body


@pytest.mark.parametrize(
    ("href", "after", "path"),
    [
        (f"{HOST}/p/{NAME}", f"../../files/demo/p/{NAME}", f"p/{NAME}"),
        (f"/p/{NAME}", f"../../files/demo/p/{NAME}", f"p/{NAME}"),
        (f" ../../p/{NAME}\n", f"../../files/demo/p/{NAME}", f"p/{NAME}"),
        (NAME, f"../../files/demo/simple/demo/{NAME}", f"simple/demo/{NAME}"),
        (f"{HOST}/p/{NAME}?a=1&amp;b=2#egg=demo", f"../../files/demo/p/{NAME}#egg=demo", f"p/{NAME}"),
        (f"{HOST}/a&amp;b/{NAME}", f"../../files/demo/a&amp;b/{NAME}", f"a&b/{NAME}"),
        (f"{HOST}/p/demo-1.0%2Bcu1-py3-none-any.whl", *["p/demo-1.0%2Bcu1-py3-none-any.whl"] * 2),
        (f"{HOST}/p/data#sha256={DIGEST}", f"../../files/demo/p/data#sha256={DIGEST}", "p/data"),
        ("../", "https://index.example.org/simple/", None),
        ("/about", "https://index.example.org/about", None),
        (f"%2e%2e/{NAME}", f"{URL}%2e%2e/{NAME}", None),
        (f"{HOST}/%2e%2e/{NAME}", f"{HOST}/%2e%2e/{NAME}", None),
        (f"ftp://files.example.org/{NAME}", f"ftp://files.example.org/{NAME}", None),
    ],
)
def test_hrefs(href, after, path):
    body = f'<html><a href="{href}">x</a></html>'
    after = f"../../files/demo/{after}" if after == path else after
    assert served(body) == f'<html><a href="{after}">x</a></html>'
    assert [entry.path for entry in read(body).files.entries] == ([] if path is None else [path])


def test_entries_say_what_upstream_said():
    body = (
        '<html><meta name="pypi:project-status" content="Quarantined">'
        f'<a href="{HOST}/p/{NAME}?t=1#sha256={"AB" * 32}" '
        'data-requires-python="&gt;=3.8" data-yanked="a &amp; b" data-core-metadata="sha256=' + "cd" * 32 + '" '
        'data-upload-time="2020-01-01T00:00:00Z">x</a></html><!--SERIAL 42-->'
    )
    page = read(body)
    (entry,) = page.files.entries
    assert (entry.filename, entry.url, entry.sha256) == (NAME, f"{HOST}/p/{NAME}?t=1", "ab" * 32)
    assert (entry.requires_python, entry.yanked, entry.upload_time) == (">=3.8", "a & b", "2020-01-01T00:00:00Z")
    assert entry.core_metadata == {"sha256": "cd" * 32}
    assert (page.files.status, page.form, page.last_serial) == ("quarantined", "html", "42")
    assert read(body, last_serial="43").last_serial == "43"


@pytest.mark.parametrize(
    ("written", "attribute", "value"),
    [
        ("", "yanked", False),
        ("data-yanked", "yanked", True),
        ('data-yanked=""', "yanked", True),
        ("data-yanked=broken", "yanked", "broken"),
        ('data-dist-info-metadata="true"', "core_metadata", True),
        ('data-core-metadata="False"', "core_metadata", False),
        ('data-core-metadata="sha256=zz"', "core_metadata", False),
        ("data-requires-python", "requires_python", None),
        ("data-upload-time='yesterday'", "upload_time", None),
        ("data-upload-time='2020-01-01T00:00:00.5+02:00'", "upload_time", "2020-01-01T00:00:00.5+02:00"),
        ("", "sha256", None),
    ],
)
def test_optional_attributes(written, attribute, value):
    (entry,) = read(f"<a href='{HOST}/p/{NAME}' {written}>x</a>").files.entries
    assert getattr(entry, attribute) == value


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_base_is_honoured_and_taken_out_of_force(place):
    base, link = f"<base target=_top HREF='{HOST}/deep/'>", f"<a href='p/{NAME}'>x</a><a href='about'>y</a>"
    body = f"<html>{base + link if place == 'before' else link + base}</html>"
    links = Links(served(body))
    assert links.base == ""
    assert [one["href"] for one in links.found] == [f"../../files/demo/deep/p/{NAME}", f"{HOST}/deep/about"]
    assert f"data-upstream-HREF='{HOST}/deep/'" in served(body)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("", "is none"),
        ("Bad gateway", "is none"),
        ("<p>Please log in</p>", "is none"),
        ('{"files": []}', "is none"),
        ("<!-- <html> -->", "is none"),
        ("<html", "is none"),
        (b"<html>\xff</html>", "cannot be decoded"),
        ('<html><meta name="pypi:repository-version" content="2.0"></html>', "speaks version 2.0"),
        ('<html><meta content="3" name="PyPI:Repository-Version"></html>', "speaks version 3"),
        ('<html><meta name="pypi:repository-version" content="new"></html>', "no version"),
    ],
)
def test_what_is_no_page(body, sentence):
    with pytest.raises(UpstreamInvalid, match=sentence):
        read(body)


@pytest.mark.parametrize(
    "body", ["<a href=x " * 20_000, "<a x='" * 20_001, "<" * 50_000, "<!--" * 50_000, "</" * 50_000]
)
def test_hostile_text_takes_no_longer_than_other_text(body):
    assert served("<html>" + body) == "<html>" + body


def test_other_charsets_leave_as_utf_8():
    page = read(f"<html>é<a href='{HREF}'>x</a>".encode("latin-1"), "text/html; charset=ISO-8859-1")
    assert render(page, "html", ()).decode() == f"<html>é<a href='../../files/demo/p/{NAME}#sha256={DIGEST}'>x</a>"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<html><body><a href='x'>x</a>\n</body></html>", "<html><body><a href='X'>x</a>\nADDED<br/>\n</body></html>"),
        ("<html><a href='x'>x</a></html>\n", "<html><a href='X'>x</a>ADDED<br/>\n</html>\n"),
        (
            "<a href='x'>x</a><br>\n  <a href='x'>x</a><br>\n",
            "<a href='X'>x</a><br>\n  <a href='X'>x</a><br>\nADDED<br>\n  ",
        ),
        ("<ul><li><a href='x'>x</a></li><li><a href='x'>x</a></li></ul></body>",) * 2,
        ("<!--</body>--></BODY><a href='x'>x</a>", "<!--</body>--></BODY><a href='X'>x</a>ADDED<br/>\n"),
        ("<html>", "<html>ADDED<br/>\n"),
    ],
)
def test_additions_go_to_the_end_in_the_style_of_the_page(before, after):
    added = served("<html>", addition()).removeprefix("<html>").removesuffix("<br/>\n")
    if after == before:
        after = before.replace("</body>", "ADDED<br/>\n</body>").replace("'x'", "'X'")
    after = after.replace("'X'", "'https://index.example.org/simple/demo/x'").replace("ADDED", added)
    assert served(before, addition()) == after


def test_an_addition_says_all_that_an_anchor_can_say():
    text = served(f"<html><a href='{HREF}'>x</a></html>", *ADDED, root="../../../")
    _, native, pure = Links(text).found
    digest = "ab" * 32
    assert native == {
        "href": f"../../../built/demo/{digest}/demo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl#sha256={digest}",
        "data-requires-python": ">=3.8",
        "data-core-metadata": f"sha256={'cd' * 32}",
        "data-dist-info-metadata": f"sha256={'cd' * 32}",
        "data-yanked": 'a > b & "c"',
        "data-upload-time": "2020-01-01T00:00:00.000000Z",
    }
    assert pure["data-yanked"] == ""
    assert "data-requires-python" not in pure


def test_derived_json_has_no_nulls_and_lists_no_other_links():
    body = (
        f"<html><a href='../'>up</a><a href='{HREF}' data-yanked data-upload-time data-provenance>x</a>"
        f"<a href='{HOST}/%2e%2e/{NAME}'>y</a></html>"
    )
    page = json.loads(render(read(body), "json", ()))
    assert page == {
        "meta": {"api-version": "1.0"},
        "name": "demo",
        "files": [
            {"filename": NAME, "url": f"../../files/demo/p/{NAME}", "hashes": {"sha256": DIGEST}, "yanked": True},
            {"filename": NAME, "url": f"{HOST}/%2e%2e/{NAME}", "hashes": {}},
        ],
    }


def test_derived_html_survives_what_json_can_say():
    name = 'demo-1.0"><script>.tar.gz'
    file = {"filename": name, "url": f"{HOST}/p/{name}", "yanked": "\ud800<", "requires-python": '"', "gpg-sig": True}
    page = read(json.dumps({"files": [file]}), "application/vnd.pypi.simple.v1+json")
    (link,) = Links(render(page, "html", ()).decode()).found
    assert link == {
        "href": f"../../files/demo/p/{name}",
        "data-requires-python": '"',
        "data-yanked": "?<",
        "data-gpg-sig": "true",
    }


MARKUP = st.lists(
    st.sampled_from(
        [
            *["<a href=", '"', "'", ">", "<", "/", "=", " ", "x.whl", HREF, "</a>", "<!--", "-->", "--!>", "<script>"],
            *[
                "</script>",
                "<base href=",
                "<p ",
                "&amp;",
                "é",
                "\n",
                "<!DOCTYPE html>",
                "<?x",
                "</body>",
                "<a ",
                "<title>",
            ],
        ]
    ),
    max_size=25,
)


@settings(max_examples=300)
@given(MARKUP)
def test_any_text_differs_in_its_links_alone(pieces):
    text = "<html>" + "".join(pieces)
    page = read(text)
    after = render(page, "html", ()).decode()
    kept, at = [], 0
    for edit in page.document.edits:
        assert at <= edit.start <= edit.end
        kept.append(text[at : edit.start])
        at = edit.end
    kept.append(text[at:])
    rest = after
    for piece in kept:
        assert piece in rest
        rest = rest.partition(piece)[2]
    links = [attributes(after, tag).get("href") for tag in tags(after) if tag.name == "a"]
    before = [attributes(text, tag).get("href") for tag in tags(text) if tag.name == "a"]
    assert len(links) == len(before)
    render(page, "json", ())


def test_links_lead_where_they_led():
    page = read((GOLDEN / "upstream.html").read_bytes())
    served_at = "http://127.0.0.1:8018/simple/demo/"
    links = [urljoin(served_at, one["href"]) for one in Links(render(page, "html", ()).decode()).found]
    assert [link.partition("#")[0] for link in links] == [
        f"http://127.0.0.1:8018/files/demo/{entry.path}" for entry in page.files.entries
    ]


@pytest.mark.parametrize(
    ("hidden", "left"), [({"a-1.0.tar.gz"}, ["b"]), ({"b-1.0.tar.gz"}, ["a"]), ({"a-1.0.tar.gz", "b-1.0.tar.gz"}, [])]
)
def test_hidden_files(hidden, left):
    first = "<a href='/p/a-1.0.tar.gz'><b>a</b>-1.0.tar.gz</a><br/>"
    body = f"<html><body>\n{first}\n<a href='/p/b-1.0.tar.gz'>b-1.0.tar.gz</a> end</body></html>"
    shown = render(read(body), "html", (), hidden=frozenset(hidden)).decode()
    assert [name for name in "ab" if f"files/demo/p/{name}-1.0" in shown] == left
    assert shown.startswith("<html><body>\n")
    assert shown.endswith("end</body></html>")
    assert [
        name
        for name in "ab"
        if f"{name}-1.0.tar.gz" in render(read(body), "json", (), hidden=frozenset(hidden)).decode()
    ] == left
