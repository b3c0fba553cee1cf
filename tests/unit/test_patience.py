"""How long is waited for upstream."""

from __future__ import annotations

import asyncio

import pytest

from buildthrough.proxy.errors import UpstreamUnavailable
from buildthrough.proxy.patience import Patience


async def given(value: int) -> int:
    return value


async def seconds_waited(patience: Patience, *, is_known: bool) -> float:
    never: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    with pytest.raises(UpstreamUnavailable, match="try again") as caught:
        await patience.wait(asyncio.shield(never), is_known=is_known)
    assert not never.cancelled()
    return float(caught.value.sentence.partition(" after ")[2].partition(" seconds")[0])


async def test_where_upstream_was_silent_just_now_the_next_known_page_waits_for_a_tenth_only() -> None:
    """Pip asks for its pages one after another: the waiting must not add up."""
    patience = Patience(unknown=0.03, known=0.2)
    assert await seconds_waited(patience, is_known=False) == 0.03
    waited = [await seconds_waited(patience, is_known=True) for _ in range(3)]
    assert waited == [0.2, 0.02, 0.02]
    assert await seconds_waited(patience, is_known=False) == 0.03
    assert await patience.wait(given(5), is_known=True) == 5
    assert await seconds_waited(patience, is_known=True) == 0.2
