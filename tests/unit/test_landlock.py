"""The command line of the level without namespaces, compared whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.test_profile import COMMAND, DEBIAN, GOLDEN, GROUPS, MERGED, SEPARATE, UNMERGED

from buildthrough.builders.landlock import command_line


@pytest.mark.parametrize(
    ("name", "host", "root", "user", "cgroups"),
    [
        ("landlock-own-user-and-cgroup-v1", DEBIAN, MERGED, (59700, 59700), GROUPS),
        ("landlock-ordinary-user", UNMERGED, SEPARATE, None, ()),
    ],
)
def test_the_command_line_is_the_one_that_was_reviewed(name, host, root, user, cgroups):
    *argv, plan = command_line(
        COMMAND,
        host=host,
        root=root,
        python="/usr/bin/python3.11",
        launcher="the text of the launcher",
        scratch=Path("/srv/scratch-0"),
        seccomp_fd=14,
        dialogue=(16, 17),
        user=user,
        cgroups=cgroups,
        processes=256,
    )
    assert [*argv, json.loads(plan)] == json.loads((GOLDEN / f"{name}.json").read_text())


def test_nobody_becomes_root():
    with pytest.raises(ValueError, match="never started as root"):
        command_line(
            COMMAND, host=DEBIAN, root=MERGED, python="", launcher="", scratch=Path("/s"), seccomp_fd=1,
            dialogue=(2, 3), user=(0, 0), cgroups=(), processes=1,
        )  # fmt: skip
