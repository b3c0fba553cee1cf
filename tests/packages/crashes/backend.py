"""In a child that would leave a core file of the size of its memory."""

import ctypes
import json
import os
import resource

from wheelwright import write_wheel


def build_wheel(folder, config_settings=None, metadata_directory=None):
    if os.path.exists("crashes"):
        ctypes.string_at(0)
    child = os.fork()
    if child == 0:
        ctypes.string_at(0)
    status = os.waitpid(child, 0)[1]
    report = {
        "signal": os.WTERMSIG(status),
        "core": os.WCOREDUMP(status),
        "files": [name for name in os.listdir(".") if "core" in name],
        "limit": resource.getrlimit(resource.RLIMIT_CORE),
    }
    return write_wheel(folder, files={"sample.py": b"", "sample.json": json.dumps(report).encode()})
