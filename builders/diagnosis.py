# ruff: noqa: E501 # the table reads best with one rule a line
"""From a build's log to the class of its fault and the first line that tells it. No input or output here.

One pass over the lines, one table. A class is about what has to change before another try makes sense: the
environment's age (``rot``), the machine's libraries (``syslib``), the Python (``capi``), or the package itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from buildthrough.builders.faults import Stage

_LINE_CHARACTERS = 500
_READ_CHARACTERS = 2000
"""Of one line: what tells a fault stands at its beginning, and the patterns' work stays bounded."""
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]{0,32}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)?|[@-Z\\-_])")
_PYTHON_HEADER = (
    r"(?:longintrepr|code|frameobject|node|grammar|graminit|parsetok|(?:internal|cpython|pycore_)[\w/]{0,60})\.h"
)
_TOOL = (
    r"(?:\w{1,30}[-_]config|pkgconf|cmake|cargo|rustc|gfortran|swig|ninja|meson|make|autoconf|autoreconf|automake|libtoolize"
    r"|bison|flex|nasm|yasm|go|javac?|nvcc|node|npm|git|svn|hg|clang|gcc|g\+\+|cc|patch|perl|protoc|qmake|mpicc)"
)
_SURE, _HINT, _BROAD, _TRACE = 0, 1, 2, 3
"""How much a line says: a fatal error with its cause; a probe that failed, perhaps harmlessly; an error alone; what the
driver saw besides, which explains a failure that nothing else does."""
_RULES: tuple[tuple[str, int, str], ...] = (
    # numpy's C API and names of another age. Before capi: Py also begins what is numpy's.
    ("rot.numpy", _SURE, r"error: .{0,120}PyArray_Descr.{0,60}no member named .?(?:subarray|elsize|fields|names|c_metadata|alignment)\b"),
    ("rot.numpy", _SURE, r"error: .{0,60}\b(?:NPY|PyArray|PyUFunc)_\w{1,60}\W{1,4}(?:undeclared|was not declared)"),
    ("rot.numpy", _SURE, r"module 'numpy' has no attribute '\w{1,40}'|`np\.\w{1,30}` was (?:a deprecated alias|removed in the NumPy)"),
    # The C API of another Python. Before syslib.header: the header that is missing is Python's own.
    ("capi", _SURE, rf"fatal error: '?{_PYTHON_HEADER}'?(?:: No such file| file not found)"),
    ("capi", _SURE, r"error: .{0,120}no member named .?(?:ob_digit|tp_print|f_code|f_lasti|f_back|f_localsplus|cframe)\b"),
    ("capi", _SURE, r"error: .{0,120}no member named .?(?:(?:cur)?exc_(?:type|value|traceback)|co_\w{1,20}|use_tracing|wstr)\b"),
    ("capi", _SURE, r"error: .{0,60}incomplete type.{0,40}(?:Py\w{1,30}|_frame|_ts|_is)\b"),
    ("capi", _HINT, r"error: lvalue required as left operand of assignment"),
    ("capi", _SURE, r"error: .{0,80}\b_?Py[A-Z]?\w{1,60}\W{1,4}(?:undeclared|was not declared)"),
    ("capi", _SURE, r"error: implicit declaration of function .?_?Py\w"),
    ("capi", _SURE, r"error: too (?:few|many) arguments to function .?_?Py\w"),
    # The package itself says that nobody should build it.
    ("refused.deliberate", _SURE, r"(?i)package is (?:deprecated|obsolete|a placeholder)\b.{0,60}\b(?:use|install) |_INSTALL=True to avoid this error"),
    ("refused.deliberate", _SURE, r"(?i)(?:this|the) (?:package|project|name) .{0,40}(?:was |has been |is )?(?:renamed to|superseded by|replaced by|not meant to be installed)"),
    # Build tools that are newer than the package.
    ("incompatible.python", _SURE, r"No module named '?distutils\.command\.bdist_(?:wininst|msi)\b"),  # gone with 3.10 and 3.13
    ("rot.setuptools", _SURE, r"setup command: use_2to3 is invalid"),
    ("rot.setuptools", _SURE, r"Multiple top-level (?:packages|modules) discovered in a flat-layout"),
    ("rot.setuptools", _SURE, r"InvalidVersion: Invalid version|error in .{1,80} setup command: .{1,160} valid project/version requirement"),
    ("rot.setuptools", _SURE, r"invalid pyproject\.toml config|configuration error: `(?:project|tool\.setuptools)\b"),
    ("rot.setuptools", _SURE, r"object has no attribute '(?:dry_run|_dry_run|convert_2to3_doctests|use_2to3\w{0,30})'"),
    ("rot.wheel", _SURE, r"No module named 'wheel\.|cannot import name '\w{1,60}' from 'wheel\b"),
    ("rot.cmake", _SURE, r"Compatibility with CMake < 3\.\d{1,2} has been removed"),
    ("rot.poetry", _SURE, r"The Poetry configuration is invalid"),
    ("rot.backend", _SURE, r"cannot import name '\w{1,60}' from '(?:packaging|poetry|flit_core|hatchling|setuptools_scm|jinja2|markupsafe|pybind11|cffi|docutils|toml)\b"),
    ("rot.setuptools", _SURE, r"No module named '?(?:pkg_resources|distutils|setuptools\.[\w.]{1,60}|numpy\.distutils|imp)\b"),
    ("rot.setuptools", _SURE, r"cannot import name '\w{1,60}' from '(?:setuptools|distutils|pkg_resources)\b"),
    ("rot.setuptools", _SURE, r"module '(?:setuptools|distutils|pkg_resources)[\w.]{0,60}' has no attribute"),
    ("rot.setuptools", _SURE, r"invalid command 'bdist_wheel'"),
    ("rot.setuptools", _SURE, r"InvalidConfigError: Invalid dash-separated|Invalid dash-separated key .{1,80} \(expected\)"),
    ("rot.setuptools", _SURE, r"AttributeError: install_layout\b"),
    ("rot.setuptools", _SURE, r"module 'configparser' has no attribute 'SafeConfigParser'"),
    ("rot.setuptools", _SURE, r"module '(?:inspect|pkgutil|ast|collections)' has no attribute '\w{1,60}'"),
    ("rot.cython", _SURE, r"AttributeError: (?:cython_sources|'\w{1,60}' object has no attribute 'cython_\w{1,30}')|Cython\.Compiler\.Errors\.CompileError"),
    ("rot.cython", _SURE, r"undeclared name not builtin: \w|No module named 'Cython\.|cannot import name '\w{1,60}' from 'Cython\b"),
    ("rot.cython", _SURE, r"Error compiling Cython file|^(?:Error: )?[\w./+-]{1,200}\.pyx:\d{1,7}:\d{1,7}: (?!warning)\S"),
    # What the kernel refused, in its own words; where nothing better is known of how it ended.
    ("limit.disk", _SURE, r"No space left on device|Disk quota exceeded"),
    ("limit.file-size", _SURE, r"(?:\[Errno 27\] |: )File too large|File size limit exceeded"),
    ("limit.processes", _SURE, r"can't start new thread|fork: .{0,40}Resource temporarily unavailable"),
    ("limit.memory", _SURE, r"^MemoryError\b|virtual memory exhausted|out of memory allocating|Cannot allocate memory"),
    # The sandbox has no network.
    ("network.denied", _SURE, r"Temporary failure in name resolution|Name or service not known|nodename nor servname"),
    ("network.denied", _SURE, r"(?i)could(?:n't| not) resolve (?:host|proxy)|unable to resolve host|failed to lookup address"),
    ("network.denied", _SURE, r"\[Errno (?:-[23]|97|101|111|113)\]|Connection refused|Network is unreachable|No route to host"),
    ("network.denied", _SURE, r"Address family not supported by protocol|<urlopen error|NewConnectionError|NameResolutionError"),
    ("network.denied", _SURE, r"Max retries exceeded with url|unable to access 'https?:|dial (?:tcp|udp)\b|fetch failed: getaddrinfo"),
    ("network.denied", _SURE, r"curl: \((?:5|6|7|28)\)|Could not find a suitable TLS CA certificate bundle|fetch failed: getaddrinfo"),
    ("network.denied", _SURE, r"is the internet available\?|Failed to clone repository: '|error: downloading '|Could not read from remote"),
    ("network.denied", _SURE, r"\bgetaddrinfo (?:ENOTFOUND|EAI_AGAIN)|npm (?:error|ERR!) (?:code E(?:NOTFOUND|NOTCACHED|AI_AGAIN)|network)"),
    ("network.denied", _HINT, r"IO::Socket::INET: Bad hostname|TypeError: fetch failed|UnknownHostException"),
    ("network.denied", _HINT, r"No matching distribution found for |\(from versions: none\)"),
    ("network.denied", _TRACE, r"^note: a host's name was looked up, and there is no network$"),
    # Crates, which cargo would have to download.
    ("network.crates", _SURE, r"no matching package named `[\w-]{1,80}` found|failed to select a version for the requirement `"),
    ("network.crates", _SURE, r"error: failed to (?:download|get|fetch|load source for) .{0,120}(?:crates|registry|replaced source|dependency|`)"),
    ("network.crates", _SURE, r"attempting to make an HTTP request, but --offline was specified|[Uu]nable to update registry"),
    # This Python: the package is too old or too new for it.
    ("incompatible.python", _SURE, r"(?i)(?:requires?|needs?|only supports?) (?:a different )?python\b.{0,40}(?:\d\.\d|\bin '|not in)"),
    ("incompatible.python", _SURE, r"(?i)python (?:version )?(?:[<>=!~]{1,2} ?)?\d(?:\.\d{1,2}){0,2}\+?.{0,20} (?:required|unsupported|not supported)"),
    ("incompatible.python", _SURE, r"(?i)cannot install on python version|unsupported python version|interpreter version .{1,40}newer than PyO3"),
    ("incompatible.python2", _SURE, r"SyntaxError: (?:Missing parentheses in call to 'print'|multiple exception types|leading zeros)"),
    ("incompatible.python2", _SURE, r"TabError: inconsistent use of tabs|has no attribute '(?:iteritems|has_key)'"),
    ("incompatible.python2", _SURE, r"NameError: name '(?:unicode|basestring|xrange|execfile|raw_input|reduce|file)' is not defined"),
    ("incompatible.python2", _SURE, r"No module named '?(?:ConfigParser|urllib2|c?StringIO|__builtin__|commands|Queue)\b"),
    # This system.
    ("incompatible.platform", _SURE, r"(?i)fatal error: '?(?:windows|winsock2?|ws2tcpip|tchar|direct|shlobj|psapi|conio)\.h\b"),
    ("incompatible.platform", _SURE, r"fatal error: '?(?:Cocoa|Carbon|CoreFoundation|CoreServices|IOKit|mach|Foundation)/\w{1,40}\.h\b"),
    ("incompatible.platform", _SURE, r"No module named '?(?:_?winreg|msvcrt|_winapi|win32\w{1,20}|pythoncom|objc)\b"),
    ("incompatible.platform", _SURE, r"(?i)\b(?:only|just)\b.{0,40} (?:on|for|under) (?:ms |microsoft )?(?:windows|mac ?os|os ?x|darwin)"),
    ("incompatible.platform", _SURE, r"(?i)unsupported (?:platform|operating system|os)\b|platform .{0,40}(?:is )?not supported"),
    # Libraries and programs that the machine lacks.
    ("syslib.pkgconfig", _SURE, r"ERROR: Dependency .{1,80} not found|Dependency lookup for .{1,160} failed"),
    ("syslib.pkgconfig", _SURE, r"The system library `[\w.+-]{1,80}` required by crate"),
    ("syslib.pkgconfig", _SURE, r"Could not find a package configuration file provided by|CMake Error.{0,120}Could NOT find"),
    ("syslib.pkgconfig", _HINT, r"Package '?[\w.+-]{1,80}'?,? .{0,80}(?:not found|was not found)|No package '[\w.+-]{1,80}' found"),
    ("syslib.pkgconfig", _HINT, r"pkg-config.{0,160} (?:returned non-zero|exit(?:ed with)? (?:status|code)) "),
    ("syslib.pkgconfig", _HINT, r"Could NOT find [A-Z]\w{1,60} \(missing"),
    ("syslib.version", _SURE, r"(?i)requires? at least (?:lib)?[\w+-]{1,40} v?\d[\w.]{0,20},? but .{0,60}\bfound"),
    ("syslib.version", _SURE, r"Requested '[\w.+-]{1,80} [<>=]{1,2} [\w.]{1,20}' but version of "),
    ("syslib.tool", _SURE, rf"No such file or directory: '(?:[\w./-]{{0,120}}/)?{_TOOL}'"),
    ("syslib.tool", _SURE, r"error: command '[^']{1,160}' failed: No such file|unable to execute '[^']{1,160}': No such file"),
    ("syslib.tool", _SURE, rf"(?:Error|ERROR|error): .{{0,80}}\b{_TOOL}['\"`]?(?: executable| compiler)? (?:was |is )?(?:not |could not be )found"),
    ("syslib.tool", _SURE, r"(?i)can't find rust|rust (?:toolchain|compiler).{0,60}not (?:found|installed)|is `?(?:cargo|rustc)`? installed"),
    ("syslib.tool", _SURE, rf"(?i)do you have `?{_TOOL}`? (?:in your PATH|installed)"),
    ("syslib.tool", _SURE, r"Unknown compiler\(s\)|No CMAKE_\w{1,20}_COMPILER could be found|no acceptable C compiler|(?i:cmake must be installed)"),
    ("syslib.tool", _SURE, r"(?:CUDA_HOME|JAVA_HOME)\b.{0,60} not (?:set|found)|[Nn]o Fortran compiler"),
    ("syslib.tool", _HINT, rf"\b{_TOOL}['\"`]?(?: executable| command| program| compiler)?[:,]? (?:was |is |could |command |can)?not (?:be )?(?:found|installed)"),
    ("syslib.tool", _HINT, rf"Could(?: not|n't) find (?:the )?['\"`]?{_TOOL}\b"),
    ("syslib.header", _SURE, r"fatal error: '?[\w./+-]{1,160}'?(?:: No such file or directory| file not found)"),
    ("syslib.header", _SURE, r"(?i)(?:development (?:package|header|file)s?|headers) .{0,60}(?:not (?:be )?found|not installed|are missing)"),
    ("syslib.header", _HINT, r"(?i)header (?:file )?.{0,80}not (?:be )?found"),
    ("syslib.linker", _SURE, r"cannot find -l:?[\w.+-]{1,80}|library not found for -l|ld: library '[\w.+-]{1,80}' not found"),
    ("syslib.linker", _HINT, r"(?i)(?:could not|cannot|unable to) (?:find|locate) (?:the )?(?:shared |\w{1,40} )?librar(?:y|ies)"),
    # What the package did not say that it needs.
    ("deps.undeclared", _BROAD, r"(?:ModuleNotFoundError|ImportError): No module named '?[\w.]{1,120}"),
    ("deps.undeclared", _BROAD, r"(?i)\b(?:cython|numpy|pybind11)\b.{0,30} (?:required|needed|not installed|must be installed)"),
    ("deps.undeclared", _BROAD, r"Could not find suitable distribution for Requirement\.parse"),
    ("deps.undeclared", _BROAD, r"DistributionNotFound: The '[^']{1,120}' distribution was not found"),
    # The compiler's own verdict, last: nothing above explains it.
    ("compiler", _BROAD, r"^[\w./+-]{1,200}\.\w{1,8}:\d{1,7}(?::\d{1,7})?: (?:fatal )?error\b"),
    ("compiler", _BROAD, r"^error\[E\d{4}\]|^error: could not compile|undefined reference to|internal compiler error"),
    ("compiler", _BROAD, r"error: command '[^']{1,160}' failed with exit|ninja: build stopped: subcommand failed"),
)  # fmt: skip # a table: one rule a line
_TABLE = tuple((kind, weight, re.compile(pattern)) for kind, weight, pattern in _RULES)
_ERROR = re.compile(
    r"(?i)^\s{0,40}(?:[\w.]{1,80}(?:Error|Exception|Exit|Fault|Interrupt)\b|error\b|fatal\b|.{0,80}\b(?:error|failed|failure|abort(?:ed)?)\b)"
)
_WRAPPER = re.compile(
    r"CalledProcessError|BackendSubprocessError|subprocess-exited-with-error|returned non-zero exit status|BackendUnavailable:? *$"
    r"|^\s{0,40}(?:Traceback|File \")|note: This error originates|^\*{3}|warning:|Warning\b"
)


def diagnose(stage: Stage, log: str) -> tuple[str, str]:
    """Return the dotted class of the fault and its first telling line, cleaned and of at most 500 characters.

    The class is ``build.failed`` where nothing in the log is known; the line then is the last that looks like an
    error, and where none does, the last of all.
    """
    found: dict[int, tuple[str, str]] = {}
    error = last = ""
    for line in _lines(log):
        verdict = _classify(line)
        if verdict is not None and verdict[1] == _TRACE:
            line = error or last or line  # noqa: PLW2901 # what failed tells more
        last = line
        if verdict is not None:
            kind, weight = verdict
            found.setdefault(weight, (kind, line[:_LINE_CHARACTERS]))
            if weight == _SURE:
                break
        elif _ERROR.match(line) and not _WRAPPER.search(line):
            error = line
    if found:
        return found[min(found)]
    return "build.failed", (error or last or f"the build failed at {stage} and printed nothing")[:_LINE_CHARACTERS]


def _classify(line: str) -> tuple[str, int] | None:
    for kind, weight, pattern in _TABLE:
        if pattern.search(line):
            return kind, weight
    return None


def _lines(log: str) -> Iterator[str]:
    """Yield the lines that say something, without escapes and control characters."""
    for raw in log.split("\n"):
        # A carriage return overwrites a line on a terminal: what was written last counts.
        text = _ESCAPES.sub("", raw[:_READ_CHARACTERS]).rstrip("\r").rpartition("\r")[2]
        line = "".join(c if c.isprintable() else " " for c in text.expandtabs(4)).strip()
        if line:
            yield line
