"""Upstream's answers and the wheels added to them, made up."""

from datetime import UTC, datetime

from buildthrough.proxy.built import BuiltWheel
from buildthrough.proxy.overlay import Addition
from buildthrough.proxy.page_answer import PageAnswer

JSON = "application/vnd.pypi.simple.v1+json"
URL = "https://index.example.org/simple/demo/"
HOST = "https://files.example.org"
DIGEST = "5d" * 32


def answer(
    body: bytes | str, content_type: str = JSON, *, url: str = URL, last_serial: str | None = None
) -> PageAnswer:
    body = body.encode() if isinstance(body, str) else body
    return PageAnswer(body=body, content_type=content_type, url=url, etag=None, last_serial=last_serial)


def addition(
    filename: str = "demo-1.0-py3-none-any.whl", *, yanked: bool | str = False, version: str = "1.0", **changes
):
    wheel = {
        "project": "demo",
        "version": version,
        "filename": filename,
        "sha256": "ab" * 32,
        "size": 1234,
        "metadata_sha256": "cd" * 32,
        "requires_python": ">=3.8",
        "sdist": "demo-1.0.tar.gz",
        "sdist_sha256": DIGEST,
        "target": "cp311-cp311-manylinux_2_36_x86_64",
        "build": 1,
        "created": datetime(2026, 1, 1, tzinfo=UTC),
    }
    upload_time = changes.pop("upload_time", "2020-01-01T00:00:00.000000Z")
    return Addition(wheel=BuiltWheel(**{**wheel, **changes}), yanked=yanked, upload_time=upload_time)
