"""Times and ages as operators and clients write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from buildthrough.proxy.cutoff import parse_cutoff, parse_time, written

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2026-01-31T00:00:00Z", "2026-01-31T00:00:00Z"),
        ("2026-01-31t00:00:00z", "2026-01-31T00:00:00Z"),
        ("2026-01-31 00:00:00Z", "2026-01-31T00:00:00Z"),
        ("2026-01-31T00:00:00+00:00", "2026-01-31T00:00:00Z"),
        ("2026-01-31T00:00:00-00:00", "2026-01-31T00:00:00Z"),
        ("2026-01-31T01:30:00+01:30", "2026-01-31T00:00:00Z"),
        ("2026-01-30T16:00:00-08:00", "2026-01-31T00:00:00Z"),
        ("2026-01-31T00:00:00.000Z", "2026-01-31T00:00:00Z"),
        ("2026-01-31T00:00:00.500Z", "2026-01-31T00:00:00.5Z"),
        ("2026-01-31T00:00:00.174320Z", "2026-01-31T00:00:00.17432Z"),
        ("2026-01-31T00:00:00.1234567891Z", "2026-01-31T00:00:00.123456Z"),
        ("0999-01-31T00:00:00Z", "0999-01-31T00:00:00Z"),
    ],
)
def test_one_way_to_write_a_moment(text, canonical):
    moment = parse_time(text)
    assert written(moment) == canonical
    assert parse_time(canonical) == moment


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026-01-31", "2026-01-31T00:00Z", "2026-01-31T00:00:00", "20260131T000000Z", "2026-W05-6T00:00:00Z",
        "2026-02-30T00:00:00Z", "2026-01-31T24:00:00Z", "2026-12-31T23:59:60Z", "2026-01-31T00:00:00+25:00",
        "2026-01-31T00:00:00 00:00", "2026-01-31T00:00:00+0000", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+12:00",
        "9999-12-31T23:59:59-12:00", " 2026-01-31T00:00:00Z", "2026-01-31T00:00:00Z/x", "\uff12026-01-31T00:00:00Z",
        "1769817600", "2026-01-31T00:00:00.Z",
    ],
)  # fmt: skip
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match="must be a time"):
        parse_time(text)


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("7 days", timedelta(days=7)),
        ("1 day", timedelta(days=1)),
        (" 1 Week ", timedelta(days=7)),
        ("24h", timedelta(days=1)),
        ("1 week, 2 days 3 hours", timedelta(days=9, hours=3)),
        ("90 minutes", timedelta(minutes=90)),
        ("90 min 30 s", timedelta(minutes=90, seconds=30)),
        ("P7D", timedelta(days=7)),
        ("p1w", timedelta(days=7)),
        ("P1DT12H", timedelta(days=1, hours=12)),
        ("PT24H30M5S", timedelta(hours=24, minutes=30, seconds=5)),
    ],
)
def test_an_age_moves_along(text, age):
    cutoff = parse_cutoff(text)
    assert cutoff.age == age
    assert cutoff.at(NOW) == NOW - age
    assert cutoff.at(NOW + timedelta(days=1)) == NOW + timedelta(days=1) - age


def test_a_time_stands_still():
    cutoff = parse_cutoff(" 2026-01-31T00:00:00+01:00 ")
    assert cutoff.age is None
    assert cutoff.at(NOW) == cutoff.at(NOW + timedelta(days=1)) == datetime(2026, 1, 30, 23, tzinfo=UTC)


def test_nothing():
    assert parse_cutoff(" ") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("7", "must be a time such as"),
        ("days", "must be a time such as"),
        ("7 days ago", "must be a time such as"),
        ("-7 days", "must be a time such as"),
        ("1.5 days", "must be a time such as"),
        ("P", "must be a time such as"),
        ("PT", "must be a time such as"),
        ("P1Y", "must be a time such as"),
        ("P1M", "must be a time such as"),
        ("P1DT", "must be a time such as"),
        ("2026-01-31", "must be a time such as"),
        ("2026-02-30T00:00:00Z", "must be a time that there was"),
        ("3 months", "must not count in 'months'"),
        ("1 year", "must not count in 'year'"),
        ("5 m", "must not count in 'm'"),
        ("1 day 1 day", "must not name days twice"),
        ("0 days", "more than nothing"),
        ("PT0S", "more than nothing"),
        ("36501 days", "at most 36500 days"),
        ("999999999 weeks", "at most 36500 days"),
    ],
)
def test_what_is_neither(text, words):
    with pytest.raises(ValueError, match=words):
        parse_cutoff(text)
