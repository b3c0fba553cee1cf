"""Logs: one entry a line whatever is in it, for people and for machines, and never in the way."""

from __future__ import annotations

import io
import json
import logging
import os
import threading

import pytest
from tests.fakes.waiting import wait_until

from buildthrough.proxy import logs


@pytest.fixture(params=["text", "json"])
def form(request):
    return request.param


def written(form: str, action, level: str = "info") -> list[str]:
    stream = io.StringIO()
    opened = logs.configure(level, form, stream)
    try:
        action()
    finally:
        opened.close()
    return stream.getvalue().splitlines()


def test_text_says_when_how_grave_who_what_and_the_values():
    (line,) = written("text", lambda: logs.logger("web").warning("a request failed", path="/a b", status=503))
    assert line[10] == "T"
    assert line.split(" ", 1)[1] == 'WARNING web: a request failed path="/a b" status=503'


def test_json_keeps_types():
    (line,) = written("json", lambda: logs.logger("web").info("done", count=3, ok=True, none=None, name="six"))
    entry = json.loads(line)
    assert entry["fields"] == {"count": 3, "ok": True, "none": None, "name": "six"}
    assert (entry["level"], entry["logger"], entry["message"]) == ("info", "buildthrough.web", "done")
    assert entry["time"].endswith("Z")


@pytest.mark.parametrize(
    "evil", ["a\nb", "a\r\n2026 ERROR web: forged", "\x1b[2J", "\u202egnp", "\u2028", "\x85x", "\0"]
)
def test_one_entry_is_one_line_of_printable_text(form, evil):
    lines = written(form, lambda: logs.logger("web").info("seen", agent=evil))
    assert len(lines) == 1
    assert lines[0].isprintable()
    if form == "json":
        assert json.loads(lines[0])["fields"]["agent"] == evil


def test_a_value_cannot_pass_for_two():
    (line,) = written("text", lambda: logs.logger("web").info("seen", a='x" b="y', c="d=e", empty=""))
    assert line.endswith(r'a="x\" b=\"y" c="d=e" empty=""')


def test_entries_of_libraries_come_out_in_the_same_form(form):
    def action():
        logging.getLogger("aiohttp.server").error("bad %s", "line\nbreak")
        logging.getLogger("buildthrough.pool").info("ended", extra={"fields": {"build": 7}})

    first, second = written(form, action)
    assert "bad line" in first
    assert ("build=7" in second) if form == "text" else (json.loads(second)["fields"] == {"build": 7})


def test_an_exception_is_logged_with_its_traceback(form):
    def action():
        try:
            int("wrong\x1b[1m")
        except ValueError:
            logs.logger("web").exception("failed", path="/x")

    lines = written(form, action)
    assert all(line.isprintable() for line in lines)
    if form == "json":
        assert "ValueError: invalid" in json.loads(lines[0])["traceback"]
    else:
        assert lines[-1] == r"    ValueError: invalid literal for int() with base 10: 'wrong\x1b[1m'"


def test_less_severe_entries_are_left_out():
    def action():
        logs.logger("web").info("no")
        logs.logger("web").error("yes")

    assert [line.split(": ")[1] for line in written("text", action, level="warning")] == ["yes"]


def test_a_huge_value_is_cut(form):
    (line,) = written(form, lambda: logs.logger("web").info("seen", agent="x" * 1_000_000))
    assert len(line) < 3_000


def test_things_are_as_before_after_closing():
    before = (list(logging.getLogger().handlers), logging.getLogger().level)
    written("text", lambda: None)
    assert (list(logging.getLogger().handlers), logging.getLogger().level) == before


def test_a_reader_that_stands_still_stops_nobody_and_what_was_dropped_is_said():
    readable, writable = os.pipe()
    stream = os.fdopen(writable, "w")
    writer = logs.Writer(stream, logs.TextFormatter(), entries=10)
    log = logging.Logger("x")  # noqa: LOG001 - no other test may find it
    log.addHandler(writer)
    for _ in range(2_000):  # who waited for the reader here would wait for ever
        log.warning("y" * 1_000)
    writer.stop(0.1)
    content = bytearray()
    reader = threading.Thread(target=read_into, args=(content, readable))
    reader.start()
    wait_until(lambda: b"log entries were dropped" in content)
    writer.close()
    stream.close()
    reader.join()
    os.close(readable)


def read_into(content: bytearray, handle: int) -> None:
    while part := os.read(handle, 1 << 16):
        content.extend(part)


def test_a_closed_stream_is_no_fault():
    stream = io.StringIO()
    writer = logs.Writer(stream, logs.TextFormatter())
    stream.close()
    log = logging.Logger("x")  # noqa: LOG001 - no other test may find it
    log.addHandler(writer)
    log.warning("unheard")
    writer.close()
