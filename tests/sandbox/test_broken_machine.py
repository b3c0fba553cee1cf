"""A machine whose sandbox no longer starts: the pool is locked, no build pays for it, and all are built in the end."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.fakes.queue import FakeQueue
from tests.fakes.records import a_request, digest
from tests.fakes.sdists import intree_sdist
from tests.sandbox.workbench import Workbench, workbench

from buildthrough.builders.attendance import Work
from buildthrough.builders.bubblewrap import BubblewrapSandbox
from buildthrough.builders.build_log import BuildLog
from buildthrough.builders.fuse import FusePolicy
from buildthrough.builders.host import survey_host
from buildthrough.builders.pool import Pool
from buildthrough.builders.request import BuildState
from buildthrough.builders.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from buildthrough.builders.artifact import CheckedWheel
    from buildthrough.builders.request import Build
    from buildthrough.builders.sandbox import Sandbox
    from buildthrough.builders.slot import Slot

NAMES = ("one", "two", "three")
HASTY = FusePolicy(rest=RetryPolicy(first_seconds=0.01, longest_seconds=0.01))


@pytest.fixture
def bwrap() -> Iterator[Path]:
    """Return where the server found bwrap, from where it was removed since; every user may look there."""
    folder = Path(tempfile.mkdtemp(prefix="removed-"))
    folder.chmod(0o755)
    yield folder / "bwrap"
    shutil.rmtree(folder)


@pytest.fixture
def bench(bwrap: Path) -> Iterator[Workbench]:
    def make(slot: Slot, work: Path) -> Sandbox:
        return BubblewrapSandbox(slot, work, host=replace(survey_host(), bwrap=str(bwrap)))

    with workbench(make=make) as made:
        yield made


def work_of(bench: Workbench, queue: FakeQueue) -> Work[BuildLog]:
    async def make(build: Build, _sandbox: Sandbox, log: BuildLog) -> CheckedWheel:
        return await bench.build(intree_sdist(build.request.project, build.request.version), log=log)

    async def publish(build: Build, wheel: CheckedWheel, log_sha256: str, _log: BuildLog) -> None:
        queue.succeed(build.id, wheel=wheel.filename, wheel_sha256=wheel.sha256, log_sha256=log_sha256)

    async def nothing(*_: object) -> None:
        return

    async def store_log(data: bytes) -> str:
        return digest(data.decode())

    return Work(
        new_log=BuildLog, make=make, publish=publish, submit_requirement=nothing, store_log=store_log, clean=nothing
    )


async def test_a_sandbox_that_no_longer_starts_locks_the_pool(
    bench: Workbench, bwrap: Path, caplog: pytest.LogCaptureFixture
) -> None:
    queue = FakeQueue(retry=RetryPolicy(max_attempts=3, first_seconds=1, longest_seconds=1, put_off_seconds=0.01))
    for name in NAMES:
        await queue.submit(a_request(name, "1.0"))
    async with Pool(queue, [bench.sandbox], work_of(bench, queue), policy=HASTY) as pool:
        while (lock := pool.state.lock) is None:
            await asyncio.sleep(0.02)
        assert "infra.sandbox" in lock.why
        assert "buildthrough doctor" in lock.advice
        assert sum("BUILDS ARE LOCKED" in message for message in caplog.messages) == 1
        while {build.state for build in queue.builds.values()} != {BuildState.QUEUED}:  # the last is put back after it
            await asyncio.sleep(0.02)
        bwrap.symlink_to(survey_host().bwrap)  # somebody installed it again
        pool.resume()
        while {build.state for build in queue.builds.values()} != {BuildState.SUCCEEDED}:
            await asyncio.sleep(0.05)
        assert pool.state.word == "open"
