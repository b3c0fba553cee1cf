"""Names that Windows does not have. PyPI takes wheels with such files, and only installs on Windows fail. Pure.

Sources: Microsoft's "Naming Files, Paths, and Namespaces"; CPython's ``ntpath.isreserved``. pip says on Windows that
``aux.py`` would be installed outside the target directory.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from buildthrough.builders.archive_entry import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[1-9\xb9\xb2\xb3])", re.IGNORECASE)
_CHARACTERS = frozenset('"*:<>?|')
_MOST = 5


def unfit_for_windows(paths: Iterable[str]) -> list[str]:
    """Return remarks on paths of a wheel that cannot be installed on Windows, the first few of them."""
    unfit = (path for path in sorted(paths) if any(_is_reserved(part) for part in path.split("/")))
    return [f"{quoted(path)} cannot be installed on Windows" for path, _ in zip(unfit, range(_MOST), strict=False)]


def _is_reserved(name: str) -> bool:
    if name.endswith((".", " ")) or not _CHARACTERS.isdisjoint(name):
        return True
    return _DEVICE.fullmatch(name.partition(".")[0].rstrip(" ")) is not None
