"""The log of one build: what the host notes and what the sandboxes printed, bounded, as text that is safe to show."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from buildthrough.builders.facts import BuildFacts

LONGEST_LINE = 500
"""Characters of a fault's telling line."""
_NOTE_CHARACTERS = 2000
_FULL = "[the log is full; what follows is left out]\n"
_LINE_ENDS = re.compile(r"\r\n?|[\v\f\x85\u2028\u2029]")
_UNSAFE = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
"""Control characters, invisible ones, and those that reorder text: a terminal or a page would act on them."""


class BuildLog:
    """Grows by notes and outputs until ``most_characters``; then it says so and takes no more."""

    def __init__(self, *, most_characters: int = 8 << 20) -> None:
        """Start empty."""
        self.facts = BuildFacts()
        """What the build has learnt about itself."""
        self._parts: list[str] = []
        self._left = most_characters

    def note(self, sentence: str) -> None:
        """Add a line of the host's own."""
        self._add(f"[{plain_line(sentence, _NOTE_CHARACTERS)}]\n")

    def learn(self, **facts: Any) -> None:  # noqa: ANN401 - the fields of `BuildFacts`, each of its own type
        """Set fields of the facts. Raise TypeError for one that there is not."""
        self.facts = replace(self.facts, **facts)

    def output(self, printed: bytes) -> str:
        """Add what a sandbox printed, and return it as the text that it became."""
        text = plain_text(printed.decode("utf-8", "replace"))
        if text and not text.endswith("\n"):
            text += "\n"
        self._add(text)
        return text

    def text(self) -> str:
        """Return the whole log."""
        return "".join(self._parts)

    def _add(self, text: str) -> None:
        if self._left <= 0:
            return
        self._parts.append(text[: self._left])
        self._left -= len(text)
        if self._left <= 0:
            self._parts.append("\n" + _FULL)


def plain_text(text: str) -> str:
    r"""Return the text with unified line ends, and unsafe characters written as escapes such as ``\x1b``."""
    return _UNSAFE.sub(_escape, _LINE_ENDS.sub("\n", text))


def plain_line(text: str, longest: int = LONGEST_LINE) -> str:
    """Return the text as one safe line, cut to a length in characters."""
    line = " ".join(plain_text(text[: 4 * longest]).split())
    return line if len(line) <= longest else line[: longest - 3] + "..."


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code <= 0xFF:  # noqa: PLR2004 # what two digits can hold
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 # what four digits can hold
