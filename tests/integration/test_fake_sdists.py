"""The ready-made sdists really are what they claim, built by pypa/build's front end on this interpreter and on PyPy."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from zipfile import ZipFile

import pytest
from build import BuildBackendException, ProjectBuilder
from tests.fakes import sdists


def unpack(sdist, folder):
    archive = folder / sdist.filename
    archive.write_bytes(sdist.data)
    shutil.unpack_archive(archive, folder, **({"filter": "data"} if archive.suffix == ".gz" else {}))
    return next(path for path in folder.iterdir() if path.is_dir())


def build(sdist, folder, python=sys.executable):
    source = unpack(sdist, folder)
    return ProjectBuilder(source, python_executable=python).build("wheel", folder)


@pytest.mark.parametrize("archive", [".tar.gz", ".zip"])
def test_pure(tmp_path, archive):
    wheel = build(sdists.pure_sdist("Some.Name", "1.0", archive=archive), tmp_path)
    assert wheel.endswith("some_name-1.0-py3-none-any.whl")
    with ZipFile(wheel) as content:
        assert content.testzip() is None
        assert "some_name.py" in content.namelist()


@pytest.mark.parametrize("python", [sys.executable, shutil.which("pypy3")])
def test_c_extension(tmp_path, python):
    if python is None:
        pytest.skip("pypy3 is not installed")
    wheel = build(sdists.c_sdist("Fast", "2.0"), tmp_path, python)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import fast; print(fast.answer())"
    with ZipFile(wheel) as content:
        content.extractall(tmp_path)
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "42\n"
    assert wheel.endswith(f"-{sysconfig.get_platform().replace('-', '_')}.whl")


def test_same_bytes_each_time():
    assert sdists.pure_sdist().data == sdists.pure_sdist().data
    assert sdists.c_sdist().sha256 == sdists.c_sdist().sha256


def test_broken_says_why(tmp_path, capfd):
    with pytest.raises(BuildBackendException):
        build(sdists.broken_sdist("fatal error: zork.h: No such file or directory"), tmp_path)
    assert "fatal error: zork.h" in capfd.readouterr().err


def test_needy_says_what(tmp_path):
    source = unpack(sdists.needy_sdist(["flit_core>=3"], dynamic_requires=["wheel"]), tmp_path)
    builder = ProjectBuilder(source)
    assert builder.build_system_requires == {"flit_core>=3"}
    assert builder.get_requires_for_build("wheel") == {"wheel"}


def test_legacy_has_no_pyproject(tmp_path):
    source = unpack(sdists.legacy_sdist(), tmp_path)
    assert {path.name for path in source.iterdir()} == {"PKG-INFO", "setup.py", "legacy.py"}
