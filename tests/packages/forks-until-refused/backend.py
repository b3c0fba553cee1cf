"""Takes as many processes as it gets; fails or goes on without more, as it is told."""

import json
import os
import time

from wheelwright import write_wheel


def build_wheel(folder, config_settings=None, metadata_directory=None):
    children = []
    refused = False
    while not refused and len(children) < 10000:
        try:
            child = os.fork()
        except BlockingIOError:
            refused = True
            if os.path.exists("fails"):
                raise
        else:
            if child == 0:
                time.sleep(60)
                os._exit(0)
            children.append(child)
    report = json.dumps({"children": len(children), "refused": refused}).encode()
    return write_wheel(folder, files={"sample.py": b"", "sample.json": report})
