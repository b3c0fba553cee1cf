import os

from wheelwright import write_wheel


def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = write_wheel("/tmp")
    os.symlink(os.path.join("/tmp", name), os.path.join(folder, name))
    return name
