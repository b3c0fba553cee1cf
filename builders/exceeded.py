"""Which limit a command ran into, from what the kernel counted and the host saw. No input or output here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildthrough.builders.faults import PackageFault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from buildthrough.builders.faults import Stage
    from buildthrough.builders.sandbox import Ending, Limits, Overrun


def ended_by(ending: Ending, limits: Limits, stage: Stage) -> PackageFault | None:
    """Return the fault where the host or the kernel ended the command by a limit; None where it ended by itself."""
    memory = f"used more than {limits.memory_bytes >> 20} MiB of memory"
    faults: Mapping[Overrun | None, PackageFault] = {
        "time": PackageFault(stage, "limit.time", f"took more than {limits.wall_seconds:g} seconds"),
        "silence": PackageFault(stage, "limit.silence", f"printed nothing for {limits.silence_seconds:g} seconds"),
        "cpu": PackageFault(stage, "limit.cpu", f"used more than {limits.cpu_seconds} seconds of processor time"),
        "memory": PackageFault(stage, "limit.memory", memory),
        "inodes": PackageFault(stage, "limit.inodes", f"made more than {limits.inodes} files"),
        "log": PackageFault(stage, "limit.log", "printed far more than a log can hold"),
    }
    return faults.get(ending.overrun)


def failed_by(ending: Ending, limits: Limits, stage: Stage) -> PackageFault | None:
    """Return the fault where a command that failed by itself had been refused something; None where it had not.

    A command that goes on without what it was refused, and succeeds, has not failed.
    """
    if ending.refused_forks:
        line = f"wanted more than {limits.processes} processes and threads at once"
        return PackageFault(stage, "limit.processes", line)
    return None
