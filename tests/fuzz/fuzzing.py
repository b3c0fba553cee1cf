"""How fuzz tests run: a fixed number of the same cases in CI, new ones for ``FUZZ_SECONDS`` with ``make fuzz``."""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, seed, settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from hypothesis.strategies import SearchStrategy

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
"""For each test; 0 runs the fixed cases."""
_BATCH = 300
_CASE_SECONDS = 5.0
"""Processor time that no case may take."""
_GROWTH_BYTES = 512 << 20
"""Memory that all cases of a test together may add to the process."""


def fuzz(test: Callable[[Any], object], cases: SearchStrategy[Any], *, examples: int) -> Counter[str]:
    """Call the test with cases; it returns a word for what came of one. Return how often each word was said.

    Raise what the test raises, reduced to the smallest case that hypothesis finds. A case that takes long, or memory,
    is a failure too.
    """
    said: Counter[str] = Counter()

    def timed(case: Any) -> None:
        begun = time.process_time()
        said[str(test(case))] += 1
        took = time.process_time() - begun
        assert took < _CASE_SECONDS, f"took {took:.1f} s"

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    plain = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
    if not SECONDS:
        settings(derandomize=True, max_examples=examples, **plain)(given(cases)(timed))()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        chosen = int.from_bytes(os.urandom(8))
        seed(chosen)(settings(max_examples=_BATCH, **plain)(given(cases)(timed)))()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - before
    assert grown < _GROWTH_BYTES, f"{grown >> 20} MiB more"
    print(f"{sum(said.values())} cases: {dict(said.most_common(40))}")
    return said
