import sys


def get_requires_for_build_wheel(config_settings=None):
    sys.exit("the stars are in the wrong place")


def build_wheel(folder, config_settings=None, metadata_directory=None):
    raise AssertionError
