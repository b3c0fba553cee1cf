"""The host's side of the dialogue: what it makes of everything that a command inside may say and leave unsaid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes.sandbox import Exit, FakeSandbox, Hear, Print, Say, SayBytes

from buildthrough.builders.build_log import BuildLog
from buildthrough.builders.dialogue import Dialogue, converse
from buildthrough.builders.faults import BuildEnded, InfrastructureFault, NeedsBuild, PackageFault
from buildthrough.builders.sandbox import Command, Limits

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.sandbox import Step

COMMAND = Command(argv=("driver",), mounts=(), limits=Limits())
STAGE = Say({"t": "stage", "stage": "build"})
WHEEL = Say({"t": "wheel", "name": "a-1-py3-none-any.whl", "size": 5})


async def hold(folder: Path, *script: Step, log: BuildLog | None = None, **options: Any) -> tuple[Path, FakeSandbox]:
    sandbox = FakeSandbox(script=script, overrun=options.pop("overrun", None))
    dialogue = Dialogue(stage="unpack", output=folder, **{"max_wheel_bytes": 10, **options})
    wheel = await converse(sandbox=sandbox, command=COMMAND, dialogue=dialogue, log=log or BuildLog())
    return wheel, sandbox


async def test_wheel_is_taken_under_its_name(tmp_path: Path) -> None:
    wheel, _ = await hold(tmp_path, STAGE, WHEEL, SayBytes(b"bytes"))

    assert wheel == tmp_path / "a-1-py3-none-any.whl"
    assert wheel.read_bytes() == b"bytes"


async def test_requirements_are_answered_once_they_are_there(tmp_path: Path) -> None:
    asked: list[tuple[str, ...]] = []

    async def provide(requirements: tuple[str, ...]) -> None:
        asked.append(requirements)

    say = Say({"t": "requires", "list": ["setuptools"]})
    _, sandbox = await hold(tmp_path, say, Hear(), WHEEL, SayBytes(b"bytes"), provide=provide)

    assert asked == [("setuptools",)]
    assert sandbox.heard == [{"ok": True}]


async def test_resolver_that_raises_ends_the_command_politely_and_the_log_is_kept(tmp_path: Path) -> None:
    async def provide(requirements: tuple[str, ...]) -> None:
        raise NeedsBuild("other", "1.0")

    log = BuildLog()
    say = Say({"t": "requires", "list": ["other"]})
    with pytest.raises(NeedsBuild):
        await hold(tmp_path, say, Hear(), Print("bye"), Exit(1), provide=provide, log=log)

    assert "bye" in log.text()


@pytest.mark.parametrize(
    ("script", "ended", "kind"),
    [
        ((STAGE, Exit(1)), InfrastructureFault, "infra.driver"),
        ((Exit(137),), InfrastructureFault, "infra.driver"),
        (
            (Say({"t": "fault", "kind": "driver", "stage": "plan", "line": "a bug"}), Exit(1)),
            InfrastructureFault,
            "infra.driver",
        ),
        (
            (Say({"t": "fault", "kind": "output.many", "stage": "collect", "line": "two"}), Exit(1)),
            PackageFault,
            "output.many",
        ),
        (
            (Say({"t": "fault", "kind": "hook", "stage": "install", "line": ""}), Print("error: no"), Exit(1)),
            PackageFault,
            "deps.unresolvable",
        ),
        ((Say({"t": "song"}),), PackageFault, "output.dialogue"),
        ((Say({"t": "requires", "list": []}),), PackageFault, "output.dialogue"),
        ((SayBytes(b"no json\n"),), PackageFault, "output.dialogue"),
        ((WHEEL, SayBytes(b"byte"), Exit(0)), PackageFault, "output.dialogue"),
        ((Say({"t": "wheel", "name": "a-1-py3-none-any.whl", "size": 11}),), PackageFault, "limit.output"),
        ((Say({"t": "wheel", "name": "../a.whl", "size": 5}),), PackageFault, "output.filename"),
    ],
)
async def test_everything_else_is_a_fault(
    tmp_path: Path, script: tuple[Step, ...], ended: type[BuildEnded], kind: str
) -> None:
    with pytest.raises(ended) as caught:
        await hold(tmp_path, *script)

    assert caught.value.kind == kind


@pytest.mark.parametrize("overrun", ["time", "silence", "memory", "log"])
async def test_limit_that_struck_comes_before_what_was_said(tmp_path: Path, overrun: str) -> None:
    said = Say({"t": "fault", "kind": "hook", "stage": "build", "line": ""})

    with pytest.raises(PackageFault) as caught:
        await hold(tmp_path, STAGE, said, Exit(1), overrun=overrun)

    assert (caught.value.stage, caught.value.kind) == ("build", f"limit.{overrun}")


async def test_full_disk_of_the_host_is_not_the_packages_fault(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureFault) as caught:
        await hold(tmp_path / "gone", WHEEL, SayBytes(b"bytes"))

    assert caught.value.kind == "infra.disk"
