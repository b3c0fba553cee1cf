"""Tries to change what it was lent in every way, and tells in its wheel what worked: nothing may."""

import json
import os
import sys

LENT = ("/wheels", "/sbx", sys.base_prefix + "/lib")


def get_requires_for_build_wheel(config_settings=None):
    return ["flit_core"]


def append(path):
    with open(path, "ab") as file:
        file.write(b"x")


def write_in_place(path):
    with open(path, "r+b") as file:
        file.write(b"x")


TRIES = {
    "append": append,
    "write": write_in_place,
    "truncate": lambda path: os.truncate(path, 0),
    "chmod": lambda path: os.chmod(path, 0o777),
    "utime": lambda path: os.utime(path, (0, 0)),
    "unlink": os.unlink,
    "rename": lambda path: os.rename(path, path + ".old"),
    "link": lambda path: os.link(path, "/build/linked"),
    "link beside": lambda path: os.link(path, path + ".linked"),
    "add": lambda path: append(path + ".new"),
}


def files_below(folder):
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield path


def build_wheel(folder, config_settings=None, metadata_directory=None):
    from wheelwright import write_wheel

    worked = []
    for lent in LENT:
        for path, _ in zip(files_below(lent), range(50)):
            for name, change in TRIES.items():
                try:
                    change(path)
                except OSError:
                    continue
                worked.append([name, path])
    installed = [os.stat(path).st_nlink for path in files_below(sys.prefix)]
    told = {"worked": worked, "wheels": sorted(os.listdir("/wheels")), "links": sorted(set(installed)), "installed": len(installed)}
    return write_wheel(folder, files={"sample/told.json": json.dumps(told).encode()})
