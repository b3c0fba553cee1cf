"""The two forms of the fake index's pages, as PyPI writes them, with keys that do not exist yet."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fakes.pypi import FakeFile, FakeProject, FakePyPI, Form

JSON = "application/vnd.pypi.simple.v1+json"
HTML_V1 = "application/vnd.pypi.simple.v1+html"
HTML = "text/html"
CONTENT_TYPES = (JSON, HTML_V1, HTML)


def content_type_for(accept: str | None, form: Form) -> str:
    """Return the Content-Type to answer with: what PyPI would choose, or the only form that there is."""
    if form == "json":
        return JSON
    if form == "html":
        return HTML
    wanted = accept or "*/*"
    if JSON in wanted or "vnd.pypi.simple.latest+json" in wanted:
        return JSON
    return HTML_V1 if HTML_V1 in wanted else HTML


def project_list(index: FakePyPI, content_type: str) -> bytes:
    """Write ``/simple/``."""
    projects = sorted(index.projects.values(), key=lambda project: project.name)
    if content_type == JSON:
        meta: dict[str, object] = {"_last-serial": max((p.serial for p in projects), default=0)}
        meta["api-version"] = index.api_version
        rows = [{"_last-serial": project.serial, "name": project.name} for project in projects]
        return json.dumps({"meta": meta, "projects": rows}).encode()
    links = "".join(f'    <a href="/simple/{project.name}/">{project.name}</a>\n' for project in projects)
    return (
        '<!DOCTYPE html>\n<html>\n  <head>\n    <meta name="pypi:repository-version" '
        f'content="{index.api_version}">\n    <title>Simple index</title>\n  </head>\n  <body>\n'
        f"{links}  </body>\n</html>\n"
    ).encode()


def project_page(index: FakePyPI, project: FakeProject, content_type: str) -> bytes:
    """Write ``/simple/<project>/``."""
    return _json_page(index, project) if content_type == JSON else _html_page(index, project)


def _url(index: FakePyPI, file: FakeFile) -> str:
    stated = file.extra.get("url")
    if isinstance(stated, str):
        return stated
    return f"../../{file.path}" if index.relative else f"{index.url}/{file.path}"


def _digest(index: FakePyPI, file: FakeFile) -> str | None:
    import hashlib

    return hashlib.sha256(file.metadata).hexdigest() if index.sidecars and file.metadata is not None else None


def _json_file(index: FakePyPI, file: FakeFile) -> dict[str, Any]:
    digest = _digest(index, file)
    entry: dict[str, Any] = {
        "core-metadata": {"sha256": digest} if digest else False,
        "data-dist-info-metadata": {"sha256": digest} if digest else False,
        "filename": file.filename,
        "hashes": {"sha256": file.sha256},
        "provenance": None,
        "requires-python": file.requires_python,
        "size": file.size,
        "upload-time": file.upload_time,
        "url": _url(index, file),
        "yanked": file.yanked,
    }
    if index.unknown_keys:
        entry["x-later"] = {"nested": [1, 2.50, None, "\u00e9\u4e2d"], "empty": {}}
        entry["_private"] = "kept"
    return entry | dict(file.extra)


def _json_page(index: FakePyPI, project: FakeProject) -> bytes:
    files = sorted(project.listed, key=lambda file: (file.version or "", file.filename))
    meta: dict[str, Any] = {"_last-serial": project.serial, "api-version": index.api_version}
    page: dict[str, Any] = {
        "files": [_json_file(index, file) for file in files],
        "meta": meta,
        "name": project.name,
        "project-status": {"status": project.status},
        "versions": sorted({file.version for file in files if file.version is not None}),
    }
    if index.unknown_keys:
        meta["x-later"] = 1e3
        page["x-later"] = {"files": ["not files at all"], "meta": None}
        page["alternate-locations"] = []
    return json.dumps(page | project.extra).encode()


def _html_page(index: FakePyPI, project: FakeProject) -> bytes:
    files = sorted(project.listed, key=lambda file: (file.version or "", file.filename))
    links = "".join(_html_link(index, file) for file in files)
    later = '    <meta name="x-later" content="kept">\n' if index.unknown_keys else ""
    return (
        '<!DOCTYPE html>\n<html>\n  <head>\n    <meta name="pypi:repository-version" '
        f'content="{index.api_version}">\n    <meta name="pypi:project-status" content="{project.status}">\n{later}'
        f"    <title>Links for {project.name}</title>\n  </head>\n  <body>\n    <h1>Links for {project.name}</h1>\n"
        f"{links}  </body>\n</html>\n<!--SERIAL {project.serial}-->"
    ).encode()


def _html_link(index: FakePyPI, file: FakeFile) -> str:
    marks = ""
    if file.requires_python is not None:
        marks += f' data-requires-python="{escape(file.requires_python)}"'
    digest = _digest(index, file)
    if digest:
        marks += f' data-dist-info-metadata="sha256={digest}" data-core-metadata="sha256={digest}"'
    if file.yanked:
        marks += f' data-yanked="{escape(file.yanked) if isinstance(file.yanked, str) else ""}"'
    if index.unknown_keys:
        marks += ' data-x-later="kept"'
    return f'<a href="{_url(index, file)}#sha256={file.sha256}"{marks}>{file.filename}</a><br />\n'


def release_json(index: FakePyPI, project: FakeProject, version: str | None) -> bytes | None:
    """Write what PyPI's JSON API says of a project, or of one release; None where there is no such release."""
    releases: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(project.listed, key=lambda file: (file.version or "", file.filename)):
        releases.setdefault(file.version or "0", []).append(_release_file(index, file))
    wanted = max(releases, default=None) if version is None else version
    if wanted is None or wanted not in releases:
        return None
    urls = releases[wanted]
    info = {"name": project.name, "version": wanted, "description": '{"url": "no file"}', "yanked": urls[0]["yanked"]}
    body: dict[str, Any] = {"info": info, "last_serial": project.serial}
    if version is None:
        body["releases"] = {**releases, "0.0.1": []}
    body |= {"urls": urls, "vulnerabilities": [{"id": "X-1", "fixed_in": ["1.1"]}]}
    if index.unknown_keys:
        body["x-later"] = {"urls": [1, 2.50, None, "\u00e9\u4e2d"]}
    return json.dumps(body, indent=1).encode()


def _release_file(index: FakePyPI, file: FakeFile) -> dict[str, Any]:
    return {
        "comment_text": "",
        "digests": {"blake2b_256": "00" * 32, "md5": "00" * 16, "sha256": file.sha256},
        "filename": file.filename,
        "packagetype": "bdist_wheel" if file.filename.endswith(".whl") else "sdist",
        "requires_python": file.requires_python,
        "size": file.size,
        "upload_time": file.upload_time[:19],
        "upload_time_iso_8601": file.upload_time,
        "url": file.extra.get("url", f"{index.url}/{file.path}"),
        "yanked": bool(file.yanked),
        "yanked_reason": file.yanked if isinstance(file.yanked, str) else None,
    }
