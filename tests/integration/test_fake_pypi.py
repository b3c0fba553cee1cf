"""The fake index answers as it says: what the other tests stand on."""

from __future__ import annotations

import gzip
import hashlib
import json
import urllib.error
import urllib.request
from http.client import IncompleteRead

import pytest
from tests.fakes.faults import Fault, Gate
from tests.fakes.pypi import FakePyPI, Stream

JSON = "application/vnd.pypi.simple.v1+json"


@pytest.fixture
def pypi():
    with FakePyPI() as index:
        index.add("Demo_Project", "demo_project-1.0.tar.gz", b"sdist" * 1000)
        yield index


def get(url: str, **headers: str):
    request = urllib.request.Request(url, headers={key.replace("_", "-"): value for key, value in headers.items()})
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.status, dict(response.headers), response.read()


def page(pypi: FakePyPI, project: str = "demo-project"):
    return json.loads(get(f"{pypi.simple}{project}/", Accept=JSON)[2])


def status_of(url: str, **headers: str) -> int:
    try:
        return get(url, **headers)[0]
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code


def test_pages_in_both_forms(pypi):
    listed = page(pypi)
    entry = listed["files"][0]
    assert listed["versions"] == ["1.0"]
    assert entry["hashes"]["sha256"] == hashlib.sha256(b"sdist" * 1000).hexdigest()
    assert get(entry["url"])[2] == b"sdist" * 1000
    status, headers, body = get(f"{pypi.simple}demo-project/", Accept="text/html")
    assert (status, headers["Content-Type"]) == (200, "text/html")
    assert f"#sha256={entry['hashes']['sha256']}".encode() in body


@pytest.mark.parametrize(("form", "told"), [("json", JSON), ("html", "text/html")])
def test_only_one_form(form, told):
    with FakePyPI(form=form) as pypi:
        pypi.add_project("demo")
        for accept in (JSON, "text/html"):
            assert get(f"{pypi.simple}demo/", Accept=accept)[1]["Content-Type"] == told


def test_life_of_a_file(pypi):
    name = "demo_project-1.0.tar.gz"
    url = page(pypi)["files"][0]["url"]
    pypi.yank(name, "broken")
    assert page(pypi)["files"][0]["yanked"] == "broken"
    pypi.unyank(name)
    assert page(pypi)["files"][0]["yanked"] is False
    pypi.remove(name)
    assert (page(pypi)["files"], status_of(url)) == ([], 404)
    pypi.bring_back(name)
    assert page(pypi)["files"][0]["url"] == url
    pypi.quarantine("demo-project")
    assert (page(pypi)["files"], page(pypi)["project-status"]) == ([], {"status": "quarantined"})
    pypi.clear("demo-project")
    pypi.replace(name, b"other")
    assert page(pypi)["files"][0]["url"] != url
    assert status_of(url) == 404


def test_etag_and_serial(pypi):
    url = f"{pypi.simple}demo-project/"
    headers = get(url, Accept=JSON)[1]
    assert status_of(url, Accept=JSON, If_None_Match=headers["ETag"]) == 304
    pypi.yank("demo_project-1.0.tar.gz")
    again = get(url, Accept=JSON, If_None_Match=headers["ETag"])[1]
    assert int(again["X-PyPI-Last-Serial"]) > int(headers["X-PyPI-Last-Serial"])


def test_names_and_compression(pypi):
    assert status_of(f"{pypi.simple}unknown/") == 404
    _, headers, body = get(f"{pypi.simple}Demo.Project", Accept=JSON, Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(body))["name"] == "demo-project"


def test_range_and_stream(pypi):
    file = pypi.add("big", "big-1.tar.gz", Stream(size=3_000_001, block=b"0123456789" * 1000))
    url = f"{pypi.url}/{file.path}"
    assert hashlib.sha256(get(url)[2]).hexdigest() == file.sha256
    assert get(url, Range="bytes=13-15")[2] == b"345"
    assert get(url, Range="bytes=-1")[0::2] == (206, b"0")
    assert status_of(url, Range="bytes=4000000-") == 416


def test_faults(pypi):
    url = page(pypi)["files"][0]["url"]
    pypi.fault("/packages/*", Fault(status=503, times=1))
    assert [status_of(url), status_of(url)] == [503, 200]
    pypi.fault("/packages/*", Fault(cut_at=7, times=1))
    with pytest.raises(IncompleteRead) as cut:
        get(url)
    assert cut.value.partial == b"sdistsd"
    pypi.fault("/packages/*", Fault(short=1, length=False, times=1))
    assert len(get(url)[2]) == 4999
    pypi.fault("/simple/*", Fault(body=b"<p>no", content_type="text/html", times=1))
    assert get(f"{pypi.simple}demo-project/")[2] == b"<p>no"
    pypi.fault("/simple/*", Fault(cut_gzip=40, times=1))
    with pytest.raises(EOFError):
        gzip.decompress(get(f"{pypi.simple}demo-project/")[2])


def test_gate_holds_until_opened(pypi):
    import threading

    gate = Gate()
    pypi.fault("/packages/*", Fault(gate=gate, gate_at=1000))
    got = []
    asking = threading.Thread(target=lambda: got.append(get(page(pypi)["files"][0]["url"])[2]))
    asking.start()
    gate.wait_until_reached()
    assert not got
    gate.open()
    asking.join(10)
    assert got == [b"sdist" * 1000]


def test_down_and_up_again_on_the_same_port(pypi):
    url = f"{pypi.simple}demo-project/"
    pypi.stop()
    with pytest.raises(urllib.error.URLError):
        get(url)
    pypi.start()
    assert get(url)[0] == 200
    assert pypi.count("/simple/*") == 1
