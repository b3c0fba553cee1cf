"""Which files are hidden, why, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from buildthrough.proxy.entry import Entry, ProjectFiles
from buildthrough.proxy.policy import parse_rules
from buildthrough.proxy.screen import Screen

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SHA = "ab" * 32
FREE = parse_rules(allow=(), deny=()).of("demo")


def entry(filename, uploaded=None, sha256=SHA):
    return Entry(filename=filename, url="", path="", hashes={"sha256": sha256} if sha256 else {}, upload_time=uploaded)


def page(*entries):
    return ProjectFiles(project="demo", entries=entries)


THREE = page(
    entry("demo-3.tar.gz", "2026-01-03T00:00:00.000000Z"),
    entry("demo-1.tar.gz", "2026-01-01T00:00:00Z"),
    entry("demo-2.tar.gz", "2026-01-02T01:00:00+01:00"),
)


@pytest.mark.parametrize(
    ("moment", "hidden"),
    [
        (JANUARY, {"demo-1.tar.gz", "demo-2.tar.gz", "demo-3.tar.gz"}),
        (JANUARY + timedelta(microseconds=1), {"demo-2.tar.gz", "demo-3.tar.gz"}),
        (JANUARY + DAY, {"demo-2.tar.gz", "demo-3.tar.gz"}),
        (JANUARY + 1.5 * DAY, {"demo-3.tar.gz"}),
        (JANUARY + 3 * DAY, set()),
    ],
)
def test_what_was_uploaded_before_is_shown(moment, hidden):
    found = Screen(THREE, FREE).hidden(moment)
    assert found.names == frozenset(hidden)


def test_without_a_cutoff_all_is_shown():
    found = Screen(page(entry("demo-1.tar.gz")), FREE).hidden(None)
    assert (found.names, found.digest) == (frozenset(), "")


def test_equal_sets_are_told_by_their_digest():
    screen = Screen(THREE, FREE)
    one, two, other = (screen.hidden(JANUARY + days * DAY) for days in (1.2, 1.4, 2.5))
    assert one.digest == two.digest != other.digest
    assert Screen(THREE, FREE).hidden(JANUARY + 1.3 * DAY).digest == one.digest
    for hours in range(100):  # more than are remembered
        screen.hidden(JANUARY + timedelta(hours=hours))
    assert screen.hidden(JANUARY + 1.2 * DAY).digest == one.digest


@pytest.mark.parametrize("stated", [None, "yesterday", "2026-01-01T00:00:00", "2026-01-01"])
def test_where_nobody_knows_the_time_the_file_is_hidden(stated):
    screen = Screen(page(entry("demo-1.tar.gz", stated), entry("demo-2.tar.gz", "2026-01-01T00:00:00Z")), FREE)
    found = screen.hidden(JANUARY + 100 * DAY)
    assert found.names == {"demo-1.tar.gz"}
    assert "nobody says when it was uploaded" in screen.refusal("demo-1.tar.gz", found)
    assert (screen.lacks_times, screen.knows_no_time) == (True, False)


def test_where_no_time_is_known_at_all():
    assert Screen(page(entry("demo-1.tar.gz")), FREE).knows_no_time
    assert not Screen(page(), FREE).knows_no_time


def test_times_from_elsewhere_hold_for_the_very_bytes():
    files = page(entry("demo-1.tar.gz"), entry("demo-2.tar.gz"), entry("demo-3.tar.gz", sha256=None))
    early = "2025-01-01T00:00:00Z"
    times = {("demo-1.tar.gz", SHA): early, ("demo-2.tar.gz", "cd" * 32): early, ("demo-3.tar.gz", SHA): early}
    found = Screen(files, FREE, times).hidden(JANUARY)
    assert found.names == {"demo-2.tar.gz", "demo-3.tar.gz"}


def test_the_page_goes_before_what_others_say():
    files = page(entry("demo-1.tar.gz", "2026-01-05T00:00:00Z"))
    screen = Screen(files, FREE, {("demo-1.tar.gz", SHA): "2025-01-01T00:00:00Z"})
    assert screen.hidden(JANUARY).names == {"demo-1.tar.gz"}


def test_rules_and_cutoffs_add_up():
    rules = parse_rules(allow=(), deny=["demo==1 # broken"]).of("demo")
    screen = Screen(THREE, rules)
    assert screen.hidden(None).names == {"demo-1.tar.gz"}
    found = screen.hidden(JANUARY + 1.5 * DAY)
    assert found.names == {"demo-1.tar.gz", "demo-3.tar.gz"}
    assert "broken" in screen.refusal("demo-1.tar.gz", found)
    assert "before 2026-01-02T12:00:00Z" in screen.refusal("demo-3.tar.gz", found)
    assert screen.refusal("demo-2.tar.gz", found) is None


def test_a_name_that_is_listed_twice_is_hidden_for_either():
    files = page(entry("demo-1.tar.gz", "2020-01-01T00:00:00Z"), entry("demo-1.tar.gz", "2026-02-01T00:00:00Z"))
    assert Screen(files, FREE).hidden(JANUARY).names == {"demo-1.tar.gz"}


def test_a_long_page_is_gone_through_once_for_each_set():
    """What takes long belongs into a thread: whoever asks has to know it before."""
    start = datetime(2025, 1, 1, tzinfo=UTC)
    many = (entry(f"demo-{n}.tar.gz", (start + timedelta(minutes=n)).isoformat()) for n in range(2000))
    screen = Screen(page(*many), FREE)
    moment = start + timedelta(minutes=500)
    assert not screen.is_at_hand(moment)
    assert len(screen.hidden(moment).names) == 1500
    assert screen.is_at_hand(moment + timedelta(seconds=-1))
    assert not screen.is_at_hand(moment + timedelta(seconds=1))
    assert Screen(THREE, FREE).is_at_hand(moment)
