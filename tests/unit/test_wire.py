"""What goes between the server and a builder comes back as it was, and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.integration.assembled import workshop

from buildthrough.builders.sandbox import Command, Ending, Isolation, Limits, Mount
from buildthrough.builders.wire import Description, NotAsExpected, decode, encode

COMMAND = Command(
    argv=("/usr/bin/python3", "ä"),
    mounts=(Mount(source=Path("/srv/x"), target="/x"),),
    limits=Limits(wall_seconds=1.5),
    environment={"A": "b"},
    root=Path("/srv/root"),
)
ENDING = Ending(exit_code=137, overrun="memory", log=b"\x00\xff printed", seconds=1.25, peak_memory_bytes=None)
KIT = workshop().kit


@pytest.mark.parametrize(
    "value",
    [
        COMMAND,
        ENDING,
        Description(isolation=Isolation(level="full", sentences=("a",)), kit=KIT, slots=2, sentences=()),
        Description(isolation=Isolation(level="none", sentences=()), kit=None, slots=0, sentences=("b",)),
    ],
)
def test_values_come_back(value):
    assert decode(type(value), json.loads(json.dumps(encode(value)))) == value


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (Command, None),
        (Command, []),
        (Command, {}),
        (Command, encode(COMMAND) | {"argv": "text"}),
        (Command, encode(COMMAND) | {"argv": [1]}),
        (Command, encode(COMMAND) | {"limits": {"memory_bytes": "much"}}),
        (Command, encode(COMMAND) | {"limits": {"memory_bytes": True}}),
        (Command, encode(COMMAND) | {"more": 1}),
        (Ending, encode(ENDING) | {"overrun": "nothing"}),
        (Ending, encode(ENDING) | {"log": "no base64"}),
        (Isolation, {"level": "9", "sentences": []}),
    ],
)
def test_anything_else_is_refused(kind, raw):
    with pytest.raises(NotAsExpected):
        decode(kind, raw)
