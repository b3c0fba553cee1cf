"""Read a project page in JSON while it arrives, in pieces of any size, and give it out with our URLs in it."""

from __future__ import annotations

from dataclasses import dataclass

from buildthrough.proxy.errors import UpstreamInvalid
from buildthrough.proxy.json_files import JsonFiles
from buildthrough.proxy.json_text import Malformed
from buildthrough.proxy.json_walk import JsonWalk


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read. All places are characters of the text."""

    top: dict[str, object]
    """The values of the top level, but for ``files``."""
    files: JsonFiles
    files_end: int
    """Behind the last file, where a further one goes."""
    versions: tuple[int, int] | None
    """Where the array ``versions`` stands, None where the page has none (before PEP 700)."""
    text: str = ""
    """All of it: added by whoever has it, since a reader keeps nothing that it went through."""


class JsonReader(JsonWalk):
    """The pass over a page found at the URL ``base``. One use."""

    def __init__(self, base: str, project: str) -> None:
        super().__init__("files")
        self._base = base
        self._project = project
        self._files = JsonFiles(base)

    def begin_array(self) -> None:
        """Forget the files that were taken."""
        self._files = JsonFiles(self._base)

    def element(self, window: str, at: int, offset: int) -> int:
        """Take a file."""
        return self._files.take(window, at, offset)

    def feed(self, text: str, way: str = "", *, final: bool = False) -> str:
        """Take the next piece; return what can be sent of the page, the paths of files behind ``way``.

        Raise `UpstreamInvalid` for what is no page of a project.
        """
        try:
            self.step(text, final=final)
        except Malformed as error:
            raise self._invalid(error) from error
        pieces: list[str] = []
        at = 0
        for start, end, new, rooted in self._files.edits:
            pieces += (self.window[at:start], way, new) if rooted else (self.window[at:start], new)
            at = end
        pieces.append(self.window[at : self.at])
        self._files.edits.clear()
        return "".join(pieces)

    def finish(self, way: str = "") -> tuple[str, Reading]:
        """Return the rest of what can be sent, and all that was read. Raise `UpstreamInvalid`, also for half a page."""
        rest = self.feed("", way, final=True)
        self._files.end()
        if self.array_at is None:
            raise self._invalid("it has no files")
        return rest, Reading(
            top=self.top,
            files=self._files,
            files_end=self.array_at[1],
            versions=self.spans.get("versions") if isinstance(self.top.get("versions"), list) else None,
        )

    def _invalid(self, what: object) -> UpstreamInvalid:
        return UpstreamInvalid(f"Upstream's page of {self._project!r} is not the JSON of a project page: {what}.")
