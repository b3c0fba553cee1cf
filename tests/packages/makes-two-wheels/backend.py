from wheelwright import write_wheel


def build_wheel(folder, config_settings=None, metadata_directory=None):
    write_wheel(folder, tag="py2-none-any")
    return write_wheel(folder)
