"""The documentation says what there is: settings, commands, routes, metrics. What is not documented fails here."""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from buildthrough.config.schema import KEYS
from buildthrough.proxy.__main__ import COMMANDS, parser
from buildthrough.proxy.api import Api
from buildthrough.proxy.metrics import Metrics
from buildthrough.proxy.pool_api import PoolApi

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCS = "\n".join([README, *(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))])
DEFAULTS = (ROOT / "config" / "defaults.toml").read_text()
SETTINGS = sorted(f"{section}.{key}" for section, table in tomllib.loads(DEFAULTS).items() for key in table)
METRICS = sorted(set(re.findall(r"^# TYPE (\w+) ", Metrics().exposition().decode(), re.MULTILINE)))
APIS = (
    Api(operations=None, pool=None, metrics=None, readiness=None, token=""),
    PoolApi(control=None, token=""),
)
ROUTES = sorted({route.path for api in APIS for route in api.routes()})


def test_defaults_hold_the_schema():
    assert sorted(KEYS) == SETTINGS


def test_each_default_has_a_sentence():
    section = ""
    previous = ""
    for line in DEFAULTS.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif re.match(r"\w+ *=", line):
            key = f"{section}.{line.split('=')[0].strip()}"
            assert re.fullmatch(r"# [A-Z].*\.", previous), f"{key} has no sentence above it: {previous!r}"
        previous = line


@pytest.mark.parametrize("setting", SETTINGS)
def test_setting_is_documented(setting):
    assert f"`{setting}`" in DOCS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_command_is_documented(command):
    assert re.search(rf"buildthrough {command}\b", DOCS)


@pytest.mark.parametrize("metric", METRICS)
def test_metric_is_documented(metric):
    assert metric.removesuffix("_total").removesuffix("_created") in DOCS


@pytest.mark.parametrize("route", ROUTES)
def test_route_is_documented(route):
    assert re.sub(r"\{(\w+)\}", r"<\1>", route) in DOCS


def commands_in(text):
    """Give the argv of each line that runs the program in an indented or fenced block."""
    for line in re.findall(r"^(?:    |\$ )*(?:\.venv/bin/)?buildthrough ([a-z].*)$", text, re.MULTILINE):
        for part in re.split(r";\s*buildthrough ", line):
            argv = shlex.split(part, comments=True)
            yield [("1" if word.startswith("<") else word) for word in argv if word not in {"…", "..."}]


SHOWN = list(commands_in(README))


def test_the_readme_shows_commands():
    assert SHOWN


@pytest.mark.parametrize("argv", SHOWN, ids=" ".join)
def test_command_of_the_readme_is_understood(argv):
    assert isinstance(parser().parse_args(argv), argparse.Namespace)
