"""PyPI's serial of a project: a number that grows with each change of it. Pure."""

from __future__ import annotations


def is_older(answered: str | None, known: str | None) -> bool:
    """Whether what was answered is from before what is known; of two that cannot be compared, neither is older.

    An index has several nodes, and one may lag behind: its page would take back releases, yanks and quarantines.
    """
    if answered is None or known is None or not _is_number(answered) or not _is_number(known):
        return False
    return int(answered) < int(known)


def _is_number(serial: str) -> bool:
    return serial.isascii() and serial.isdecimal() and len(serial) < 20  # noqa: PLR2004 - digits of 64 bits
