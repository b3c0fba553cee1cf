# ruff: noqa: E501 # tables of values that mean harm read best with few lines
"""Somebody has taken over the driver: it may say anything at any time, and gains another wheel of its own at most."""

from __future__ import annotations

import stat
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes.sandbox import Exit, FakeSandbox, Hear, Print, Say, SayBytes

from buildthrough.builders.build_log import BuildLog
from buildthrough.builders.dialogue import MOST_ROUNDS, Dialogue, converse
from buildthrough.builders.faults import BuildEnded, InfrastructureFault, PackageFault
from buildthrough.builders.sandbox import Command, Limits

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.sandbox import Step

NAME = "a-1-py3-none-any.whl"
WHEEL = Say({"t": "wheel", "name": NAME, "size": 5})
EVIL = "\x1b]52;c;QUJD\x07<script>\u202e\r\n\ud800"


async def ended(folder: Path, *script: Step, log: BuildLog | None = None, **options: Any) -> Path | BuildEnded:
    """Return the wheel, or what ended the dialogue."""
    dialogue = Dialogue(stage="unpack", output=folder, **{"max_wheel_bytes": 10, **options})
    command = Command(argv=("driver",), mounts=(), limits=Limits())
    try:
        return await converse(
            sandbox=FakeSandbox(script=script), command=command, dialogue=dialogue, log=log or BuildLog()
        )
    except BuildEnded as end:
        return end


def fault(kind: str = "hook", stage: str = "build", line: str = EVIL) -> Say:
    return Say({"t": "fault", "kind": kind, "stage": stage, "line": line})


async def test_the_file_is_the_hosts_own_whatever_is_said(tmp_path: Path) -> None:
    """Nothing but a name that is a wheel's and a number of bytes comes in: no mode, no time, no link."""
    told = {"t": "wheel", "name": NAME, "size": 5, "mode": 0o6777, "mtime": 0, "path": "/etc/passwd", "link": "x"}
    began = time.time()
    wheel = await ended(tmp_path, Say(told), SayBytes(b"bytes"))

    assert wheel == tmp_path / NAME
    found = wheel.stat()
    assert stat.S_ISREG(found.st_mode)
    assert not found.st_mode & 0o6111
    assert found.st_mtime > began - 60
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize(
    "after",
    [
        (SayBytes(b"more bytes than were announced"),),
        (WHEEL, SayBytes(b"other")),
        (Say({"t": "wheel", "name": "b-1-py3-none-any.whl", "size": 5}), SayBytes(b"other")),
        (Say({"t": "stage", "stage": "publish"}),),
        (fault(),),
        (SayBytes(b"\xff" * 300_000),),
    ],
    ids=["bytes", "the same again", "another", "a stage", "a fault", "rubbish"],
)
async def test_after_the_wheel_nobody_listens(tmp_path: Path, after: tuple[Step, ...]) -> None:
    wheel = await ended(tmp_path, WHEEL, SayBytes(b"bytes"), *after, Exit(1))

    assert wheel == tmp_path / NAME
    assert wheel.read_bytes() == b"bytes"
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


async def test_a_fault_cannot_be_taken_back(tmp_path: Path) -> None:
    end = await ended(tmp_path, fault("output.none"), WHEEL, SayBytes(b"bytes"))
    assert isinstance(end, PackageFault)
    assert end.kind == "output.none"


@pytest.mark.parametrize("size", [11, 10**9, 10**4000])
async def test_no_size_is_believed(tmp_path: Path, size: int) -> None:
    end = await ended(tmp_path, Say({"t": "wheel", "name": NAME, "size": size}), SayBytes(b"x" * 100))
    assert isinstance(end, PackageFault)
    assert end.kind == "limit.output"
    assert len(end.line) <= 500
    assert list(tmp_path.iterdir()) == []


async def test_fewer_bytes_than_announced_are_no_wheel(tmp_path: Path) -> None:
    end = await ended(tmp_path, WHEEL, SayBytes(b"byte"), Exit(0))
    assert isinstance(end, PackageFault)
    assert end.kind == "output.dialogue"


@pytest.mark.parametrize(
    "name",
    [
        "../a-1-py3-none-any.whl", "/tmp/a-1-py3-none-any.whl", "a/../../a.whl", "..", ".whl", "a.whl\0", "a.whl\n", EVIL + ".whl",
        "-rf.whl", "a b.whl", "\uff41-1-py3-none-any.whl", "a" * 300 + ".whl", "a-1-py3-none-any.WHL", "a-1-py3-none-any.whl/x", "",
    ],
)  # fmt: skip
async def test_no_name_leaves_the_folder_or_reaches_a_terminal(tmp_path: Path, name: str) -> None:
    end = await ended(tmp_path, Say({"t": "wheel", "name": name, "size": 5}), SayBytes(b"bytes"))
    assert isinstance(end, PackageFault)
    assert end.kind == "output.filename"
    assert end.line.isprintable()
    assert list(tmp_path.iterdir()) == []


async def test_requirements_are_provided_a_bounded_number_of_times(tmp_path: Path) -> None:
    provided = []

    async def provide(requirements: tuple[str, ...]) -> None:
        provided.append(requirements)

    asking = [step for number in range(20) for step in (Say({"t": "requires", "list": [f"x=={number}"]}), Hear())]
    end = await ended(tmp_path, *asking, provide=provide)

    assert isinstance(end, PackageFault)
    assert end.kind == "output.dialogue"
    assert len(provided) == MOST_ROUNDS


@pytest.mark.parametrize("stage", ["fetch", "check", "publish", "requires"])
async def test_a_stage_is_but_a_word(tmp_path: Path, stage: str) -> None:
    """It stands in the fault of the package itself; nothing is published for it."""
    end = await ended(tmp_path, Say({"t": "stage", "stage": stage}), fault("hook", stage), Exit(1))
    assert isinstance(end, PackageFault)
    assert end.stage == stage


@pytest.mark.parametrize(
    "kind", ["infra.disk", "infra.internal", "cancelled.purged", "network.denied", "deps.unresolvable", "", "x" * 999]
)
async def test_classes_that_only_the_host_decides_cannot_be_claimed(tmp_path: Path, kind: str) -> None:
    end = await ended(tmp_path, fault(kind), Exit(1))
    assert isinstance(end, PackageFault)
    assert end.kind == "output.dialogue"


@pytest.mark.parametrize("kind", ["output.none", "driver", "hook"])
async def test_no_line_acts_on_a_terminal_or_a_page(tmp_path: Path, kind: str) -> None:
    log = BuildLog()
    end = await ended(tmp_path, Print(EVIL.replace("\ud800", "") * 50), fault(kind, line=EVIL * 50), Exit(1), log=log)

    assert isinstance(end, PackageFault | InfrastructureFault)
    assert end.line.isprintable()
    assert len(end.line) <= 500
    assert str(end).isprintable()
    assert not {"\x1b", "\x07", "\u202e", "\r", "\0"} & set(log.text())


@pytest.mark.parametrize(
    "said",
    [
        b"[" * 200_000 + b"\n",
        b'{"t": "wheel", "name": "a-1-py3-none-any.whl", "size": ' + b"9" * 5000 + b"}\n",
        b'{"t": "wheel", "name": "a-1-py3-none-any.whl", "size": 1e400}\n',
        b'{"t": "wheel", "name": "a-1-py3-none-any.whl", "size": NaN}\n',
        b'{"t": "stage", "t": "song"}\n',
        b'{"t": "stage", "stage": "build"}' + b" " * (300 << 10) + b"\n",
        b'{"t": "stage", "stage": "build"}\n' * 65,
        b"\0" * 100 + b"\n",
        b'"wheel"\n',
        b'{"t": "stage", "stage": "build"}',
    ],
    ids=[
        "nested", "digits", "infinite", "not a number", "twice a key", "long", "many", "zeros", "no object", "no end",
    ],
)  # fmt: skip
async def test_what_is_no_message_ends_it(tmp_path: Path, said: bytes) -> None:
    begun = time.process_time()
    end = await ended(tmp_path, SayBytes(said), Exit(0))
    assert isinstance(end, PackageFault)
    assert end.kind == "output.dialogue"
    assert time.process_time() - begun < 30
    assert list(tmp_path.iterdir()) == []


async def test_a_log_of_a_million_lines_is_read_in_bounded_time_beside_the_event_loop(tmp_path: Path) -> None:
    begun = time.process_time()
    flood = Print("==> build: building\n" + "e\n" * 1_000_000 + "fatal error: x.h: No such file or directory\n")
    end = await ended(tmp_path, flood, fault("hook", "build", ""), Exit(1))
    assert isinstance(end, PackageFault)
    assert end.kind == "syslib.header"
    assert time.process_time() - begun < 30


async def test_a_forged_beginning_of_a_stage_changes_the_packages_own_line_only(tmp_path: Path) -> None:
    """Hooks print into the same log as the driver."""
    forged = Print("error: the real one\n==> build: forged\nfatal error: evil.h: No such file or directory\n")
    end = await ended(tmp_path, Print("==> build: building\n"), forged, fault("hook", "build", ""), Exit(1))
    assert isinstance(end, PackageFault)
    assert end.kind == "syslib.header"
