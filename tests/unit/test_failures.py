"""The table of failures: every class that the program can give has its row, and the documentation shows the table."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from buildthrough.builders.advice import advise, missing
from buildthrough.builders.debian import PROVIDED
from buildthrough.builders.diagnosis import _RULES
from buildthrough.builders.failures import FAILURES, classify
from buildthrough.builders.faults import Stage
from buildthrough.proxy.commands.builds import advice

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("builders", "proxy") for path in sorted((ROOT / folder).rglob("*.py"))]
RAISED = sorted(
    {
        kind
        for path in SOURCES
        for kind in re.findall(
            r"(?:PackageFault\(\s*(?:\"\w+\"|[\w.]+),|InfrastructureFault\(|Cancelled\(|\bFault\()\s*\"([a-z0-9.-]+)\"",
            path.read_text(),
        )
    }
)


def test_kinds_were_found_in_the_sources():
    assert {"limit.time", "source.unsafe", "infra.sandbox", "cancelled.yanked", "deps.unresolvable"} <= set(RAISED)


@pytest.mark.parametrize("kind", sorted({*RAISED, *(kind for kind, _, _ in _RULES)}))
def test_each_class_has_a_row(kind):
    assert classify(kind).name != "other"


@pytest.mark.parametrize("row", FAILURES, ids=lambda row: row.name)
def test_a_row_is_complete(row):
    assert row.means
    assert not row.means.endswith(".")
    assert re.fullmatch(r"[A-Z].*\.", row.advice)
    assert set(row.stages) <= set(get_args(Stage))


def test_no_row_stands_twice():
    names = [row.name for row in FAILURES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("output.bad-record", "output"),
        ("deps.unresolvable", "deps"),
        ("deps.undeclared.numpy", "deps.undeclared"),
        ("incompatible.python2", "incompatible.python2"),
        ("capitals", "other"),
        ("", "other"),
    ],
)
def test_the_longest_beginning_counts(kind, name):
    assert classify(kind).name == name


def test_the_documentation_shows_the_table():
    told = subprocess.run([sys.executable, ROOT / "scripts" / "failure-table", "--check"], check=False)
    assert told.returncode == 0, "docs/failures.md is not up to date: run scripts/failure-table"


@pytest.mark.parametrize(
    ("kind", "line", "name", "package"),
    [
        ("syslib.header", "src/c.c:3:10: fatal error: lber.h: No such file or directory", "lber.h", "libldap2-dev"),
        ("syslib.header", "./psycopg/psycopg.h:36:10: fatal error: libpq-fe.h: No such file or directory",
         "libpq-fe.h", "libpq-dev"),
        ("syslib.header", "x.cpp:1:10: fatal error: 'sasl/sasl.h' file not found", "sasl/sasl.h", "libsasl2-dev"),
        ("syslib.linker", "/usr/bin/ld: cannot find -lxmlsec1: No such file or directory", "xmlsec1", "libxmlsec1-dev"),
        ("syslib.pkgconfig", 'ERROR: Dependency "dbus-1" not found, tried pkgconfig', "dbus-1", "libdbus-1-dev"),
        ("syslib.pkgconfig", "Package cairo was not found in the pkg-config search path.", "cairo", "libcairo2-dev"),
        ("syslib.tool", "Error: pg_config executable not found.", "pg_config", "libpq-dev"),
        ("syslib.tool", "FileNotFoundError: [Errno 2] No such file or directory: 'gdal-config'",
         "gdal-config", "libgdal-dev"),
        ("syslib.tool", "OSError: mysql_config not found", "mysql_config", "default-libmysqlclient-dev"),
        ("syslib.tool", "FileNotFoundError: [Errno 2] No such file or directory: '/usr/bin/cmake'", "cmake", "cmake"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_with_its_package(kind, line, name, package):
    assert missing(kind, line) == name
    assert f"apt install {package}." in advise(kind, line)


def test_a_header_that_nobody_knows_is_named():
    told = advise("syslib.header", "a.c:1:10: fatal error: frobnicate/frob.h: No such file or directory")
    assert told.startswith("Install what brings frobnicate/frob.h")


def test_cargo_is_the_rust_toolchain():
    assert "Rust toolchain" in advise("syslib.tool", "error: can't find Rust compiler: is `cargo` installed?")


def test_a_line_that_names_nothing_gives_the_advice_of_its_class():
    assert advise("syslib.tool", "configure: error: something is missing") == classify("syslib.tool").advice
    assert advise("incompatible.python2", None).startswith("Give it up")


def test_the_packages_have_names_that_debian_allows():
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", package) for package in PROVIDED.values())
    assert len(PROVIDED) > 300


def test_a_list_of_builds_tells_each_class_once():
    failed = {"state": "FAILED", "fault": "capi", "means": "it is old", "advice": "Give up."}
    assert advice([failed, failed, {"state": "SUCCEEDED"}]) == ["", "capi: it is old.", "  Give up."]
