"""So many for each key, so many in all."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from buildthrough.proxy.places import Places


async def test_each_and_all_have_a_bound() -> None:
    places = Places(each=2, total=3)
    with ExitStack() as taken:
        for key in ("a", "a", "b"):
            assert places.free(key)
            taken.enter_context(places.taken(key))
        assert not any(places.free(key) for key in "abc")
    with places.taken("a"), places.taken("a"):
        assert not places.free("a")
        assert places.free("b")
    assert all(places.free(key) for key in "abc")


async def test_who_waits_gets_the_place_that_is_given_back() -> None:
    places = Places(each=1, total=9)
    order: list[int] = []

    async def use(number: int) -> None:
        await places.wait("a", 10)
        with places.taken("a"):
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(use(number) for number in range(5)))
    assert sorted(order) == list(range(5))


async def test_who_waits_too_long_is_told() -> None:
    places = Places(each=1, total=9)
    with places.taken("a"):
        with pytest.raises(TimeoutError):
            await places.wait("a", 0.01)
        await places.wait("b", 0.01)
