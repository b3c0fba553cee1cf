"""What builds are lent cannot be written by any way, and nothing that they write is linked to what others get."""

from __future__ import annotations

import hashlib
import json
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.sandbox.workbench import WHEELS, Asked, Workbench, package, workbench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def digests(folder: Path) -> dict[str, tuple[str, int, int]]:
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mode, path.stat().st_nlink)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    with workbench() as made:
        yield made


async def test_nothing_that_is_lent_can_be_changed(bench: Workbench) -> None:
    kit, wheels = digests(bench.folder / "kit"), digests(WHEELS)

    built = await bench.build(package("writes-to-what-it-is-lent"), resolve=Asked())

    with zipfile.ZipFile(built.path) as archive:
        told = json.loads(archive.read("sample/told.json"))
    assert told["worked"] == []
    assert told["wheels"] == sorted(path.name for path in WHEELS.glob("*.whl"))
    assert told["installed"] > 20
    assert told["links"] == [1]  # copies, not links: an environment that is written to is nobody else's
    assert digests(bench.folder / "kit") == kit
    assert digests(WHEELS) == wheels
