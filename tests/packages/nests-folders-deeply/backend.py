import os

from wheelwright import write_wheel


def build_wheel(folder, config_settings=None, metadata_directory=None):
    folder = os.path.abspath(folder)
    for _ in range(20000):
        os.mkdir("d")
        os.chdir("d")
    os.chdir("/build")
    return write_wheel(folder)
