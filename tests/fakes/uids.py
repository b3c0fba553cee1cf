"""The users that tests build as: ``TEST_UID_BASE`` moves them, so that two suites can run on one machine at once."""

from __future__ import annotations

import os

_OF_EACH_WORKER = 300
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
BASE = int(os.environ.get("TEST_UID_BASE", "59700")) + _WORKER * _OF_EACH_WORKER
SANDBOX = BASE + 100
WORKBENCH = BASE + 160
ORDINARY = BASE + 190
CONTRACT = BASE + 200
SERVER = BASE + 220
"""Of servers that tests start by their command."""
CONTAINER = BASE + 230
"""Of the processes of containers that tests start."""
