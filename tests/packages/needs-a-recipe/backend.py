import importlib.util
import json
import os
import pathlib

from wheelwright import write_wheel

WORKS = False


def get_requires_for_build_wheel(config_settings=None):
    return ["not-on-any-index==2", "wheel"]


def build_wheel(folder, config_settings=None, metadata_directory=None):
    if not WORKS:
        raise SystemExit("error: patch me")
    told = {
        "settings": config_settings,
        "variables": {name: os.environ.get(name) for name in ("SAMPLE", "CFLAGS")},
        "sources": sorted(path.name for path in pathlib.Path("src").iterdir()),
        "modules": [name for name in ("setuptools", "wheel", "flit_core") if importlib.util.find_spec(name)],
    }
    return write_wheel(folder, files={"told.json": json.dumps(told).encode()})
