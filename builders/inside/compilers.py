"""Compilers that build for every machine of the architecture, and the same each time, as wheels promise.

Packages that pass ``-march=native`` mean the machine that installs them. A wheel goes to others, where instructions of
the builder's processor end a program with SIGILL; auditwheel cannot see them. So the flag is taken out.

Folders inside have the same names in every build, but those that backends make below /tmp. Where a compiler is run in
one, its name is kept out of debug information and ``__FILE__``; so is the folder that all others lie in where there are
no namespaces.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_COMPILER = re.compile(r"(?:[\w.]+-)*(?:cc|c\+\+|gcc|g\+\+|clang|clang\+\+|gfortran)(?:-[\d.]+)?")
_SCRIPT = """\
#!/bin/sh
case " $* " in
    *=native*)
        for argument; do
            shift
            case $argument in
                -march=native | -mcpu=native | -mtune=native) ;;
                *) set -- "$@" "$argument" ;;
            esac
        done
        ;;
esac
case $#:$PWD in
    0:* | 1:*) ;;
    *:"$BUILDTHROUGH_SCRATCH"/tmp/*) set -- "-ffile-prefix-map=$PWD=." "$@" ;;
esac
if [ -n "$BUILDTHROUGH_SCRATCH" ] && [ $# -gt 1 ]; then
    set -- "-ffile-prefix-map=$BUILDTHROUGH_SCRATCH=" "$@"
fi
exec {compiler} "$@"
"""


def place(folder: Path, system: Path) -> None:
    """Put a script for each compiler of a system folder into a new one, under the same name."""
    folder.mkdir()
    for compiler in system.iterdir():
        if _COMPILER.fullmatch(compiler.name):
            script = folder / compiler.name
            script.write_text(_SCRIPT.format(compiler=shlex.quote(str(compiler))))
            script.chmod(0o755)
