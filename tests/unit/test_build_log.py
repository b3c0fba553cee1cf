"""A build's log is bounded and nothing in it acts on who reads it."""

from __future__ import annotations

import pytest

from buildthrough.builders.build_log import BuildLog, plain_line, plain_text


def test_notes_and_outputs_stand_in_order() -> None:
    log = BuildLog()
    log.note("began")
    assert log.output(b"gcc -c a.c\nno newline at the end") == "gcc -c a.c\nno newline at the end\n"
    log.note("ended")

    assert log.text() == "[began]\ngcc -c a.c\nno newline at the end\n[ended]\n"


def test_full_log_says_so_once() -> None:
    log = BuildLog(most_characters=100)
    for _ in range(50):
        log.output(b"x" * 30)
        log.note("y" * 10)

    assert log.text().count("the log is full") == 1
    assert len(log.text()) < 200


def test_note_is_one_line_of_bounded_length() -> None:
    log = BuildLog()
    log.note("a\nb" + "c" * 10_000)

    assert log.text().count("\n") == 1
    assert len(log.text()) < 2100


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("tab\tstays", "tab\tstays"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("a\u202eb\u200bc", "a\\u202eb\\u200bc"),
        ("\0", "\\x00"),
        ("café \u65e5\u672c", "café \u65e5\u672c"),
    ],
)
def test_unsafe_characters_become_escapes(text: str, plain: str) -> None:
    assert plain_text(text) == plain


def test_bytes_that_are_no_text_are_shown() -> None:
    assert BuildLog().output(b"\xff\xfe") == "\ufffd\ufffd\n"


def test_line_is_one_and_is_cut() -> None:
    assert plain_line("  a\n  b\x00 ") == "a b\\x00"
    assert len(plain_line("x" * 10_000)) == 500
    assert plain_line("x" * 10_000, 10) == "xxxxxxx..."
