import json
import os

from wheelwright import write_wheel


def build_wheel(folder, config_settings=None, metadata_directory=None):
    pipes = []
    try:
        while True:
            pipes.append(os.pipe())
            os.set_blocking(pipes[-1][1], False)
            os.write(pipes[-1][1], b"x" * 65536)
    except OSError as error:
        said = error.errno
    for each in pipes:
        os.close(each[0]), os.close(each[1])
    report = json.dumps({"pipes": len(pipes), "errno": said}).encode()
    return write_wheel(folder, files={"sample.py": b"", "sample.json": report})
