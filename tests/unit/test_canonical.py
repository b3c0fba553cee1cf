"""Wheels of the same files become the same bytes, however they were packed, and stay the wheels that they were."""

from __future__ import annotations

import random
import zipfile

import pytest
from tests.fakes.wheels import make_entry, make_wheel
from tests.unit.test_build_tag import checked

from buildthrough.builders.canonical import canonical

FILES = {"demo/b.py": "b = 1\n", "demo/a.py": "a = 1\n", "demo-1.0.data/scripts/run": "#!/bin/sh\n", "demo/é.txt": ""}


@pytest.fixture
def folders(tmp_path):
    for name in ("in", "one", "two"):
        (tmp_path / name).mkdir()
    return tmp_path


def packed(folder, seed):
    """Pack the same files as chance wants it."""
    chance = random.Random(seed)
    path = make_wheel(folder, files=FILES)
    with zipfile.ZipFile(path) as archive:
        contents = [(name, archive.read(name)) for name in archive.namelist()]
    chance.shuffle(contents)
    with zipfile.ZipFile(path, "w") as archive:
        if chance.random() < 0.5:
            archive.writestr(make_entry("demo/", attributes=0o040755 << 16), b"")
        for name, content in contents:
            modes = (0o100755, 0o100775) if name.endswith("/run") else (0o100644, 0o100600)
            entry = make_entry(name, attributes=chance.choice(modes) << 16)
            entry.date_time = (chance.randrange(1980, 2100), 5, 6, 7, 8, 10)
            entry.compress_type = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
            archive.writestr(entry, content)
    return path


def test_the_packing_leaves_no_trace(folders):
    digests = set()
    for seed in range(20):
        wheel = canonical(checked(packed(folders / "in", seed)), folders / "one")
        assert checked(wheel.path) == wheel
        digests.add(wheel.sha256)
        wheel.path.unlink()
    assert len(digests) == 1


def test_the_wheel_stays_what_it_was(folders):
    before = checked(packed(folders / "in", 1))
    after = canonical(before, folders / "one")
    assert (after.filename, after.metadata) == (before.filename, before.metadata)
    with zipfile.ZipFile(before.path) as old, zipfile.ZipFile(after.path) as new:
        names = new.namelist()
        assert set(names) == {name for name in old.namelist() if not name.endswith("/")}
        assert {name: new.read(name) for name in FILES} == {name: old.read(name) for name in FILES}
        modes = {info.filename: info.external_attr >> 16 for info in new.infolist()}
        dates = {info.date_time for info in new.infolist()}
    assert names == [*sorted(FILES), *sorted(set(names) - set(FILES) - {names[-1]}), "demo-1.0.dist-info/RECORD"]
    assert {name for name, mode in modes.items() if mode == 0o100755} == {"demo-1.0.data/scripts/run"}
    assert set(modes.values()) == {0o100755, 0o100644}
    assert dates == {(1980, 1, 1, 0, 0, 0)}
    assert canonical(after, folders / "two").sha256 == after.sha256
