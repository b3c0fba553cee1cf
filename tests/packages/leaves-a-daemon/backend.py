"""Leaves a process behind that spoils the wheel as soon as the hook is over."""

import os
import time

from wheelwright import write_wheel


def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = write_wheel(folder, files={"sample.py": b"#" * (32 << 20)})
    hook = os.getpid()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            spoil(hook, os.path.join(folder, name))
        os._exit(0)
    return name


def spoil(hook, path):
    try:
        while True:
            os.kill(hook, 0)
    except ProcessLookupError:
        time.sleep(0.005)
    while True:
        with open(path, "r+b") as file:
            file.write(b"spoiled" * 100)
            file.seek(-700, os.SEEK_END)
            file.write(b"spoiled" * 100)
