"""Which bytes a request asks for: RFC 9110, 13 and 14."""

from __future__ import annotations

import pytest

from buildthrough.proxy.ranges import Part, Unsatisfiable, content_range, is_unchanged, range_holds, requested_part


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        ("bytes=0-0", 10, (0, 1)),
        ("bytes=0-9", 10, (0, 10)),
        ("bytes=2-5", 10, (2, 6)),
        ("bytes=5-99", 10, (5, 10)),
        ("bytes=5-", 10, (5, 10)),
        ("bytes=9-", 10, (9, 10)),
        ("bytes=-3", 10, (7, 10)),
        ("bytes=-10", 10, (0, 10)),
        ("bytes=-99", 10, (0, 10)),
        ("Bytes = 2-5 ", 10, (2, 6)),
        (None, 10, None),
        ("", 10, None),
        ("bytes=", 10, None),
        ("bytes=-", 10, None),
        ("bytes=5-2", 10, None),
        ("bytes=0-1,4-5", 10, None),
        ("bytes=0-1,", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=1-2-3", 10, None),
        ("bytes=+1-2", 10, None),
        ("bytes=1.0-2", 10, None),
        ("bytes=0-" + "9" * 5000, 10, None),
        ("lines=0-1", 10, None),
        ("bytes 0-1", 10, None),
        ("bytes=\u0660-1", 10, None),
        ("bytes=10-", 10, Unsatisfiable),
        ("bytes=10-20", 10, Unsatisfiable),
        ("bytes=-0", 10, Unsatisfiable),
        ("bytes=0-", 0, Unsatisfiable),
        ("bytes=-1", 0, Unsatisfiable),
    ],
)
def test_ranges(header: str | None, size: int, expected: tuple[int, int] | type[Exception] | None) -> None:
    if isinstance(expected, type):
        with pytest.raises(expected):
            requested_part(header, size)
    elif expected is None:
        assert requested_part(header, size) is None
    else:
        assert requested_part(header, size) == Part(begin=expected[0], end=expected[1])


@pytest.mark.parametrize(
    ("if_range", "etag", "holds"),
    [
        (None, '"a"', True),
        (None, None, True),
        ('"a"', '"a"', True),
        ('"b"', '"a"', False),
        ('W/"a"', '"a"', False),
        ("Wed, 21 Oct 2015 07:28:00 GMT", '"a"', False),
        ('"a"', None, False),
    ],
)
def test_if_range(if_range: str | None, etag: str | None, holds: bool) -> None:
    assert range_holds(if_range, etag) is holds


@pytest.mark.parametrize(
    ("header", "etag", "unchanged"),
    [
        (None, '"a"', False),
        ('"a"', '"a"', True),
        ('W/"a"', '"a"', True),
        ('"b", "a"', '"a"', True),
        ('"b"', '"a"', False),
        ("*", '"a"', True),
        ("*", None, False),
    ],
)
def test_if_none_match(header: str | None, etag: str | None, unchanged: bool) -> None:
    assert is_unchanged(header, etag) is unchanged


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes 5-9/10", (5, 10)),
        ("bytes 5-9/*", (5, None)),
        ("bytes */10", (None, None)),
        ("bytes 5-/10", (None, None)),
        ("items 5-9/10", (None, None)),
        (f"bytes {'9' * 30}-9/10", (None, None)),
        ("", (None, None)),
        (None, (None, None)),
    ],
)
def test_what_a_partial_answer_says_of_itself(header: str | None, expected: tuple[int | None, int | None]) -> None:
    assert content_range(header) == expected
