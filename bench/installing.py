"""Peers from PyPI and from Debian's packages, each into a folder of its own below ``.cache/bench``."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from bench.peer import CACHE
from bench.process import Broken

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SECONDS = 300


def venv(name: str, *requirements: str) -> Path:
    """Return the folder of a virtual environment's programs, made and filled unless it is there."""
    folder = CACHE / "venvs" / name
    done = folder / "installed"
    if not done.exists():
        _run([sys.executable, "-m", "venv", "--clear", folder])
        quiet = ["--disable-pip-version-check", "--quiet", "--no-input"]
        _run([folder / "bin" / "python", "-m", "pip", "install", *quiet, *requirements])
        done.touch()
    return folder / "bin"


def version_in(name: str, project: str) -> str:
    """Return which version of a project a virtual environment has."""
    script = f"from importlib.metadata import version; print(version({project!r}))"
    return _run([CACHE / "venvs" / name / "bin" / "python", "-c", script]).strip()


def debian(package: str) -> Path:
    """Return the folder that a Debian package is unpacked in, fetched unless it is there. It is not installed."""
    folder = CACHE / "debian" / package
    done = folder / "unpacked"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        download = ["apt-get", "--quiet", "--quiet", "download", package]
        try:
            _run(download, folder)
        except Broken:  # the lists may be missing or old
            _run(["apt-get", "--quiet", "update"])
            _run(download, folder)
        for archive in folder.glob("*.deb"):
            _run(["dpkg-deb", "--extract", archive, folder])
        done.touch()
    return folder


def _run(command: Sequence[str | Path], folder: Path | None = None) -> str:
    argv = [str(part) for part in command]
    try:
        ended = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as failed:
        raise Broken(f"{argv[0]}: {failed}") from failed
    if ended.returncode != 0:
        raise Broken(f"{' '.join(argv)} ended with {ended.returncode}: {ended.stderr.strip()[-300:]}")
    return ended.stdout
