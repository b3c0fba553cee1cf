def get_requires_for_build_wheel(config_settings=None):
    return ["project%d" % number for number in range(5000)]


def build_wheel(folder, config_settings=None, metadata_directory=None):
    raise AssertionError
