from wheelwright import write_wheel


def build_wheel(folder, config_settings=None, metadata_directory=None):
    return write_wheel(folder, tag="py3-none-win_amd64")
