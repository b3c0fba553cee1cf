"""What PyPI's JSON API says: only addresses are changed, and files are taken out without a trace."""

from __future__ import annotations

import itertools
import json

import pytest

from buildthrough.proxy.errors import UpstreamInvalid
from buildthrough.proxy.release_json import read

BASE = "https://index.example.org/pypi/demo/json"
FILES = "https://files.example.org/packages/aa/bb"
ROOT = "http://127.0.0.1:1/some/prefix/"


def entry(filename: str, **more: object) -> dict[str, object]:
    digests = {"blake2b_256": "11" * 32, "sha256": "ab" * 32}
    return {"digests": digests, "filename": filename, "url": f"{FILES}/{filename}", **more}


def document(*names: str, **more: object) -> str:
    """Write an answer: each name is a release with one file, the last one's are the ``urls``."""
    releases = {str(number): [entry(name)] for number, name in enumerate(names)}
    info = {"name": "demo", "version": "1", "description": '{"url": "https://example.org/no-file"} \u00e9\u4e2d'}
    return json.dumps({"info": info, "releases": releases, "urls": [entry(names[-1])], **more}, indent=1)


def test_only_the_addresses_of_files_are_changed():
    text = document("demo-1.tar.gz", "demo-2.tar.gz", **{"x-later": {"urls": [{"url": f"{FILES}/x"}]}, "n": 1e3})
    wanted = text.replace(f'"url": "{FILES}/demo', f'"url": "{ROOT}files/demo/packages/aa/bb/demo')
    assert read(text, BASE, "demo").render(ROOT) == wanted.encode()


def test_an_answer_without_files_is_byte_identical():
    text = '\ufeff {"info": {"v": null} ,\n "urls":[ ], "releases" : {"1": [],"2" :[\n]}, "x":[1.50, "\\u00e9"] }\n'
    assert read(text, BASE, "demo").render(ROOT) == text.encode()


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("https:\\/\\/files.example.org\\/p\\/demo-1.tar.gz", f"{ROOT}files/demo/p/demo-1.tar.gz"),
        (f"{FILES}/demo-1.tar.gz#sha256=00", f"{ROOT}files/demo/packages/aa/bb/demo-1.tar.gz#sha256=00"),
        ("/p/demo-1.tar.gz", f"{ROOT}files/demo/p/demo-1.tar.gz"),
        ("https://files.example.org/p/other-1.tar.gz", "https://files.example.org/p/other-1.tar.gz"),
        ("other-1.tar.gz", "https://index.example.org/pypi/demo/other-1.tar.gz"),
        ("ftp://files.example.org/demo-1.tar.gz", "ftp://files.example.org/demo-1.tar.gz"),
    ],
)
def test_addresses(url, written):
    text = f'{{"info": {{}}, "urls": [{{"filename": "demo-1.tar.gz", "url": "{url}"}}]}}'
    assert json.loads(read(text, BASE, "demo").render(ROOT))["urls"][0]["url"] == written


@pytest.mark.parametrize("root", ['http://a"b/', "http://\u00e9/"])
def test_the_root_is_escaped(root):
    body = read(document("demo-1.tar.gz"), BASE, "demo").render(root)
    assert json.loads(body)["urls"][0]["url"].startswith(root)


def test_each_selection_of_files_can_be_hidden():
    names = ["a-1.zip", "b-1.zip", "c-1.zip", "d-1.zip"]
    rows = " ,\n  ".join(json.dumps(entry(name)) for name in names)
    text = f'{{"info": {{}}, "urls": [ {rows}\n ], "releases": {{"1": [{json.dumps(entry("b-1.zip"))}], "2": []}}}}'
    reader = read(text, BASE, "demo")
    for count in range(len(names) + 1):
        for hidden in itertools.combinations(names, count):
            left = json.loads(reader.render(ROOT, frozenset(hidden)))
            assert [one["filename"] for one in left["urls"]] == [name for name in names if name not in hidden]
            assert [one["filename"] for one in left["releases"]["1"]] == ([] if "b-1.zip" in hidden else ["b-1.zip"])
            assert all(one["url"].startswith(ROOT) for one in left["urls"])


def test_upload_times_are_of_the_very_bytes():
    time = "2024-12-04T17:35:28.174320Z"
    urls = [entry("demo-1.zip", upload_time_iso_8601=time), entry("demo-2.zip", upload_time_iso_8601=None)]
    urls.append({**entry("demo-3.zip", upload_time_iso_8601=time), "digests": {"md5": "00" * 16}})
    found = read(json.dumps({"info": {}, "urls": urls}), BASE, "demo").upload_times()
    assert found == {("demo-1.zip", "ab" * 32): time}


@pytest.mark.parametrize(("serial", "told"), [(12, "12"), ("12", "12"), (None, None), (True, None), (1.5, None)])
def test_the_serial(serial, told):
    assert read(json.dumps({"info": {}, "urls": [], "last_serial": serial}), BASE, "demo").last_serial == told


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"urls": []}',
        '{"info": [], "urls": []}',
        '{"info": {}, "urls": [1]}',
        '{"info": {}, "urls": [{"filename": "a"}]}',
        '{"info": {}, "urls": [{"url": "a"}]}',
        '{"info": {}, "releases": {"1": {}}}',
        '{"info": {}, "urls": []} more',
        '{"info": {}, "urls": [',
        '{"info": {}, "x": ' + "[" * 100_000,
    ],
)
def test_what_is_no_answer_of_the_api(text):
    with pytest.raises(UpstreamInvalid, match="JSON API"):
        read(text, BASE, "demo")
