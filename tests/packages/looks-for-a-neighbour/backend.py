"""Meets another build of the same kind, if it can; tells what it saw of it."""

import errno
import json
import os
import signal
import socket
import time

from wheelwright import write_wheel

NAME = "\0a-neighbour"


def attempt(action):
    try:
        return action() or "done"
    except OSError as error:
        return errno.errorcode.get(error.errno, "?")


def meet():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(NAME)


def build_wheel(folder, config_settings=None, metadata_directory=None):
    with open("told.json") as file:
        told = json.load(file)
    with open("/tmp/" + told["me"], "w") as file:
        file.write("secret of " + told["me"])
    server = socket.socket(socket.AF_UNIX)
    if told["me"] == "first":
        server.bind(NAME)
        server.listen()
        server.settimeout(told["seconds"])
    else:
        time.sleep(told["seconds"] / 2)
    report = {
        "tmp": sorted(os.listdir("/tmp")),
        "shm": os.listdir("/dev/shm"),
        "socket": attempt(meet) if told["me"] != "first" else None,
        "visitor": attempt(lambda: "somebody" if server.accept() else None) if told["me"] == "first" else None,
        "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
        "signals": attempt(lambda: os.kill(-1, signal.SIGCONT)),
        "begun": told["me"],
        "now": time.time(),
    }
    return write_wheel(folder, files={"sample.py": b"", "sample.json": json.dumps(report).encode()})
