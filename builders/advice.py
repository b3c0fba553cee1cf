"""One sentence of advice for a failure: which Debian package brings the header, library or program that is missing.

The packages are those of Debian and Ubuntu; elsewhere their names say what to look for.
"""

from __future__ import annotations

import re

from buildthrough.builders.debian import PROVIDED
from buildthrough.builders.failures import classify

_HEADER = re.compile(
    r"fatal error: '?([\w./+-]{1,160}?)'?(?::| file not found)|['\"<]([\w./+-]{1,160}\.(?:h|hh|hpp))\b"
)
_LIBRARY = re.compile(
    r"cannot find -l:?([\w.+-]{1,80}?)(?::|$|\s)|-l([\w.+-]{1,80})\b|librar(?:y|ies) '?([\w.+-]{1,80})'?"
)
_PKGCONFIG = re.compile(
    r"(?:[Dd]ependency|[Pp]ackage|system library|lookup for|provided by|find) [`'\"]?([A-Za-z][\w.+-]{0,80})"
    r"|(?:required|requires) (?:virtual:world|pkg-config file) ([\w.+-]{1,80})"
)
_WORD = re.compile(r"[A-Za-z_][\w.+/-]{0,120}")
_QUOTES = "'\"`\u2018\u2019\u201c\u201d"
_QUOTED = re.compile(rf"[{_QUOTES}]([^{_QUOTES}\s]{{1,160}})[{_QUOTES}]")


def advise(kind: str, line: str | None) -> str:
    """Return one sentence for a failure of this class whose first telling line this is."""
    row = classify(kind)
    if row.name.startswith("syslib"):
        return _install(row.name, line or "") or row.advice
    return row.advice


def missing(kind: str, line: str) -> str | None:
    """Return the header, library or program that the line says is missing, None where it names none."""
    patterns = {"syslib.header": (_HEADER,), "syslib.linker": (_LIBRARY,), "syslib.pkgconfig": (_PKGCONFIG, _QUOTED)}
    for pattern in patterns.get(kind, (_QUOTED,)):
        for match in pattern.finditer(line):
            name = next((group for group in match.groups() if group), "").rstrip(".,:;)")
            if kind == "syslib.tool":
                name = name.rpartition("/")[2]
            if name and (kind != "syslib.tool" or name in PROVIDED):
                return name
    # The last resort: a word of the line that is known.
    return next((word for word in _WORD.findall(line) if word.strip(".") in PROVIDED), None)


def _install(kind: str, line: str) -> str | None:
    name = missing(kind, line)
    if name is None:
        return None
    package = PROVIDED.get(name) or PROVIDED.get(name.rpartition("/")[2])
    if package is None:
        return f"Install what brings {name} on the building machine; on Debian `apt-file search {name}` names it."
    if package == "cargo":
        return "Enable the Rust toolchain on the building machine; on Debian: apt install cargo."
    return f"Install what brings {name} on the building machine; on Debian: apt install {package}."
