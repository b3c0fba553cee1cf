"""A small supervisor of its own process: runs one command in the real sandbox, as whoever it is started.

Reads the job as JSON from its standard input, prints the outcome as JSON. The first argument is the folder
in which the package `buildthrough` is found, since it may have to do without the tests' own environment.
"""

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])

from buildthrough.builders.bubblewrap import BubblewrapSandbox  # needs the path
from buildthrough.builders.landlock import LandlockSandbox  # needs the path
from buildthrough.builders.sandbox import Command, Limits, Mount  # needs the path
from buildthrough.builders.slot import claim_slots  # needs the path


async def run(job: dict) -> dict:
    messages = []

    async def collect(channel):
        while (message := await channel.receive()) is not None:
            messages.append(message)

    make = {"namespaces": BubblewrapSandbox, "landlock": LandlockSandbox}[job["walls"]]
    sandbox = make(claim_slots(1, first_uid=job["first_uid"])[0], Path(job["work"]))
    command = Command(
        argv=tuple(job["argv"]),
        mounts=tuple(Mount(source=Path(source), target=target) for source, target in job["mounts"]),
        limits=Limits(**job["limits"]),
    )
    if job["probe"]:
        isolation = await sandbox.probe()
        return {"level": isolation.level, "sentences": isolation.sentences}
    _, ending = await sandbox.run(command, collect)
    return {
        "messages": messages,
        "exit_code": ending.exit_code,
        "overrun": ending.overrun,
        "log": ending.log.decode("utf-8", "replace"),
        "seconds": ending.seconds,
        "peak_memory_bytes": ending.peak_memory_bytes,
        "cpu_seconds": ending.cpu_seconds,
        "refused_forks": ending.refused_forks,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(json.load(sys.stdin)))))  # noqa: T201 # the outcome
