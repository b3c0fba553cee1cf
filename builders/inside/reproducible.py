"""What the same sdist needs to give the same wheel, whenever it is built: one time, and the same temporary folders.

Backends compile in temporary folders (meson-python, scikit-build-core), and linkers write their paths into what they
make, or hash them into its build id.
"""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

EARLIEST = 315532800
"""1980 began: the first time stamp that a zip archive, and so a wheel, can hold. Seconds since 1970."""


def epoch_of(folder: Path, *, now: float | None = None) -> int:
    """Return ``SOURCE_DATE_EPOCH`` for an unpacked sdist: the time of its newest file, in seconds since 1970.

    Times before 1980 and times to come count for nothing: a clock that was wrong where it was packed says nothing.
    Source: the specification of SOURCE_DATE_EPOCH at reproducible-builds.org.
    """
    latest = time.time() if now is None else now
    newest = EARLIEST
    for parent, _, names in os.walk(folder):
        for name in names:
            found = os.lstat(os.path.join(parent, name))  # noqa: PTH118 - of up to 100,000 files
            if stat.S_ISREG(found.st_mode) and found.st_mtime <= latest:
                newest = max(newest, int(found.st_mtime))
    return newest


_NAMES = """\
import sys


class _Names(object):
    def __init__(self):
        import hashlib, itertools, os
        words = getattr(sys, "orig_argv", None) or getattr(sys, "argv", [])
        try:
            place = os.getcwd()
        except OSError:
            place = ""
        root = os.environ.get("BUILDTHROUGH_SCRATCH") or "//"
        words = [word.replace(root, "") for word in words]
        words = [word for word in words if "/tmp/" not in word]
        self._seed = repr((words, place.replace(root, ""))).encode("utf-8", "replace")
        self._count = itertools.count()
        self._hash = hashlib.sha256

    def __iter__(self):
        return self

    def __next__(self):
        return self._hash(self._seed + b"%d" % next(self._count)).hexdigest()[:8]


class _Loader(object):
    def __init__(self, inner):
        self._inner = inner

    def create_module(self, spec):
        return self._inner.create_module(spec)

    def exec_module(self, module):
        module.__loader__ = module.__spec__.loader = self._inner
        self._inner.exec_module(module)
        module._name_sequence = _Names()


class _Finder(object):
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "tempfile":
            return None
        sys.meta_path.remove(_Finder)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                spec.loader = _Loader(spec.loader)
                return spec
        return None


if "tempfile" in sys.modules:
    sys.modules["tempfile"]._name_sequence = _Names()
else:
    sys.meta_path.insert(0, _Finder)
"""
"""Python 3.7 or newer, run at each start of the build environment's interpreter, so without an import of its own."""


def steady_names(environment: Path) -> None:
    """Let what Python makes below /tmp in a virtual environment be named by program, place and count, not by chance.

    Nothing is ever overwritten: ``tempfile`` takes the next name where there is one already.
    """
    for packages in environment.glob("lib/*/site-packages"):
        (packages / "_steady_names.py").write_text(_NAMES)
        (packages / "_steady_names.pth").write_text("import _steady_names\n")
