"""A target in a root file system: another distribution's Python, built for by the running server."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e.server import Server, wait_for
from tests.fakes.pypi import FakePyPI
from tests.fakes.sdists import intree_sdist

if TYPE_CHECKING:
    from collections.abc import Iterator

TALKATIVE = {"BUILDTHROUGH_LOG__LEVEL": "debug"}
MADE = Path(__file__).parents[2] / ".cache" / "roots" / "data-targets" / "other"


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a new folder that every user can get to."""
    folder = Path(tempfile.mkdtemp(prefix="buildthrough-root-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def root(place: Path) -> Iterator[Path]:
    """Show the root file system that `make test` made where every user can get to it."""
    assert MADE.is_dir(), "`make test` makes a root file system first"
    mounted = place / "other"
    mounted.mkdir()
    subprocess.run(["mount", "--bind", str(MADE), str(mounted)], check=True)
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


@pytest.fixture
def pypi() -> Iterator[FakePyPI]:
    with FakePyPI() as index:
        sdist = intree_sdist("native", "1.0", c_extension=True)
        index.add(sdist.project, sdist.filename, sdist.data)
        yield index


def test_a_wheel_is_built_for_another_distribution_s_python(pypi: FakePyPI, root: Path) -> None:
    server = Server(pypi.simple, environment={"BUILDTHROUGH_BUILD__ROOTS": f'["{root}"]'})
    try:
        server.start()
        targets = server.ask("/api/v1/targets").json["targets"]
        other = [one for one in targets if one["root"] == str(root)]
        assert other, server.tail()
        assert other[0]["target"] not in {one["target"] for one in targets if one["root"] is None}
        answer = server.operate("/api/v1/builds", name="native", version="1.0", target=other[0]["target"])
        assert answer.status == 202, answer.body
        build = server.wait_for_build("native", "SUCCEEDED", target=other[0]["target"])
        interpreter = other[0]["target"].partition("-")[0]
        assert f"-{interpreter}-{interpreter}-manylinux" in build["wheel"]
        wheel = server.ask(server.listed("native")[build["wheel"]]["url"]).body
        with zipfile.ZipFile(BytesIO(wheel)) as archive:
            assert any(f"cpython-{interpreter.removeprefix('cp')}-" in name for name in archive.namelist())
        server.stop()
        (remembered,) = (server.data / "roots").iterdir()  # it is not asked again, unless it is another one
        before = remembered.stat().st_mtime_ns
        server.start()
        assert other[0] in server.ask("/api/v1/targets").json["targets"]
        assert remembered.stat().st_mtime_ns == before
        server.stop()
    finally:
        server.close()


def test_what_is_no_root_file_system_is_told(pypi: FakePyPI, place: Path) -> None:
    empty = place / "empty"
    (empty / "usr" / "bin").mkdir(parents=True)
    server = Server(pypi.simple, environment={"BUILDTHROUGH_BUILD__ROOTS": f'["{empty}"]', **TALKATIVE})
    try:
        server.start()
        said = "holds no /usr/bin/python3.N that could be built for"
        wait_for(lambda: said in server.log.read_text(), "line in the log")  # a thread writes it
        assert all(one["root"] is None for one in server.ask("/api/v1/targets").json["targets"])
        server.stop()
    finally:
        server.close()
