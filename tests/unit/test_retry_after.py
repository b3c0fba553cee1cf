"""How long an upstream wants to be left alone."""

from __future__ import annotations

import math
from email.utils import formatdate

import pytest

from buildthrough.proxy.upstream_faults import retry_after

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("0", 0),
        ("3", 3),
        (" 120 ", 120),
        ("999999999999", 999999999999),
        ("9" * 5000, math.inf),
        (formatdate(NOW + 90, usegmt=True), 90),
        (formatdate(NOW - 90, usegmt=True), 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799 - NOW),
        ("Fri, 31 Dec 99999 23:59:59 GMT", 0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0),
        ("soon", 0),
        ("-5", 0),
        ("1.5", 0),
        ("nan", 0),
        ("inf", 0),
        ("1e400", 0),
        ("0x10", 0),
        ("٣", 0),
        ("3, 4", 0),
        ("Mon, 32 Foo 2020 99:99:99 GMT", 0),
    ],
)
def test_what_the_header_asks_for(stated: str | None, seconds: float) -> None:
    assert retry_after(stated, NOW) == seconds
