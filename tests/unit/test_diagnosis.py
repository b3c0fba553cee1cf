# ruff: noqa: E501 # lines of logs are as long as they are
"""Logs as they look, and what they are about."""

from __future__ import annotations

import time

import pytest

from buildthrough.builders.diagnosis import diagnose

TELLING = [
    ("rot.setuptools", "error in anyjson setup command: use_2to3 is invalid."),
    ("rot.setuptools", "ModuleNotFoundError: No module named 'pkg_resources'"),
    ("rot.setuptools", "ModuleNotFoundError: No module named 'distutils.core'"),
    ("rot.setuptools", "ModuleNotFoundError: No module named 'distutils'"),
    ("rot.setuptools", "ModuleNotFoundError: No module named 'setuptools.command.test'"),
    ("rot.setuptools", "ImportError: cannot import name 'Feature' from 'setuptools' (/env/setuptools/__init__.py)"),
    ("rot.setuptools", "AttributeError: module 'configparser' has no attribute 'SafeConfigParser'"),
    ("rot.setuptools", "AttributeError: install_layout. Did you mean: 'install_platlib'?"),
    ("rot.setuptools", "error: invalid command 'bdist_wheel'"),
    ("rot.setuptools", "error: Multiple top-level packages discovered in a flat-layout: ['data', 'lib']."),
    ("rot.setuptools", "packaging.version.InvalidVersion: Invalid version: '0.1dev-r1716'"),
    (
        "rot.setuptools",
        "error in old setup command: 'install_requires' must be a string or iterable of strings containing valid project/version requirement specifiers; Expected end or semicolon",
    ),
    ("rot.setuptools", "ValueError: invalid pyproject.toml config: `project`."),
    (
        "rot.setuptools",
        "configuration error: `project.license` must be valid exactly by one definition (2 matches found):",
    ),
    ("rot.setuptools", "AttributeError: 'build_ext' object has no attribute 'dry_run'"),
    ("rot.wheel", "ModuleNotFoundError: No module named 'wheel.pep425tags'"),
    ("rot.cmake", "Compatibility with CMake < 3.5 has been removed from CMake."),
    ("rot.poetry", "RuntimeError: The Poetry configuration is invalid:"),
    ("rot.backend", "ImportError: cannot import name 'soft_unicode' from 'markupsafe' (/env/markupsafe/__init__.py)"),
    ("rot.cython", "AttributeError: 'build_ext' object has no attribute 'cython_sources'"),
    ("rot.cython", "src/x.pyx:1:2: undeclared name not builtin: long"),
    ("rot.cython", "ModuleNotFoundError: No module named 'Cython.Distutils.old_build_ext'"),
    ("rot.numpy", "AttributeError: module 'numpy' has no attribute 'bool8'"),
    ("rot.numpy", "AttributeError: `np.float_` was removed in the NumPy 2.0 release. Use `np.float64` instead."),
    ("rot.numpy", "x.c:1:2: error: 'PyArray_Descr' {aka 'struct _PyArray_Descr'} has no member named 'subarray'"),
    ("rot.numpy", "x.c:1:2: error: 'NPY_OWNDATA' undeclared (first use in this function)"),
    ("rot.numpy", "x.c:1:2: error: 'PyArray_FromDims' was not declared in this scope"),
    ("incompatible.python", "ModuleNotFoundError: No module named 'distutils.command.bdist_wininst'"),
    (
        "deps.undeclared",
        "distutils.errors.DistutilsError: Could not find suitable distribution for Requirement.parse('numpy')",
    ),
    ("limit.disk", "OSError: [Errno 28] No space left on device: 'build/x.o'"),
    ("limit.disk", "x.c:1:1: fatal error: error writing to /tmp/ccx.s: No space left on device"),
    ("limit.file-size", "OSError: [Errno 27] File too large"),
    ("limit.file-size", "/usr/bin/ld: final link failed: File too large"),
    ("limit.processes", "RuntimeError: can't start new thread"),
    ("limit.processes", "/bin/sh: 3: fork: retry: Resource temporarily unavailable"),
    ("limit.memory", "MemoryError"),
    ("limit.memory", "virtual memory exhausted: Cannot allocate memory"),
    ("limit.memory", "cc1plus: out of memory allocating 65536 bytes after a total of 1000 bytes"),
    ("rot.cython", "AttributeError: cython_sources"),
    ("rot.cython", "Error compiling Cython file:"),
    ("rot.cython", "src/fast.pyx:23:12: Cannot assign type 'long' to 'int'"),
    ("rot.cython", "Cython.Compiler.Errors.CompileError: src/fast.pyx"),
    ("syslib.header", "src/_ldap.c:12:10: fatal error: lber.h: No such file or directory"),
    ("syslib.header", "cairo/cairomodule.h:7:10: fatal error: 'cairo.h' file not found"),
    ("syslib.header", "src/x.cpp:1:10: fatal error: Eigen/Dense: No such file or directory"),
    (
        "syslib.header",
        "Error: Please make sure the libxml2 and libxslt development packages are installed and not installed",
    ),
    ("syslib.linker", "/usr/bin/ld: cannot find -lsasl2: No such file or directory"),
    ("syslib.linker", "ld: library not found for -lssl"),
    ("syslib.pkgconfig", '../meson.build:31:11: ERROR: Dependency "dbus-1" not found, tried pkgconfig'),
    ("syslib.pkgconfig", "Package cairo was not found in the pkg-config search path."),
    ("syslib.pkgconfig", "Package 'libffi', required by 'virtual:world', not found"),
    ("syslib.pkgconfig", "No package 'gobject-introspection-1.0' found"),
    ("syslib.pkgconfig", "The system library `openssl` required by crate `openssl-sys` was not found."),
    ("syslib.tool", "Error: pg_config executable not found."),
    ("syslib.tool", "/bin/sh: 1: mysql_config: not found"),
    ("syslib.tool", "FileNotFoundError: [Errno 2] No such file or directory: 'cmake'"),
    ("syslib.tool", "error: can't find Rust compiler"),
    ("syslib.tool", "Caused by: Cargo metadata failed. Do you have cargo in your PATH?"),
    ("syslib.tool", "error: command 'swig' failed: No such file or directory"),
    ("syslib.tool", "../meson.build:1:0: ERROR: Unknown compiler(s): [['gfortran'], ['flang']]"),
    ("syslib.tool", "OSError: mysql_config not found"),
    ("syslib.tool", "OSError: CUDA_HOME environment variable is not set. Please set it to your CUDA install root."),
    ("capi", "src/lib.c:196:12: fatal error: longintrepr.h: No such file or directory"),
    ("capi", "src/x.c:4:10: fatal error: 'internal/pycore_frame.h' file not found"),
    ("capi", "_yaml.c:100:5: error: 'PyLongObject' {aka 'struct _longobject'} has no member named 'ob_digit'"),
    ("capi", "x.c:9:1: error: 'PyTypeObject' {aka 'struct _typeobject'} has no member named 'tp_print'"),
    ("capi", "g.c:8:9: error: 'PyThreadState' {aka 'struct _ts'} has no member named 'use_tracing'"),
    ("capi", "g.c:8:9: error: invalid use of incomplete typedef 'PyFrameObject' {aka 'struct _frame'}"),
    ("capi", "x.c:7:1: error: lvalue required as left operand of assignment"),
    (
        "capi",
        "x.c:7:1: error: implicit declaration of function 'PyUnicode_AS_UNICODE'; did you mean 'PyUnicode_AsUTF8'?",
    ),
    ("capi", "x.c:7:1: error: '_PyUnicode_Ready' undeclared (first use in this function)"),
    ("deps.undeclared", "ModuleNotFoundError: No module named 'numpy'"),
    ("deps.undeclared", "ImportError: No module named Cython.Build"),
    ("deps.undeclared", "RuntimeError: Cython is required to build this package"),
    ("network.denied", "socket.gaierror: [Errno -3] Temporary failure in name resolution"),
    ("network.denied", "urllib.error.URLError: <urlopen error [Errno 111] Connection refused>"),
    ("network.denied", "OSError: [Errno 97] Address family not supported by protocol"),
    ("network.denied", "fatal: unable to access 'https://example.org/x.git/': Could not resolve host: example.org"),
    ("network.denied", "go: example.org/x@v1.0: dial tcp: lookup example.org: no such host"),
    ("network.denied", "urllib.error.URLError: <urlopen error [Errno -2] Name or service not known>"),
    ("network.denied", "OSError: [Errno 97] Address family not supported by protocol"),
    ("network.denied", "curl: (6) Could not resolve host: example.org"),
    ("network.denied", "curl: (7) Failed to connect to 127.0.0.1 port 80 after 0 ms: Couldn't connect to server"),
    ("network.denied", "wget: unable to resolve host address \u2018example.org\u2019"),
    ("network.denied", "Connecting to 127.0.0.1:80... failed: Address family not supported by protocol."),
    ("network.denied", "ssh: Could not resolve hostname example.org: Name or service not known"),
    ("network.denied", "ERROR: No matching distribution found for numpy"),
    (
        "network.denied",
        "OSError: Could not find a suitable TLS CA certificate bundle, invalid path: /etc/ssl/certs/ca-certificates.crt",
    ),
    ("network.denied", "[cause]: Error: getaddrinfo ENOTFOUND example.org"),
    ("network.denied", "npm error code ENOTCACHED"),
    ("network.denied", "Failed to clone repository: 'https://example.org/dep.git'"),
    (
        "network.denied",
        "WARNING: failed to download with error: could not get zzz-1.tar.gz; is the internet available?.",
    ),
    ("network.denied", "IO::Socket::INET: Bad hostname 'example.org:80' at -e line 1."),
    ("network.crates", "error: failed to get `serde` as a dependency of package `demo v0.1.0`"),
    ("network.crates", "error: no matching package named `pyo3` found"),
    (
        "incompatible.python",
        "RuntimeError: Cannot install on Python version 3.11.2; only versions >=3.6,<3.10 are supported.",
    ),
    ("incompatible.python2", "SyntaxError: Missing parentheses in call to 'print'. Did you mean print(...)?"),
    ("incompatible.python", "ERROR: Package 'demo' requires a different Python: 3.11.2 not in '<3.9'"),
    ("incompatible.python", "demo requires Python '>=3.12' but the running Python is 3.11.2"),
    (
        "incompatible.python",
        "error: the configured Python interpreter version (3.13) is newer than PyO3's maximum supported",
    ),
    ("refused.deliberate", "SKLEARN_ALLOW_DEPRECATED_SKLEARN_PACKAGE_INSTALL=True to avoid this error"),
    ("refused.deliberate", "The 'sklearn' PyPI package is deprecated, use 'scikit-learn'"),
    ("refused.deliberate", "RuntimeError: This package was renamed to demo-next"),
    ("incompatible.python2", "NameError: name 'unicode' is not defined. Did you mean: 'code'?"),
    ("incompatible.python2", "ModuleNotFoundError: No module named 'ConfigParser'"),
    (
        "syslib.version",
        "Exception: Python bindings of GDAL 3.9.0 require at least libgdal 3.9.0, but 3.6.2 was found",
    ),
    ("syslib.version", "Requested 'cairo >= 1.99' but version of cairo is 1.16.0"),
    ("incompatible.platform", "src/win.c:3:10: fatal error: windows.h: No such file or directory"),
    ("incompatible.platform", "x.m:1:9: fatal error: Cocoa/Cocoa.h: No such file or directory"),
    ("incompatible.platform", "ModuleNotFoundError: No module named 'winreg'"),
    ("incompatible.platform", "Exception: this package can only be installed on Windows"),
    ("compiler", "src/x.c:12:5: error: expected ';' before 'return'"),
    ("compiler", "error[E0308]: mismatched types"),
    ("compiler", "/usr/bin/ld: x.o: undefined reference to `frobnicate'"),
    ("compiler", "error: command '/usr/bin/gcc' failed with exit code 1"),
]


@pytest.mark.parametrize(("kind", "line"), TELLING)
def test_class_of_a_line(kind: str, line: str) -> None:
    log = f"running build_ext\nbuilding 'demo' extension\n  {line}\nsubprocess.CalledProcessError: returned non-zero exit status 1.\n"
    assert diagnose("build", log) == (kind, line)


HARMLESS = [
    "running bdist_wheel",
    "copying src/error.py -> build/lib/demo",
    "checking for gcc... gcc",
    "-- Found Python3: /usr/bin/python3 (found version 3.11.2)",
    "Requires-Python: >=3.8",
    "x.c:3:5: warning: implicit declaration of function 'foo' [-Wimplicit-function-declaration]",
    "adding 'demo/network.py'",
    "writing requirements to demo.egg-info/requires.txt",
    "gcc -pthread -DNDEBUG -fPIC -I/usr/include/python3.11 -c src/cmake.c -o build/cmake.o",
]


@pytest.mark.parametrize("line", HARMLESS)
def test_harmless_line_is_no_class(line: str) -> None:
    assert diagnose("build", f"{line}\nValueError: deliberately\n") == ("build.failed", "ValueError: deliberately")


def test_cause_before_consequence() -> None:
    log = """
    checking: Package foo was not found in the pkg-config search path.
    src/a.c:1:1: error: unknown type name 'foo_t'
    src/b.c:1:10: fatal error: bar.h: No such file or directory
    compilation terminated.
    error: command '/usr/bin/gcc' failed with exit code 1
    """
    assert diagnose("build", log) == ("syslib.header", "src/b.c:1:10: fatal error: bar.h: No such file or directory")


def test_failed_probe_before_a_bare_error() -> None:
    log = "No package 'foo' found\nsrc/a.c:1:1: error: unknown type name 'foo_t'\n"
    assert diagnose("build", log) == ("syslib.pkgconfig", "No package 'foo' found")


def test_traceback_s_last_line_is_the_error() -> None:
    log = """Traceback (most recent call last):
      File "setup.py", line 3, in <module>
        raise ValueError("The error is intended")
    ValueError: please use scikit-learn instead of sklearn

    subprocess.CalledProcessError: Command '['python']' returned non-zero exit status 1.
    """
    assert diagnose("build", log) == ("build.failed", "ValueError: please use scikit-learn instead of sklearn")


def test_line_is_clean() -> None:
    kind, line = diagnose(
        "build",
        "\x1b[1m\x1b[31msrc/a.c:1:10: \x1b]0;title\x07fatal error:\x1b[0m x.h:\tNo such file or directory\x00\x9b\r\n",
    )
    assert kind == "build.failed" or line.startswith("src/a.c:1:10: fatal error:")
    assert line.isprintable()
    assert diagnose("build", "\x1b[31merror: invalid command 'bdist_wheel'\x1b[0m\r\n")[0] == "rot.setuptools"
    assert (
        diagnose("build", " 10%\r 50%\rerror: invalid command 'bdist_wheel'\n")[1]
        == "error: invalid command 'bdist_wheel'"
    )
    assert len(diagnose("build", "ValueError: " + "x" * 10_000)[1]) == 500


def test_nothing_was_printed() -> None:
    assert diagnose("metadata", " \n\n") == ("build.failed", "the build failed at metadata and printed nothing")


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "error: ",
        " ",
        "'",
        "No module named ",
        "x.c:1",
        "not ",
        "/",
        "Package a, ",
        "\x1b[",
        "only on ",
        "python 3.1 ",
    ],
)
def test_no_line_takes_long(piece: str) -> None:
    log = (piece * 4000 + "\n") * 60
    started = time.process_time()
    diagnose("build", log)
    assert time.process_time() - started < 30


def test_what_was_seen_of_the_network_explains_what_nothing_else_does():
    seen = "note: a host's name was looked up, and there is no network"
    assert diagnose("build", f"RuntimeError: no model\n{seen}") == ("network.denied", "RuntimeError: no model")
    assert diagnose("build", f"thinking\n{seen}") == ("network.denied", "thinking")
    kind, _ = diagnose("build", f"a.c:1:1: fatal error: lber.h: No such file or directory\n{seen}")
    assert kind == "syslib.header"
