"""Two installers put every file of a wheel at the same place, or the wheel is refused."""

from __future__ import annotations

import pytest

from buildthrough.builders.faults import PackageFault
from buildthrough.builders.layout import check_entry_points, check_layout

INFO = "demo-1.0.dist-info"
DATA = "demo-1.0.data"


@pytest.mark.parametrize(
    "files",
    [
        ["demo/__init__.py", f"{DATA}/purelib/demo/more.py", f"{DATA}/platlib/demo/fast.so"],
        [f"{DATA}/scripts/demo", f"{DATA}/data/share/man/man1/demo.1", f"{DATA}/headers/demo.h"],
        [f"{DATA}/data/bin/demo", f"{DATA}/scripts/other"],
        ["demo/python", "python/__init__.py", "demo/bin/python3"],
        [f"{INFO}/licenses/LICENSE", "demo.py"],
        [f"{DATA}/data/etc/python"],
    ],
    ids=str,
)
def test_sound(files):
    assert check_layout(files, INFO) == []


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("output.duplicate", ["demo/a.py", f"{DATA}/purelib/demo/a.py"]),
        ("output.duplicate", [f"{DATA}/platlib/demo/a.py", f"{DATA}/purelib/demo/A.py"]),
        ("output.duplicate", ["demo/a.py", f"{DATA}/data/lib/python3.11/site-packages/demo/a.py"]),
        ("output.duplicate", ["demo", f"{DATA}/purelib/demo/a.py"]),
        ("output.duplicate", [f"{DATA}/scripts/run", f"{DATA}/data/bin/run"]),
        ("output.dist-info", [f"{DATA}/purelib/{INFO}/METADATA"]),
        ("output.dist-info", [f"{DATA}/purelib/other-1.0.dist-info/METADATA"]),
        ("output.dist-info", [f"{DATA}/data/lib/python3.12/site-packages/other-1.0.egg-info/PKG-INFO"]),
        ("output.script", [f"{DATA}/scripts/python"]),
        ("output.script", [f"{DATA}/scripts/Python3.11"]),
        ("output.script", [f"{DATA}/data/bin/python3"]),
        ("output.script", [f"{DATA}/data/pyvenv.cfg"]),
        ("output.script", [f"{DATA}/data/Scripts/python.exe"]),
    ],
)
def test_hostile(kind, files):
    with pytest.raises(PackageFault) as caught:
        check_layout(files, INFO)
    assert caught.value.kind == kind


@pytest.mark.parametrize("name", ["INSTALLER", "REQUESTED", "direct_url.json"])
def test_files_that_installers_write_are_told(name):
    (warning,) = check_layout([f"{INFO}/{name}"], INFO)
    assert name in warning


@pytest.mark.parametrize(
    "text",
    [
        "[console_scripts]\ndemo = demo:main\ndemo-2.0 = demo.cli:Main.run [fast, more]\n",
        "\n    [console_scripts]\n    demo = demo:main\n    ",
        "[gui_scripts]\r\ndemo=demo:main\r\n\r\n[other]\r\nx = anything at all: ; #\r\n",
        "# nothing\n",
        "",
    ],
)
def test_entry_points_that_all_read_alike(text):
    check_entry_points(text.encode())


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("output.script", b"[console_scripts]\n../../evil = demo:f\n"),
        ("output.script", b"[console_scripts]\na/b = demo:f\n"),
        ("output.script", b"[console_scripts]\na\\b = demo:f\n"),
        ("output.script", b"[console_scripts]\n.. = demo:f\n"),
        ("output.script", b"[console_scripts]\n,docker = demo:f\n"),
        ("output.script", b"[gui_scripts]\npython3.11 = demo:f\n"),
        ("output.script", b"[console_scripts]\nPyThOn.exe = demo:f\n"),
        ("output.entry-points", b"[console_scripts]\nfoo = demo\n"),
        ("output.entry-points", b"[console_scripts]\nfoo = demo:f; import os\n"),
        ("output.entry-points", b"[console_scripts]\nfoo = demo:f # why not\n"),
        ("output.entry-points", b"[console_scripts]\nfoo\n"),
        ("output.entry-points", b"[console_scripts]\nfoo = demo:a\nfoo = demo:b\n"),
        ("output.entry-points", b"[console_scripts]\nfoo = demo:a\n[gui_scripts]\nfoo = demo:b\n"),
        ("output.entry-points", b"[console_scripts]\nfoo = demo:a\n[console_scripts]\nbar = demo:b\n"),
        ("output.entry-points", b"[console_scripts]\nfoo = demo:a\n  bar = demo:b\n"),
        ("output.entry-points", b"foo = demo:a\n"),
        ("output.entry-points", b"[console_scripts\nfoo = demo:a\n"),
        ("output.entry-points", b"[]\nfoo = demo:a\n"),
        ("output.entry-points", b"\xef\xbb\xbf[console_scripts]\nfoo = demo:a\n"),
        ("output.entry-points", b"[console_scripts]\nfoo = demo:a\x1b[2J\n"),
        ("output.entry-points", b"\xff\xfe"),
    ],
)
def test_entry_points_that_are_not(kind, content):
    with pytest.raises(PackageFault) as caught:
        check_entry_points(content)
    assert caught.value.kind == kind
    assert caught.value.line.isprintable()
