"""A project page as upstream sent it: read once, and rendered in either form with the wheels that we built.

Pure work, up to half a second for a page of 10 MB: it belongs into a thread. It is made of short steps, so that the
event loop beside it keeps running.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from email.message import Message
from typing import TYPE_CHECKING

from buildthrough.proxy import simple_html, simple_json
from buildthrough.proxy.derive import html_from_json, json_from_html
from buildthrough.proxy.errors import UpstreamInvalid
from buildthrough.proxy.simple_json import JsonDocument
from buildthrough.proxy.splice import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildthrough.proxy.entry import ProjectFiles
    from buildthrough.proxy.negotiation import Form
    from buildthrough.proxy.overlay import Addition
    from buildthrough.proxy.simple_html import HtmlDocument
    from buildthrough.proxy.upstream import PageAnswer

_FORMS: dict[str, Form] = {
    "application/vnd.pypi.simple.v1+json": "json",
    "application/json": "json",  # some indexes; the shape is checked in any case
    "application/vnd.pypi.simple.v1+html": "html",
    "text/html": "html",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What upstream answered about a project."""

    form: Form
    """The form that upstream sent; the other one is derived."""
    files: ProjectFiles
    last_serial: str | None
    """PyPI's serial of the project, by its header or by the page itself."""
    document: JsonDocument | HtmlDocument


def read_page(answer: PageAnswer, project: str) -> Page:
    """Read upstream's answer by its own Content-Type. Raise `UpstreamInvalid` where it is no page of a project."""
    form, text = read_text(answer, f"page of {project!r}")
    document: JsonDocument | HtmlDocument
    if form == "json":
        document = simple_json.read(text, answer.url, project)
    else:
        document = simple_html.read(text, answer.url, project)
    files = replace(document.files, upstream=answer.upstream)
    return Page(form=form, files=files, last_serial=answer.last_serial or document.last_serial, document=document)


def render(page: Page, form: Form, additions: Sequence[Addition], *, root: str = "../../") -> bytes:
    """Return the page in UTF-8. ``root`` is the relative way from the page's URL to the server's root.

    In upstream's own form it is upstream's text with our URLs and our entries in it, and nothing else changed.
    """
    if page.form == form:
        return page.document.render(additions, root)
    if isinstance(page.document, JsonDocument):
        return html_from_json(page.document, additions, root, page.last_serial)
    return json_from_html(page.document, additions, root, page.last_serial)


def read_text(answer: PageAnswer, what: str) -> tuple[Form, str]:
    """Return an answer's form and text, by its Content-Type. Raise `UpstreamInvalid` where it has neither."""
    header = Message()
    header["Content-Type"] = answer.content_type.replace("\r", " ").replace("\n", " ")
    content_type = header.get_content_type()
    form = _FORMS.get(content_type) if "/" in answer.content_type else None
    if form is None:
        msg = f"Upstream's {what} has the content type {answer.content_type[:100]!r}, which is no index page's."
        raise UpstreamInvalid(msg)
    try:
        return form, decode(answer.body, header.get_content_charset())
    except ValueError as error:
        msg = f"Upstream's {what} cannot be decoded: it is no text in the encoding that it claims."
        raise UpstreamInvalid(msg) from error
