"""diskcache's way to the disk, without pickle in either direction (CVE-2025-69872)."""

from __future__ import annotations

import diskcache


class Pickled(Exception):
    """A key or value that only pickle can write or read."""


class BytesDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """diskcache's way to the disk, without pickle in either direction."""

    def put(self, key: object) -> object:
        """Refuse keys that would be pickled."""
        if type(key) is not str:
            raise Pickled("keys are text")
        return super().put(key)

    def get(self, key: object, raw: bool) -> object:
        """Refuse keys that were pickled."""
        if not raw:
            raise Pickled("a key in the database is a pickle")
        return super().get(key, raw)

    def store(self, value: object, read: bool, key: object = diskcache.UNKNOWN) -> object:
        """Refuse values that would be pickled."""
        if type(value) not in {bytes, str, int, float}:
            raise Pickled("values are bytes, text or numbers")
        return super().store(value, read, key=key)

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> object:
        """Refuse values that were pickled."""
        if mode not in {diskcache.core.MODE_RAW, diskcache.core.MODE_BINARY, diskcache.core.MODE_TEXT}:
            raise Pickled("a value in the database is a pickle")
        return super().fetch(mode, filename, value, read)
