def get_requires_for_build_wheel(config_settings=None):
    return ["--index-url=http://index.example.org/"]


def build_wheel(folder, config_settings=None, metadata_directory=None):
    raise AssertionError
