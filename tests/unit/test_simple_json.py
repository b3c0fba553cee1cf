"""Project pages in JSON: edited, never written anew."""

import json
import time
from urllib.parse import urljoin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.answers import DIGEST, HOST, JSON, URL, addition, answer

from buildthrough.proxy.errors import UpstreamInvalid
from buildthrough.proxy.json_reader import JsonReader
from buildthrough.proxy.page import read_page, render


def page(*files: dict, **top) -> str:
    return json.dumps({"meta": {"api-version": "1.4"}, "name": "demo", "files": list(files), **top})


def file(filename: str = "demo-1.0.tar.gz", **changes) -> dict:
    plain = {"filename": filename, "url": f"{HOST}/packages/aa/bb/{filename}", "hashes": {"sha256": DIGEST}, "size": 7}
    return {**plain, **changes}


def served(body: str | bytes, *additions, root: str = "../../") -> bytes:
    return render(read_page(answer(body), "demo"), "json", additions, root=root)


def test_only_urls_are_replaced():
    before = (
        (
            '{ "x-new" : [1.50e+3, null, "\\u00e9\\/"],\n "meta":{"_last-serial":0012e0 , "api-version": "1.99"},'
            ' "name":"demo", "files" :[ {"filename":"demo-1.0.tar.gz", "url" : "URL/packages/a/demo-1.0.tar.gz",'
            ' "hashes":{"md5":"00","sha256":"DIGEST"},"size":1.0E1, "x":{"url":"kept"},"x":2 } ] ,"versions":["1.0"]}\n'
        )
        .replace("0012e0", "12e0")
        .replace("DIGEST", DIGEST)
    )
    after = before.replace("URL/packages", "../../files/demo/packages")
    assert served(before.replace("URL", HOST)).decode() == after


@pytest.mark.parametrize(
    "body",
    [
        page(),
        '{"files":[],"meta":{"api-version":"1.0"}}',
        '\ufeff{"files": [ ]}',
        '{"files":[{"filename":"x","url":"ftp://example.org/x"}]}',
        page(file(url=f"{HOST}/blob/{DIGEST}"), file(url="data:,x"), file(url="http://[::1"), name="d\u00e9mo\u4e2d"),
    ],
)
def test_a_page_with_nothing_to_change_is_the_same_bytes(body):
    assert served(body) == body.encode()


def test_entries_say_what_upstream_said():
    read = read_page(
        answer(
            page(
                file(
                    **{
                        "hashes": {"blake2b": "00" * 32, "sha256": DIGEST.upper()},
                        "requires-python": ">=3.8",
                        "yanked": "broken",
                        "upload-time": "2020-01-01T00:00:00Z",
                        "core-metadata": {"sha256": "EF" * 32},
                        "url": f"{HOST}/packages/demo-1.0.tar.gz?token=1#egg=demo",
                    }
                ),
                **{"project-status": {"status": "archived", "reason": "done"}},
            ).replace('"api-version": "1.4"', '"api-version": "1.4", "_last-serial": 42')
        ),
        "demo",
    )
    (entry,) = read.files.entries
    assert (entry.filename, entry.sha256, entry.size) == ("demo-1.0.tar.gz", DIGEST, 7)
    assert (entry.requires_python, entry.yanked, entry.upload_time) == (">=3.8", "broken", "2020-01-01T00:00:00Z")
    assert entry.core_metadata == {"sha256": "ef" * 32}
    assert (entry.url, entry.path) == (f"{HOST}/packages/demo-1.0.tar.gz?token=1", "packages/demo-1.0.tar.gz")
    assert (read.files.project, read.files.status, read.form, read.last_serial) == ("demo", "archived", "json", "42")


@pytest.mark.parametrize(
    ("changes", "attribute", "value"),
    [
        ({"yanked": True}, "yanked", True),
        ({"yanked": ""}, "yanked", True),
        ({"yanked": None}, "yanked", False),
        ({"yanked": 1}, "yanked", False),
        ({"size": None}, "size", None),
        ({"size": "7"}, "size", None),
        ({"size": -1}, "size", None),
        ({"size": True}, "size", None),
        ({"requires-python": None}, "requires_python", None),
        ({"requires-python": 3}, "requires_python", None),
        ({"upload-time": None}, "upload_time", None),
        ({"hashes": None}, "sha256", None),
        ({"hashes": ["sha256"]}, "sha256", None),
        ({"hashes": {"sha256": None, "md5": 3}}, "sha256", None),
        ({"hashes": {"sha256": "5d"}}, "sha256", None),
        ({"core-metadata": True}, "core_metadata", True),
        ({"core-metadata": False, "data-dist-info-metadata": False}, "core_metadata", False),
        ({"core-metadata": {}}, "core_metadata", True),
        ({"core-metadata": None}, "core_metadata", False),
        ({"dist-info-metadata": {"sha256": DIGEST}}, "core_metadata", {"sha256": DIGEST}),
        ({"data-dist-info-metadata": True}, "core_metadata", True),
    ],
)
def test_optional_values(changes, attribute, value):
    (entry,) = read_page(answer(page(file(**changes))), "demo").files.entries
    assert getattr(entry, attribute) == value


NAME = "demo-1.0.tar.gz"


@pytest.mark.parametrize(
    ("url", "after", "path"),
    [
        (f"{HOST}/p/{NAME}", f"../../files/demo/p/{NAME}", f"p/{NAME}"),
        (f"https://Files.Example.org:8443/p/{NAME}", f"../../files/demo/p/{NAME}", f"p/{NAME}"),
        (f"/p/{NAME}", f"../../files/demo/p/{NAME}", f"p/{NAME}"),
        (f"../../p/{NAME}", f"../../files/demo/p/{NAME}", f"p/{NAME}"),
        (f"//other.example.org/p/{NAME}", f"../../files/demo/p/{NAME}", f"p/{NAME}"),
        (f"{HOST}/p/demo%2D1.0.tar.gz", "../../files/demo/p/demo%2D1.0.tar.gz", "p/demo%2D1.0.tar.gz"),
        (f"{HOST}/p/{NAME}?token=1", f"../../files/demo/p/{NAME}", f"p/{NAME}"),
        (f"{HOST}/p/{NAME}#sha256=00", f"../../files/demo/p/{NAME}#sha256=00", f"p/{NAME}"),
        (f"{HOST}/é/{NAME}", f"../../files/demo/é/{NAME}", f"é/{NAME}"),
        (f'{HOST}/"/{NAME}', f'../../files/demo/"/{NAME}', f'"/{NAME}'),
        # What we cannot serve under a URL of ours stays upstream's; a relative one is made absolute.
        (f"{HOST}/p/../{NAME}", None, None),
        (f"{HOST}/p/%2e%2E/{NAME}", None, None),
        (f"{HOST}/p/.%2e/{NAME}", None, None),
        (f"{HOST}/./{NAME}", None, None),
        (f"{HOST}//{NAME}", None, None),
        (f"{HOST}/p%2Fq/{NAME}", None, None),
        (f"{HOST}/p%5Cq/{NAME}", None, None),
        (f"{HOST}/p\\q/{NAME}", None, None),
        (f"{HOST}/p%00/{NAME}", None, None),
        (f"{HOST}/p\n/{NAME}", None, None),
        (f"{HOST}/\ud800/{NAME}", None, None),
        (f"{HOST}/p/{NAME}/", None, None),
        (f"{HOST}/p/other-1.0.tar.gz", None, None),
        (f"{HOST}/blob/{DIGEST}", None, None),
        (f"{HOST}", None, None),
        (f"ftp://files.example.org/{NAME}", None, None),
        (f"file:///{NAME}", None, None),
        ("javascript:alert(1)", None, None),
        ("", URL, None),
        ("other.tar.gz", f"{URL}other.tar.gz", None),
        (f"%2e%2e/{NAME}", f"{URL}%2e%2e/{NAME}", None),
    ],
)
def test_file_urls(url, after, path):
    read = read_page(answer(page(file(url=url))), "demo")
    rendered = json.loads(render(read, "json", ()))
    assert rendered["files"][0]["url"] == (url if after is None else after)
    assert [entry.path for entry in read.files.entries] == ([] if path is None else [path])
    if path is not None:
        assert read.files.entries[0].url == urljoin(URL, url).partition("#")[0]


def test_two_files_of_one_path_do_not_share_a_url():
    body = page(file(), file(url=f"https://other.example.org/packages/aa/bb/{NAME}"), file())
    read = read_page(answer(body), "demo")
    urls = [entry["url"] for entry in json.loads(render(read, "json", ()))["files"]]
    ours = f"../../files/demo/packages/aa/bb/{NAME}"
    assert urls == [ours, f"https://other.example.org/packages/aa/bb/{NAME}", ours]
    assert {entry.url for entry in read.files.entries} == {f"{HOST}/packages/aa/bb/{NAME}"}


@pytest.mark.parametrize(
    "element",
    [
        '{"filename":"demo-1.0.tar.gz","x":{"url":"URL"},"url":"URL"}',
        '{"filename":"demo-1.0.tar.gz","\\u0075rl":"URL","x":{"url":"kept"}}',
        '{"url":"URL","filename":"demo-1.0.tar.gz","x":["\\\\\\"url\\":\\"kept\\"","url"]}',
        '{"url":"https:\\/\\/files.example.org\\/p\\/demo-1.0.tar.gz","filename":"demo-1.0.tar.gz"}',
        '{"url":"URL","url":"URL","filename":"demo-1.0.tar.gz"}',
        '{"filename":"demo-1.0.tar.gz"\n,"url"\t:\r\n"URL"}',
    ],
)
def test_the_right_url_is_found(element):
    body = '{"files":[' + element.replace("URL", f"{HOST}/p/{NAME}") + "]}"
    before, after = json.loads(body)["files"][0], json.loads(served(body))["files"][0]
    assert after == {**before, "url": f"../../files/demo/p/{NAME}"}


def test_additions_go_behind_the_last_file():
    before = page(file(), versions=["1.0"])
    after = json.loads(served(before, addition(yanked="broken"), addition("demo-1.0-py2-none-any.whl")))
    assert [one["filename"] for one in after["files"]] == [
        "demo-1.0.tar.gz",
        "demo-1.0-py3-none-any.whl",
        "demo-1.0-py2-none-any.whl",
    ]
    assert after["files"][1] == {
        "filename": "demo-1.0-py3-none-any.whl",
        "url": f"../../built/demo/{'ab' * 32}/demo-1.0-py3-none-any.whl",
        "hashes": {"sha256": "ab" * 32},
        "size": 1234,
        "core-metadata": {"sha256": "cd" * 32},
        "requires-python": ">=3.8",
        "yanked": "broken",
        "upload-time": "2020-01-01T00:00:00.000000Z",
    }
    assert after["files"][2]["yanked"] is False
    assert after["versions"] == ["1.0"]


def test_an_addition_has_no_nulls():
    after = json.loads(served(page(file()), addition(requires_python=None, upload_time=None)))
    assert None not in after["files"][1].values()
    assert "versions" not in after


@pytest.mark.parametrize(
    ("versions", "version", "after"),
    [
        (["1.0"], "1.0", ["1.0"]),
        (["1.0.0"], "1.0", ["1.0.0"]),
        (["v1.0"], "1.0", ["v1.0"]),
        (["0.9"], "1.0", ["0.9", "1.0"]),
        ([], "1.0", ["1.0"]),
    ],
)
def test_the_version_of_an_addition_is_among_the_versions(versions, version, after):
    for body in (page(file(), versions=versions), json.dumps({"versions": versions, "files": []})):
        assert json.loads(served(body, addition(version=version)))["versions"] == after


def test_additions_to_a_page_without_files():
    assert len(json.loads(served('{"files": [ ]}', addition(), addition()))["files"]) == 2


def test_the_root_is_the_way_to_the_server():
    after = json.loads(served(page(file()), addition(), root="../../../"))
    assert after["files"][0]["url"] == f"../../../files/demo/packages/aa/bb/{NAME}"
    assert after["files"][1]["url"].startswith("../../../built/demo/")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("", "an object"),
        ("null", "an object"),
        ("[]", "an object"),
        ("{", "a key"),
        ("{}", "no files"),
        ('{"files":{}}', "an array"),
        ('{"files":null}', "an array"),
        ('{"files":[]', "a comma or the end"),
        ('{"files":[]}x', "more behind its end"),
        ('{"files":[],}', "a key"),
        ('{"files":[1]}', "no object"),
        ('{"files":[{}]}', "no filename"),
        ('{"files":[{"filename":"x"}]}', "no url"),
        ('{"files":[{"filename":"x","url":null}]}', "no url"),
        ('{"files":[{"filename":3,"url":"x"}]}', "no filename"),
        ('{"files":[{"filename":"x","url":"y"},]}', "an element was expected"),
        ('{"files":[] "x":1}', "a comma or the end"),
        ('{"files" []}', "a colon"),
        ("{files:[]}", "a key"),
        ('{1:[],"files":[]}', "a key"),
        ('{"x":' + "[" * 200_000 + "]" * 200_000 + ',"files":[]}', "recursion"),
        ('{"files":[],"meta":{"api-version":"2.0"}}', "speaks version 2.0"),
        ('{"files":[],"meta":{"api-version":"10"}}', "speaks version 10"),
        ('{"files":[],"meta":{"api-version":2}}', "no version"),
        ('{"files":[],"meta":{"api-version":"one"}}', "no version"),
        ('{"meta":{"api-version":"1.0"}}', "no files"),
        (b'{"files":["\xff"]}', "cannot be decoded"),
        ("<html></html>", "an object"),
    ],
)
def test_what_is_no_page(body, sentence):
    with pytest.raises(UpstreamInvalid, match=sentence):
        read_page(answer(body), "demo")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/octet-stream", "", "json", "a/b/c", "image/png;x=\n"]
)
def test_what_claims_to_be_something_else(content_type):
    with pytest.raises(UpstreamInvalid, match="content type"):
        read_page(answer(page(), content_type), "demo")


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=UTF-8", f"{JSON};charset=utf-8"]
)
def test_tolerated_content_types(content_type):
    assert read_page(answer(page(), content_type), "demo").form == "json"


@pytest.mark.parametrize("charset", ["utf-16", "latin-1", "cp1252"])
def test_other_charsets_leave_as_utf_8(charset):
    body = page(file(), note="é").replace("\\u00e9", "é")
    read = read_page(answer(body.encode(charset), f"{JSON}; charset={charset}"), "demo")
    assert render(read, "json", ()).decode() == body.replace(HOST, "../../files/demo")


@pytest.mark.parametrize("charset", ["klingon", "rot13", "zlib", "x\0y"])
def test_what_is_no_charset(charset):
    with pytest.raises(UpstreamInvalid, match="cannot be decoded"):
        read_page(answer(page(), f'{JSON}; charset="{charset}"'), "demo")


def test_long_text_beyond_ascii():
    body = json.dumps({"files": [file()], "x": "é中😀" * 200_000}, ensure_ascii=False)
    assert served(body).decode() == body.replace(f"{HOST}/packages", "../../files/demo/packages")


KEYS = st.text(max_size=4) | st.sampled_from(["url", "files", "meta", "x-url", '"url"'])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just('"url":"x"'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
FILES = st.builds(
    lambda rest, name, first, host: {**(rest if first else {}), "filename": name, "url": f"{host}/p/{name}", **rest},
    st.dictionaries(KEYS.filter(lambda key: key not in {"url", "filename"}), VALUES, max_size=4),
    st.from_regex(r"[a-zA-Z0-9_.+-]{1,8}-[0-9]\.tar\.gz", fullmatch=True),
    st.booleans(),
    st.sampled_from([HOST, "..", "http://127.0.0.1:8018", "https://files.example.org/é"]),
)


@settings(max_examples=100)
@given(
    rest=st.dictionaries(KEYS.filter(lambda key: key not in {"files", "meta"}), VALUES, max_size=4),
    files=st.lists(FILES, max_size=4, unique_by=lambda one: one["filename"]),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
)
def test_a_page_differs_in_its_urls_alone(rest, files, indent, ascii_only):
    """Both, with each file's URL taken out of the parsed page, are the same; and so is the text around them."""
    whole = {**rest, "files": files, "z": rest}
    body = json.dumps(whole, indent=indent, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    try:
        body.decode()
    except UnicodeDecodeError:
        return
    read = read_page(answer(body), "demo")
    after = render(read, "json", ())
    parsed = json.loads(after)
    assert [one["url"] for one in parsed["files"]] == [f"../../files/demo/{entry.path}" for entry in read.files.entries]
    for one, was in zip(parsed["files"], json.loads(body)["files"], strict=True):
        one["url"] = was["url"]
    assert json.dumps(parsed, indent=indent, ensure_ascii=ascii_only).encode(errors="surrogatepass") == body


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


ODD = [
    file(url=f"{HOST}/packages/demo%2D1.0.tar.gz"),
    file("demo-1.0+local.tar.gz", url="../relative/demo-1.0+local.tar.gz"),
    file("a", url="ftp://example.org/a"),
    file("b.whl", url="https://other.example.org/p/b.whl", yanked='a "quoted" reason \\ and \u4e2d'),
    file("c.whl", **{"x-nested": {"url": "kept", "more": [1, [2, {"files": []}]]}}),
    file("d.whl", url=f"{HOST}/packages/aa/bb/d.whl#egg=d"),
]


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000, 100_000])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_page_in_pieces_of_any_size_is_the_same_page(size: int, indent: int | None):
    text = "\ufeff " + json.dumps(json.loads(page(*ODD, file(), versions=["1.0"], x="\u00e9")), indent=indent) + "\n "
    reader = JsonReader(URL, "demo")
    out = [reader.feed(piece, "../../files/demo/") for piece in pieces(text, size)]
    rest, reading = reader.finish("../../files/demo/")
    assert text[: reading.files_end].endswith("}")
    assert "".join([*out, rest]).encode() == served(text)


def test_what_has_no_end_is_not_gone_through_again_with_each_piece():
    reader = JsonReader(URL, "demo")
    reader.feed('{"files":[{"filename":"')
    began = time.thread_time()
    for _ in range(16_000):
        reader.feed("x" * 1000)
    assert time.thread_time() - began < 5  # a tenth of a second; half a minute where all is copied each time
    with pytest.raises(UpstreamInvalid):
        reader.finish()


@pytest.mark.parametrize("size", [1, 10, 1000])
def test_half_a_page_is_none(size: int):
    text = page(*ODD, file(), versions=["1.0"])
    for end in range(0, len(text), 13):
        reader = JsonReader(URL, "demo")
        with pytest.raises(UpstreamInvalid):  # noqa: PT012 - either step may find out
            for piece in pieces(text[:end], size):
                reader.feed(piece)
            reader.finish()


@pytest.mark.parametrize(
    ("hidden", "left", "versions"),
    [
        ({"demo-1.0.tar.gz"}, ["demo-1.0-cp39-none-any.whl", "demo-2.0.tar.gz"], ["1.0", "2.0"]),
        ({"demo-2.0.tar.gz"}, ["demo-1.0.tar.gz", "demo-1.0-cp39-none-any.whl"], ["1.0"]),
        ({"demo-1.0.tar.gz", "demo-1.0-cp39-none-any.whl"}, ["demo-2.0.tar.gz"], ["2.0"]),
        ({"demo-1.0.tar.gz", "demo-1.0-cp39-none-any.whl", "demo-2.0.tar.gz"}, [], []),
        ({"unheard-of"}, ["demo-1.0.tar.gz", "demo-1.0-cp39-none-any.whl", "demo-2.0.tar.gz"], ["1.0", "2.0"]),
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_hidden_files_and_versions_that_have_no_other(hidden, left, versions, indent):
    files = [file(), file("demo-1.0-cp39-none-any.whl"), file("demo-2.0.tar.gz")]
    body = json.dumps(json.loads(page(*files, versions=["1.0", "2.0"], x="kept")), indent=indent)
    read = read_page(answer(body), "demo")
    for more in ((), (addition(),)):
        shown = json.loads(render(read, "json", more, hidden=frozenset(hidden)))
        assert [one["filename"] for one in shown["files"]] == [*left, *(one.wheel.filename for one in more)]
        assert all(one["url"].startswith("../../") for one in shown["files"])
        assert shown["x"] == "kept"
        assert shown["versions"] == versions or more
        html = render(read, "html", more, hidden=frozenset(hidden)).decode()
        assert [name for name in (one["filename"] for one in files) if f">{name}<" in html] == left
