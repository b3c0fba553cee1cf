"""What differs between two wheels is said file by file, and a build tag is no difference."""

from __future__ import annotations

import zipfile

import pytest
from tests.fakes.wheels import make_entry, make_wheel
from tests.unit.test_build_tag import checked

from buildthrough.builders.build_tag import with_build_tag
from buildthrough.builders.canonical import canonical
from buildthrough.builders.comparison import compare
from buildthrough.builders.faults import PackageFault


def differences(tmp_path, one, two):
    paths = []
    for name, files in (("one", one), ("two", two)):
        (tmp_path / name).mkdir()
        paths.append(make_wheel(tmp_path / name, files=files))
    return {each.path: each.what for each in compare(*paths)}


@pytest.mark.parametrize(
    ("one", "two", "what"),
    [
        ({"a.py": "x = 1\ny = 2\n"}, {"a.py": "x = 1\ny = 3\n"}, {"a.py": "from line 2: 'y = 2' / 'y = 3'"}),
        ({"a.py": "x"}, {"a.py": "xy"}, {"a.py": "from line 1: 'x' / 'xy'"}),
        ({"a.so": b"\0\1\2\3"}, {"a.so": b"\0\1\3"}, {"a.so": "from byte 2: 0203 / 03"}),
        ({"a.so": b"\0\1"}, {"a.so": b"\0"}, {"a.so": "from byte 1: 01 / the end"}),
        ({"a.so": b"\0" * 100_000 + b"x"}, {"a.so": b"\0" * 100_000 + b"y"}, {"a.so": "from byte 100000: 78 / 79"}),
        ({"a": "line\n" * 30_000 + "x"}, {"a": "line\n" * 30_000 + "y"}, {"a": "from line 30001: 'x' / 'y'"}),
        ({"a": "", "b": ""}, {"a": "", "c": ""}, {"b": "only in the first", "c": "only in the second"}),
        ({"a": "\x1b[2J"}, {"a": "\x1b[3J"}, {"a": r"from line 1: '\x1b[2J' / '\x1b[3J'"}),
        ({"a": "x" * 5000}, {"a": "x" * 4999 + "y"}, {"a": f"from line 1: '{'x' * 41}' / '{'x' * 40}y'"}),
        ({"a": "same"}, {"a": "same"}, {}),
    ],
)
def test_what_differs(tmp_path, one, two, what):
    assert differences(tmp_path, one, two) == what


def test_a_build_tag_and_another_packing_are_no_difference(tmp_path):
    wheel = checked(make_wheel(tmp_path, files={"demo/b.py": "b", "demo/a.py": "a"}))
    (tmp_path / "out").mkdir()
    tagged = with_build_tag(wheel, 3, tmp_path / "out")
    assert tagged.sha256 != canonical(wheel, tmp_path / "out").sha256
    assert list(compare(wheel.path, tagged.path)) == []


def test_a_program_that_is_one_no_more_is_a_difference(tmp_path):
    paths = []
    for name, mode in (("one", 0o100755), ("two", 0o100644)):
        (tmp_path / name).mkdir()
        path = make_wheel(tmp_path / name)
        with zipfile.ZipFile(path) as archive:
            contents = {each: archive.read(each) for each in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for each, content in contents.items():
                archive.writestr(make_entry(each, attributes=mode << 16), content)
        paths.append(path)
    assert {each.what for each in compare(*paths)} == {"mode 755, then 644"}


def test_what_is_no_wheel_is_refused(tmp_path):
    (tmp_path / "x.whl").write_bytes(b"PK")
    with pytest.raises(PackageFault):
        list(compare(tmp_path / "x.whl", make_wheel(tmp_path)))
