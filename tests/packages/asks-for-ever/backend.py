"""Asks for another requirement each time, and never builds."""

from pathlib import Path

COUNT = Path("count")


def get_requires_for_build_wheel(config_settings=None):
    number = len(COUNT.read_text()) if COUNT.exists() else 0
    COUNT.write_text("x" * (number + 1))
    return ["wheel>=0.%d" % number]


def build_wheel(folder, config_settings=None, metadata_directory=None):
    raise SystemExit("fatal error: lber.h: No such file or directory")
