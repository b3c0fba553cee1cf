"""How the paths that a command names are found where it has no file system of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from buildthrough.builders import scratch
from buildthrough.builders.sandbox import Mount
from buildthrough.builders.scratch import places, translated

FOUND = places(
    (
        Mount(source=Path("/srv/work/kit/tools-1"), target="/sbx"),
        Mount(source=Path("/srv/work/build-1/x-1.tar.gz"), target="/sdist/x-1.tar.gz"),
        Mount(source=Path("/srv/work/kit/python"), target="/root/python"),
    ),
    Path("/srv/scratch"),
)


@pytest.mark.parametrize(
    ("text", "really"),
    [
        ("/sbx/bin/uv", "/srv/work/kit/tools-1/bin/uv"),
        ("/sbx/bin:/usr/bin:/bin", "/srv/work/kit/tools-1/bin:/usr/bin:/bin"),
        ("sys.path.insert(0, '/sbx/lib')", "sys.path.insert(0, '/srv/work/kit/tools-1/lib')"),
        ('{"sdist": "/sdist/x-1.tar.gz"}', '{"sdist": "/srv/work/build-1/x-1.tar.gz"}'),
        ("/root/python/bin/python3", "/srv/work/kit/python/bin/python3"),
        ("/home/build", "/srv/scratch/home/build"),
        ("-ffile-prefix-map=/build/src=x", "-ffile-prefix-map=/srv/scratch/build/src=x"),
        ("/tmp", "/srv/scratch/tmp"),  # a folder of the sandbox
        ("/usr/tmp/x", "/usr/tmp/x"),
        ("/building", "/building"),
        ("/sbx.old", "/sbx.old"),
        ("/usr/bin/python3", "/usr/bin/python3"),
    ],
)
def test_paths_are_translated(text, really):
    assert translated(text, FOUND) == really


def test_what_was_translated_is_not_translated_again():
    found = places((Mount(source=Path("/tmp/build/x"), target="/build-x"),), Path("/tmp/scratch"))
    assert translated("/tmp/a /build-x/b", found) == "/tmp/scratch/tmp/a /tmp/build/x/b"


def test_code_inside_asks_where_its_folders_are():
    """A folder of the sandbox that is written out plainly is not there at the level ``landlock``."""
    named = re.compile(r"""(?:Path\(|\w=|= )["']/(?:build|tmp|home|dev/shm)\b""")
    inside = Path(scratch.__file__).with_name("inside")
    plainly = [
        f"{module.name}: {line.strip()}"
        for module in sorted(inside.glob("*.py"))
        for line in module.read_text().splitlines()
        if named.search(line)
    ]
    assert plainly == []
