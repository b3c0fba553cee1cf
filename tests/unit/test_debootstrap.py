"""Which root file system is made, and where its packages come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildthrough.builders.debootstrap import PACKAGES, NotSensible, command_line, find_mirror

SECOND = "Types: deb\nURIs: http://example.org/b http://example.org/c\nComponents: main contrib\n"
GIVEN = {
    "program": "/usr/sbin/debootstrap", "suite": "trixie", "mirror": "http://example.org/debian",
    "folder": Path("/srv/x"), "arch": None, "packages": (),
}  # fmt: skip


def test_the_command():
    assert command_line(**GIVEN) == (
        "/usr/sbin/debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", "trixie", "/srv/x",
        "http://example.org/debian",
    )  # fmt: skip


def test_another_processor_and_more_packages():
    argv = command_line(**{**GIVEN, "arch": "arm64", "packages": ("libpq-dev", "gcc")})
    assert "--arch=arm64" in argv
    assert f"--include={','.join(PACKAGES)},libpq-dev" in argv


@pytest.mark.parametrize(
    "given",
    [{"suite": "--foreign"}, {"suite": "a/b"}, {"suite": ""}, {"arch": "x86"}, {"packages": ("a,b",)},
     {"packages": ("-o",)}],
)  # fmt: skip
def test_what_is_not_sensible_is_refused(given):
    with pytest.raises(NotSensible):
        command_line(**{**GIVEN, **given})


@pytest.mark.parametrize(
    ("text", "mirror"),
    [
        ("deb http://example.org/debian/ bookworm main contrib\n", "http://example.org/debian"),
        ("deb [arch=amd64 signed-by=/x.gpg] https://example.org/d bookworm main\n", "https://example.org/d"),
        ("# deb http://example.org/debian bookworm main\n", None),
        ("deb http://example.org/third-party bookworm stable\n", None),
        ("Types: deb deb-src\nURIs: http://example.org/debian\nSuites: bookworm\nComponents: main\n",
         "http://example.org/debian"),
        (
            "Types: deb-src\nURIs: http://example.org/a\nComponents: main\n\n" + SECOND,
            "http://example.org/b",
        ),
        ("", None),
    ],
)  # fmt: skip
def test_the_machine_s_own_mirror_is_found(text, mirror):
    assert find_mirror([text]) == mirror
