"""A server that cannot start says why in one line, and exits with 1."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine
from tests.fakes.dial import offline_environment

from buildthrough.builders.database import SCHEMA_VERSION, _schema

if TYPE_CHECKING:
    from pathlib import Path


def serve(data: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable, "-m", "buildthrough.proxy", "serve",
            "--port", "0", "--upstream", "http://127.0.0.1:1/simple/", "--data-dir", str(data), *more,
        ],
        env={**offline_environment(), "BUILDTHROUGH_BUILD__ENABLED": "false", "BUILDTHROUGH_LOG__LEVEL": "error"},
        cwd=data.parent, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "Traceback" not in line
    assert line.startswith("buildthrough: ")
    assert line.endswith(".")
    return line


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def test_a_catalog_that_is_no_database(data):
    (data / "catalog.sqlite3").write_bytes(b"this is no database, and it never was" * 100)
    line = one_line(serve(data))
    assert str(data / "catalog.sqlite3") in line
    assert (data / "catalog.sqlite3").read_bytes().startswith(b"this is no database")  # nothing is thrown away


def test_a_catalog_with_a_damaged_page(data):
    with sqlite3.connect(data / "catalog.sqlite3") as database:
        database.execute("CREATE TABLE t (x)")
        database.executemany("INSERT INTO t VALUES (?)", [("x" * 500,) for _ in range(200)])
    database.close()
    damaged = bytearray((data / "catalog.sqlite3").read_bytes())
    damaged[4096:20480] = b"\xff" * 16384
    (data / "catalog.sqlite3").write_bytes(damaged)
    assert "damaged" in one_line(serve(data))


def test_a_catalog_of_a_later_version(data):
    engine = create_engine(f"sqlite:///{data / 'catalog.sqlite3'}")
    with engine.begin() as connection:
        _schema.create(connection)
        connection.execute(_schema.insert().values(version=SCHEMA_VERSION + 1))
    engine.dispose()
    assert "later version" in one_line(serve(data))


@pytest.mark.parametrize("name", ["files", "built", "logs", "pages", "catalog.sqlite3", "admin.token", "lock"])
def test_something_in_the_way_in_the_data_folder(data, name):
    if name in {"files", "built", "logs", "pages"}:
        (data / name).write_text("I am a file")
    else:
        (data / name).mkdir()
    one_line(serve(data))


def test_a_note_of_work_that_is_in_the_way(data):
    (data / "work").mkdir()
    assert str(data / "work") in one_line(serve(data))


def test_an_address_that_is_taken(data):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = one_line(serve(data, "--port", str(port)))
    assert str(port) in line
    assert not (data / "server.json").exists()


def test_an_address_that_is_none(data):
    assert "999.1.1.1" in one_line(serve(data, "--host", "999.1.1.1"))
