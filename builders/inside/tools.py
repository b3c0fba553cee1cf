"""Says which tools the sandbox has, without building anything. Its plan: a list of names, ``tools``."""

from __future__ import annotations

import json
import os
import sys

from buildthrough.builders.inside.dialogue import HostLine
from buildthrough.builders.inside.toolchain import versions


def main() -> None:
    """Tell the host what each tool says of its version."""
    host = HostLine(int(sys.argv[2]), int(sys.argv[3]))
    with host.told_of_faults():
        host.tell(source_date_epoch=0, toolchain=versions(os.environ, json.loads(sys.argv[1])["tools"]))
