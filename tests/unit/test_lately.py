"""The highest value of the last minutes, as the metrics show it."""

from __future__ import annotations

from buildthrough.proxy.metrics import Lately


def test_the_highest_of_the_last_five_to_ten_minutes() -> None:
    now = [1000.0]
    lately = Lately(clock=lambda: now[0])
    assert lately.highest() == 0
    lately.note(7)
    lately.note(5)
    assert lately.highest() == 7
    now[0] += 300
    assert lately.highest() == 7
    lately.note(3)
    now[0] += 300
    assert lately.highest() == 3
    now[0] += 600
    assert lately.highest() == 0
