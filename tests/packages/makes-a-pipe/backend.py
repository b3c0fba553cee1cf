import os


def build_wheel(folder, config_settings=None, metadata_directory=None):
    os.mkfifo(os.path.join(folder, "sample-1.0-py3-none-any.whl"))
    return "sample-1.0-py3-none-any.whl"
