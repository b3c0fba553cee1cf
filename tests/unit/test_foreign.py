"""Files of a wheel that do not go with its project's name are named, with the reason."""

from __future__ import annotations

import pytest

from buildthrough.builders.foreign import MOST, find_foreign
from buildthrough.builders.inspection import scripts_of


def named(files: list[str], project: str = "demo", scripts: tuple[str, ...] = ()) -> list[str]:
    return [file.name for file in find_foreign(files, project, scripts)]


@pytest.mark.parametrize(
    ("path", "name", "why"),
    [
        ("demo.pth", "demo.pth", "every start"),
        ("demo-1.0.data/purelib/demo.pth", "demo.pth", "every start"),
        ("sitecustomize.py", "sitecustomize.py", "every start"),
        ("pip/__init__.py", "pip", "the module of pip"),
        ("numpy/core/x.so", "numpy", "the module of numpy"),
        ("yaml/__init__.py", "yaml", "the module of pyyaml"),
        ("_cffi_backend.cpython-311-x86_64-linux-gnu.so", "_cffi_backend.cpython-311-x86_64-linux-gnu.so", "of cffi"),
        ("google/protobuf/message.py", "google/protobuf", "the module of protobuf"),
        ("tests/__init__.py", "tests", "overwrite each other"),
        ("README.md", "README.md", "overwrite each other"),
        ("Examples/a.py", "Examples", "overwrite each other"),
        ("enum.py", "enum.py", "standard library"),
        ("demo-1.0.data/scripts/ls", "bin/ls", "hides a well-known command"),
        ("demo-1.0.data/data/lib/python3.11/site-packages/pip/x.py", "lib/python3.11/site-packages/pip/x.py", "past"),
        ("demo-1.0.data/data/bin/tool", "bin/tool", "own folders"),
    ],
)
def test_what_is_foreign(path: str, name: str, why: str) -> None:
    (found,) = find_foreign(["demo/__init__.py", path], "demo")

    assert found.name == name
    assert why in found.why


@pytest.mark.parametrize(
    ("project", "path"),
    [
        ("demo", "demo/__init__.py"),
        ("demo", "other/__init__.py"),
        ("demo", "demo/tests/__init__.py"),
        ("demo", "demo-1.0.dist-info/METADATA"),
        ("demo", "demo-1.0.dist-info/licenses/pip/LICENSE"),
        ("demo", "demo.libs/libz-12345678.so.1"),
        ("demo", "demo-1.0.data/data/share/doc/README"),
        ("demo", "demo-1.0.data/data/etc/demo.conf"),
        ("demo", "demo-1.0.data/headers/demo.h"),
        ("demo", "demo-1.0.data/scripts/demo"),
        ("PyYAML", "yaml/__init__.py"),
        ("numpy", "numpy/__init__.py"),
        ("python-dateutil", "dateutil/__init__.py"),
        ("google-cloud-x", "google/cloud/x/__init__.py"),
        ("tests", "tests/__init__.py"),
        ("enum", "enum.py"),
        ("pip", "pip-1.0.data/scripts/pip3"),
    ],
)
def test_what_is_not(project: str, path: str) -> None:
    assert named([path], project) == []


def test_commands_of_entry_points_count() -> None:
    text = "[console_scripts]\ndemo = demo:main\npython3=demo:main [extra]\n# pip = no\n[other]\nls = demo:plugin\n"

    assert scripts_of(text) == ("demo", "python3")
    assert named([], "demo", scripts_of(text)) == ["bin/python3"]


def test_what_is_told_is_bounded_and_safe() -> None:
    found = find_foreign([f"m{number}\x1b.pth" for number in range(500)], "demo")

    assert len(found) == MOST
    assert all(file.name.isprintable() for file in found)
