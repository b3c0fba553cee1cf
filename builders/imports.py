# ruff: noqa: E501 # the tables read best with one rule a line
"""Which modules of a wheel are to be imported, and what their failure means. No input or output here.

A failure counts against the wheel, unless it asks for something that no sandbox has: a display, a device, the network,
a variable that only its user can set, a library that its own code looks for on the machine.
"""

from __future__ import annotations

import keyword
import re
from typing import TYPE_CHECKING, Any, Literal

from packaging.utils import canonicalize_name

from buildthrough.builders.build_log import plain_line
from buildthrough.builders.facts import ImportCheck, ImportedModule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from buildthrough.builders.facts import UsedWheel, Verdict

MOST_MODULES = 20
_DEEPEST = 4
"""Levels of folders without ``__init__`` that are looked into (namespace packages)."""
_LONGEST_NAME = 200
_JUNK = frozenset({
    "benchmark", "benchmarks", "conf", "conftest", "demo", "demos", "doc", "docs", "example", "examples", "ez_setup",
    "fixtures", "sample", "samples", "script", "scripts", "setup", "sitecustomize", "spec", "specs", "test", "testing",
    "tests", "tools", "usercustomize", "versioneer",
})  # fmt: skip
"""What lands at the top of a wheel by mistake, or by habit, and is not what anybody installs it for."""
_SUFFIXES = (".py", ".so")
_OF_EVERY_ENVIRONMENT = frozenset({"pip", "pkg_resources", "setuptools", "wheel"})
"""What environments of Python before 3.12 have without being asked, so that few declare it."""
_OF_PYTHON_2 = frozenset({
    "BaseHTTPServer", "ConfigParser", "Cookie", "HTMLParser", "Queue", "SimpleHTTPServer", "SocketServer", "StringIO",
    "Tkinter", "__builtin__", "anydbm", "cPickle", "cStringIO", "commands", "cookielib", "exceptions", "htmlentitydefs",
    "httplib", "sets", "thread", "urllib2", "urlparse", "xmlrpclib",
})  # fmt: skip
_GONE = frozenset({
    "asynchat", "asyncore", "cgi", "cgitb", "crypt", "distutils", "formatter", "imghdr", "imp", "lib2to3", "nntplib",
    "parser", "pipes", "smtpd", "sndhdr", "spwd", "symbol", "telnetlib", "uu", "xdrlib",
})  # fmt: skip
"""Modules of the standard library that a Python since 3.9 has no more."""
_OF_ANOTHER_SYSTEM = re.compile(
    r"_?winreg|_winapi|msvcrt|winsound|nt|win32\w*|pythoncom|pywintypes|wmi|objc|AppKit|Foundation|Quartz|java\w*|clr|System"
)
_EXCUSES: tuple[tuple[str, str], ...] = (
    ("display", r"TclError|(?i:no display|(?:connect to|open|find) (?:a |the |any |x |x11 )?(?:display|x server))|NoSuchDisplay|DisplayNameError|DisplayConnectionError|XDG_RUNTIME_DIR|Gtk.{0,40}initialized|Qt platform plugin|KeyError: 'DISPLAY'|Namespace \w{1,40} not available"),
    ("network", r"gaierror|URLError|ConnectionError|ConnectionRefused|NewConnectionError|Name or service not known|name resolution|Network is unreachable|Address family not supported|Max retries exceeded"),
    ("device", r"'/(?:dev|sys)/|No such device|(?i:raspberry pi|gpio\b|no \w{0,20} ?devices? found|no cuda|nvidia driver)|libcuda\.so|libnvidia|libnvcuvid"),
    ("setting", r"ImproperlyConfigured|(?i:environment variable|settings are not configured)|MissingConfiguration"),
    ("library", r"OSError: .{0,200}(?:cannot open shared object file|[Ll]ibrary not found|could not find (?:the )?\w{1,40} library)"),
)  # fmt: skip # a table: one rule a line
_EXCUSE_TABLE = tuple((excuse, re.compile(pattern)) for excuse, pattern in _EXCUSES)
_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("import.library", re.compile(r"cannot open shared object file|[Ll]ibrary not found")),
    ("import.symbol", re.compile(r"undefined symbol|symbol not found|version `.{1,60}' not found")),
    ("import.python", re.compile(r"^(?:SyntaxError|TabError|IndentationError)\b|NameError: name '(?:unicode|basestring|xrange|long|raw_input|reduce|file|unichr)' is not defined|has no attribute '(?:iteritems|has_key)'|module '(?:collections|inspect|time|fractions|asyncio|typing|locale|gettext|string)' has no attribute|from 'collections' ")),
    ("import.exit", re.compile(r"^SystemExit\b")),
)  # fmt: skip # a table: one rule a line


def modules_of(files: Iterable[str], project: str) -> tuple[str, ...]:
    """Return the modules to import, those first that are named like the project, at most `MOST_MODULES`.

    ``files`` are the paths in a wheel. A folder without ``__init__`` is looked into: it may be a namespace.
    ``top_level.txt`` is not asked: the files themselves are what is installed.
    """
    paths = {tuple(_installed(path).split("/")) for path in files}
    found = set(_modules({path for path in paths if path[0]}, ()))
    named = canonicalize_name(project)
    wanted = {module for module in found if not _is_junk(module.partition(".")[0], named)}
    return tuple(sorted(wanted, key=lambda module: (not _is_named(module, named), module)))[:MOST_MODULES]


def _installed(path: str) -> str:
    """Return where below site-packages a file of a wheel is installed; empty where it is somewhere else."""
    top, _, rest = path.partition("/")
    if not top.endswith(".data"):
        return path
    scheme, _, below = rest.partition("/")
    return below if scheme in {"purelib", "platlib"} else ""


def _modules(paths: set[tuple[str, ...]], above: tuple[str, ...]) -> Iterable[str]:
    """Yield the modules and packages right below a folder; of one that is no package, what is below it."""
    for path in paths:
        if len(path) == 1 and path[0].endswith(_SUFFIXES):
            name = path[0].partition(".")[0]
            if _is_name(name) and name not in {"__init__", "__main__"}:
                yield ".".join((*above, name))
    for folder in {path[0] for path in paths if len(path) > 1 and _is_name(path[0])}:
        inside = {path[1:] for path in paths if path[0] == folder and len(path) > 1}
        package = (*above, folder)
        if any(
            len(path) == 1 and path[0].partition(".")[0] == "__init__" and path[0].endswith(_SUFFIXES)
            for path in inside
        ):
            yield ".".join(package)
        elif len(package) < _DEEPEST:
            yield from _modules(inside, package)


def _is_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name) and len(name) <= _LONGEST_NAME


def _is_junk(top: str, project: str) -> bool:
    if canonicalize_name(top) == project:
        return False
    return top.lower() in _JUNK or top.startswith("test_") or top.endswith(("_test", "_tests"))


def _is_named(module: str, project: str) -> bool:
    return canonicalize_name(module.replace(".", "-")) == project


def judge_all(
    results: Sequence[Mapping[str, Any]], own: Sequence[str], *, unchecked: str, dependencies: tuple[UsedWheel, ...]
) -> ImportCheck:
    """Return what the results of all modules mean together; ``unchecked`` is why there are none."""
    if unchecked:
        return ImportCheck(verdict="unchecked", line=plain_line(unchecked), dependencies=dependencies)
    modules = tuple(module for module in (judge(result, own) for result in results) if module is not None)
    verdict: Verdict = "imported" if modules else "nothing"
    if any(module.kind for module in modules):
        verdict = "failed" if any(module.kind and not module.excused for module in modules) else "excused"
    return ImportCheck(verdict=verdict, modules=modules, dependencies=dependencies)


def sentence(found: ImportCheck) -> str:
    """Say what came of the check, for the log."""
    if found.verdict == "unchecked":
        return f"not imported: {found.line}"
    if found.verdict == "nothing":
        return "not imported: the wheel holds no module"
    said = [f"import {one.module}: {_outcome(one)}" for one in found.modules]
    return "; ".join([*said, found.line] if found.line else said)


def _outcome(module: ImportedModule) -> str:
    if not module.kind:
        return "ok"
    return f"excused ({module.excused}), {module.line}" if module.excused else f"{module.kind}, {module.line}"


def judge(said: Mapping[str, Any], own: Sequence[str]) -> ImportedModule | None:
    """Return what a result of the driver means; None where that is no module after all.

    ``own`` are the modules of the wheel. The result is a stranger's: it may hold anything.
    """
    module = str(said["module"])
    if said.get("imported") is True:
        return ImportedModule(module=module)
    if said.get("late") is True:
        return ImportedModule(module=module, kind="import.time", line="it does not come to an end")
    kind, line = str(said.get("type", ""))[:100], str(said.get("line", ""))
    if not kind:
        return ImportedModule(module=module, kind="import.exit", line=_ending(said.get("ended")))
    if "does not define module export function" in line:
        return None  # a library that was put beside the modules
    return _judge_error(module, kind, line, said, own)


def _judge_error(module: str, kind: str, line: str, said: Mapping[str, Any], own: Sequence[str]) -> ImportedModule:
    """Say what it means that the import raised an exception."""
    text = plain_line(f"{kind}: {line}")
    missing = str(said.get("missing", "")).partition(".")[0]
    if kind == "ModuleNotFoundError" and missing:
        return _missing(module, text, missing, own)
    if said.get("environ") is True:
        return ImportedModule(module=module, kind="import.failed", excused="setting", line=text)
    for excuse, pattern in _EXCUSE_TABLE:
        if pattern.search(text):
            return ImportedModule(module=module, kind=_kind(text), excused=excuse, line=text)
    return ImportedModule(module=module, kind=_kind(text), line=text)


def _kind(text: str) -> str:
    return next((kind for kind, pattern in _KINDS if pattern.search(text)), "import.failed")


def _missing(module: str, text: str, missing: str, own: Sequence[str]) -> ImportedModule:
    """Say what it means that another module is not there."""
    if missing in {name.partition(".")[0] for name in own}:
        return ImportedModule(module=module, kind="import.failed", line=text)
    if missing in _OF_PYTHON_2 | _GONE:
        return ImportedModule(module=module, kind="import.python", line=text)
    if _OF_ANOTHER_SYSTEM.fullmatch(missing):
        return ImportedModule(module=module, kind="import.platform", line=text)
    excused: Literal["environment", ""] = "environment" if missing in _OF_EVERY_ENVIRONMENT else ""
    return ImportedModule(module=module, kind="import.dependency", excused=excused, line=text)


def _ending(code: object) -> str:
    if type(code) is not int or not 0 <= code <= 255:  # noqa: PLR2004 # what a shell gives
        return "it ends the interpreter"
    if code > 128:  # noqa: PLR2004 # as a shell gives it
        return f"it crashes the interpreter (signal {code - 128})"
    return f"it ends the interpreter (exit code {code})"
