import os

from wheelwright import write_wheel


def build_wheel(folder, config_settings=None, metadata_directory=None):
    os.rename(os.path.join(folder, write_wheel(folder)), os.path.join(folder, "sample\x1b[2J\n.whl"))
    return "sample-1.0-py3-none-any.whl"
