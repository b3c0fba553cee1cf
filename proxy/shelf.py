"""What is kept in memory: the values used last, as long as their weights stay within a bound."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class Shelf(Generic[K, V]):
    """A mapping that forgets the least recently used when its weight (bytes) exceeds the limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self.weight = 0

    def get(self, key: K) -> V | None:
        """Return the value and count it as used."""
        item = self._items.get(key)
        if item is None:
            return None
        self._items.move_to_end(key)
        return item[0]

    def put(self, key: K, value: V, weight: int) -> None:
        """Keep a value; one that is heavier than the whole shelf is kept until the next is put."""
        self.drop(key)
        self._items[key] = (value, weight)
        self.weight += weight
        while self.weight > self._limit and len(self._items) > 1:
            self.drop(next(iter(self._items)))

    def add_weight(self, key: K, weight: int) -> None:
        """Count more bytes for a value that has grown, if it is still kept."""
        item = self._items.get(key)
        if item is not None:
            self.put(key, item[0], item[1] + weight)

    def drop(self, key: K) -> None:
        """Forget one value."""
        item = self._items.pop(key, None)
        if item is not None:
            self.weight -= item[1]

    def keys(self) -> tuple[K, ...]:
        """Return what is kept, the least recently used first."""
        return tuple(self._items)

    def __len__(self) -> int:
        return len(self._items)
