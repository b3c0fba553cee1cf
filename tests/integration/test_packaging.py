"""The wheel holds what the source folders hold, whichever way it is made, and works in an empty environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("proxy", "builders", "config")


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Copy what belongs to the project: a clone as it would be, without what tests and editing leave in it."""
    copy = tmp_path_factory.mktemp("tree") / "buildthrough"
    left = shutil.ignore_patterns(".*", "__pycache__", "dist", "htmlcov")
    shutil.copytree(ROOT, copy, ignore=left, symlinks=True)
    return copy


@pytest.fixture(scope="module")
def sdist(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", str(folder), cwd=tree)
    return next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def wheel_through_sdist(sdist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("through")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    source = next(path for path in folder.iterdir() if path.is_dir())
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), cwd=source)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel_of_tree(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), cwd=tree)
    return next(folder.glob("*.whl"))


def contents(wheel):
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_source_folders(tree, wheel_through_sdist):
    sources = {
        f"buildthrough/{path.relative_to(tree)}": path.read_bytes()
        for folder in FOLDERS
        for path in (tree / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name: data for name, data in contents(wheel_through_sdist).items() if ".dist-info/" not in name}
    assert packed == sources
    assert "buildthrough/config/defaults.toml" in packed
    assert {f"buildthrough/{folder}/py.typed" for folder in FOLDERS} <= set(packed)
    assert any(name.startswith("buildthrough/builders/inside/") and name.endswith(".py") for name in packed)


def test_both_ways_give_the_same_files(wheel_of_tree, wheel_through_sdist):
    assert contents(wheel_of_tree) == contents(wheel_through_sdist)


def test_the_sdist_holds_no_more_than_it_needs(sdist):
    with tarfile.open(sdist) as archive:
        tops = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    extras = {"hatch_build.py", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "PKG-INFO", ".gitignore"}
    assert set(FOLDERS) <= tops
    assert tops <= {*FOLDERS, *extras}


def test_installed_into_an_empty_environment(wheel_through_sdist, tmp_path):
    """Dependencies are lent by the environment that runs the tests, whose editable install of ours is left out."""
    target = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", str(target), cwd=tmp_path)
    python = str(target / "bin" / "python")
    install = ["install", "--no-deps", "--no-index", str(wheel_through_sdist)]
    run(sys.executable, "-m", "pip", "--python", python, *install, cwd=tmp_path)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    assert {path.name for path in site.iterdir()} & {"proxy", "builders", "config"} == set()
    lent = sysconfig.get_path("purelib")
    (site / "lent.pth").write_text(f"{lent}\n")  # a .pth line does not process the .pth files of the folder it names
    where = run(python, "-I", "-c", "import buildthrough.proxy as p; print(p.__file__)", cwd=tmp_path)
    assert where.startswith(str(site))
    assert "0.1.0" in run(str(target / "bin" / "buildthrough"), "--version", cwd=tmp_path)
