def build_wheel(folder, config_settings=None, metadata_directory=None):
    return "sample-1.0-py3-none-any.whl"
