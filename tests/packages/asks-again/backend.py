"""Learns what it requires from what it required before: flit_core, then setuptools, then wheel."""

from importlib.util import find_spec

WANTED = ("flit_core", "setuptools", "wheel")


def get_requires_for_build_wheel(config_settings=None):
    missing = [name for name in WANTED if find_spec(name) is None]
    return missing[:1]


def build_wheel(folder, config_settings=None, metadata_directory=None):
    from wheelwright import write_wheel

    for name in WANTED:
        if find_spec(name) is None:
            raise ImportError(f"No module named {name!r}")
    return write_wheel(folder)
