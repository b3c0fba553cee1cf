"""Asks, in its hook, for what list.json says; or for the 100 MB that are there if it says so."""

import json

from wheelwright import write_wheel


def get_requires_for_build_wheel(config_settings=None):
    asked = json.load(open("list.json"))
    return ["x" * 1000000 + str(number) for number in range(100)] if asked == "100 MB" else asked


def build_wheel(folder, config_settings=None, metadata_directory=None):
    return write_wheel(folder)
