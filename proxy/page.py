"""A project page as upstream sent it: read once, and rendered in either form with the wheels that we built.

Pure work, up to half a second for a page of 10 MB: it belongs into a thread. It is made of short steps, so that the
event loop beside it keeps running.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from email.message import Message
from functools import cached_property
from typing import TYPE_CHECKING

from buildthrough.proxy import simple_html, simple_json
from buildthrough.proxy.derive import html_from_json, json_from_html
from buildthrough.proxy.errors import UpstreamInvalid
from buildthrough.proxy.simple_json import JsonDocument
from buildthrough.proxy.splice import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildthrough.proxy.entry import Entry, ProjectFiles
    from buildthrough.proxy.negotiation import Form
    from buildthrough.proxy.overlay import Addition
    from buildthrough.proxy.page_answer import PageAnswer
    from buildthrough.proxy.simple_html import HtmlDocument

_FORMS: dict[str, Form] = {
    "application/vnd.pypi.simple.v1+json": "json",
    "application/json": "json",  # some indexes; the shape is checked in any case
    "application/vnd.pypi.simple.v1+html": "html",
    "text/html": "html",
}


@dataclass(frozen=True, kw_only=True)
class Page:
    """What upstream answered about a project."""

    form: Form
    """The form that upstream sent; the other one is derived."""
    last_serial: str | None
    """PyPI's serial of the project, by its header or by the page itself."""
    document: JsonDocument | HtmlDocument

    upstream: str = ""
    """Which of several upstreams sent it."""

    @cached_property
    def files(self) -> ProjectFiles:
        """All that is listed; read when it is first wanted, which belongs into a thread."""
        return replace(self.document.files, upstream=self.upstream)

    @property
    def status(self) -> str | None:
        """The project's status (PEP 792)."""
        return self.document.status

    @property
    def has_files(self) -> bool:
        """Whether `files` was read already."""
        return "files" in self.__dict__

    @property
    def is_indexed(self) -> bool:
        """Whether `entry` answers at once."""
        return "by_path" in self.document.__dict__

    def entry(self, path: str) -> Entry | None:
        """Return the file that is listed under this path, both percent-decoded once. The first call takes longer."""
        return self.document.entry(path)


def read_page(answer: PageAnswer, project: str) -> Page:
    """Read upstream's answer by its own Content-Type. Raise `UpstreamInvalid` where it is no page of a project."""
    form, text = read_text(answer, f"page of {project!r}")
    document: JsonDocument | HtmlDocument
    if form == "json":
        document = simple_json.read(text, answer.url, project)
    else:
        document = simple_html.read(text, answer.url, project)
    return Page(
        form=form,
        last_serial=answer.last_serial or document.last_serial,
        document=document,
        upstream=answer.upstream,
    )


def take_page(answer: PageAnswer, project: str) -> Page:
    """Read as `read_page` does what upstream sent just now. Raise `UpstreamInvalid` for what may be no index's page.

    Whatever answers 200 in HTML without a link to a file (where somebody is to sign in, or to try again later) would
    empty a page that is known. Projects without files are rare, and indexes that do not say what they are as well.
    """
    page = read_page(answer, project)
    document = page.document
    if not isinstance(document, JsonDocument) and not document.is_marked and not document.files.entries:
        msg = f"Upstream's page of {project!r} has no file and does not say that it is an index's: it may be any page."
        raise UpstreamInvalid(msg)
    return page


def render(
    page: Page,
    form: Form,
    additions: Sequence[Addition],
    *,
    root: str = "../../",
    hidden: frozenset[str] = frozenset(),
) -> bytes:
    """Return the page in UTF-8. ``root`` is the relative way from the page's URL to the server's root.

    In upstream's own form it is upstream's text with our URLs and our entries in it, without the files of ``hidden``
    names and the versions that have no other file, and nothing else changed.
    """
    if page.form == form:
        return page.document.render(additions, root, hidden)
    if isinstance(page.document, JsonDocument):
        return html_from_json(page.document, additions, root, page.last_serial, hidden)
    return json_from_html(page.document, additions, root, page.last_serial, hidden)


def read_text(answer: PageAnswer, what: str) -> tuple[Form, str]:
    """Return an answer's form and text, by its Content-Type. Raise `UpstreamInvalid` where it has neither."""
    form, charset = form_and_charset(answer.content_type)
    if form is None:
        msg = f"Upstream's {what} has the content type {answer.content_type[:100]!r}, which is no index page's."
        raise UpstreamInvalid(msg)
    try:
        return form, decode(answer.body, charset)
    except ValueError as error:
        msg = f"Upstream's {what} cannot be decoded: it is no text in the encoding that it claims."
        raise UpstreamInvalid(msg) from error


def is_utf8_json(content_type: str) -> bool:
    """Whether a Content-Type promises JSON in UTF-8, the only form that can be edited while it arrives."""
    form, charset = form_and_charset(content_type)
    return form == "json" and (charset or "utf-8") in {"utf-8", "utf8", "us-ascii"}


def form_and_charset(content_type: str) -> tuple[Form | None, str | None]:
    """Return the form and the charset that a Content-Type promises, None for what it does not."""
    header = Message()
    header["Content-Type"] = content_type.replace("\r", " ").replace("\n", " ")
    form = _FORMS.get(header.get_content_type()) if "/" in content_type else None
    return form, header.get_content_charset()
