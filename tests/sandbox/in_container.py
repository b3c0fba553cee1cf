"""Run in a container: climb down the ladder as a server would, and build real wheels where that is allowed.

Prints one JSON object. The first argument is the lowest level to build at.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.fakes.sdists import c_sdist, legacy_sdist
from tests.fakes.uids import WORKBENCH
from tests.sandbox.workbench import Asked, workbench

from buildthrough.builders.build_log import BuildLog
from buildthrough.builders.faults import BuildEnded
from buildthrough.builders.ladder import climb_down
from buildthrough.builders.slot import claim_slots


def main() -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    slot = claim_slots(1, first_uid=WORKBENCH)[0]
    isolation, rung = asyncio.run(climb_down(slot, folder, minimum=sys.argv[1]))  # type: ignore[arg-type]
    told = {"level": isolation.level, "can_build": isolation.can_build, "sentences": isolation.sentences}
    if rung is None:
        return told | {"wheels": []}
    log = BuildLog()
    with workbench(make=rung.make) as bench:
        try:
            wheels = [
                asyncio.run(bench.build(sdist, log=log, resolve=Asked())) for sdist in (c_sdist(), legacy_sdist())
            ]
        except BuildEnded as ended:
            return told | {"wheels": [], "fault": str(ended), "log": log.text()}
    return told | {"wheels": [wheel.filename for wheel in wheels]}


if __name__ == "__main__":
    print(json.dumps(main()))  # noqa: T201 # the outcome
