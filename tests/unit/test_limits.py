"""Limits of one build: the defaults are those of the settings, and a few may be replaced for one project."""

from __future__ import annotations

import math
from dataclasses import asdict

import pytest

from buildthrough.builders.sandbox import Limits
from buildthrough.config.load import load


def test_defaults_are_those_of_the_settings(tmp_path):
    build = asdict(load(environment={}, folder=tmp_path).settings.build)
    limits = asdict(Limits())
    assert limits.pop("address_space_bytes")  # no setting: it is wide, and recipes may still replace it
    assert limits.pop("cpus") == 1  # the setting is a share of the machine's
    assert limits == {name: build[name] for name in limits}


def test_some_are_replaced_and_the_others_stay():
    limits = Limits(memory_bytes=1, wall_seconds=2)
    changed = limits.overridden(memory_bytes=4 << 30, wall_seconds=0.5)
    assert asdict(changed) == asdict(limits) | {"memory_bytes": 4 << 30, "wall_seconds": 0.5}
    assert limits.overridden() == limits


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"memory": 1}, "there is no limit 'memory'; there are address_space_bytes, "),
        ({"memory_bytes": 0}, "the limit memory_bytes is a whole number above 0, not 0"),
        ({"memory_bytes": 1.5}, "a whole number above 0, not 1.5"),
        ({"memory_bytes": "4 GiB"}, "not '4 GiB'"),
        ({"processes": True}, "not True"),
        ({"wall_seconds": -1.0}, "the limit wall_seconds is a number above 0, not -1.0"),
        ({"wall_seconds": math.inf}, "not inf"),
        ({"silence_seconds": math.nan}, "not nan"),
    ],
    ids=str,
)
def test_what_is_no_limit_is_refused_with_a_sentence(values, sentence):
    with pytest.raises(ValueError, match="limit") as caught:
        Limits().overridden(**values)
    assert sentence in str(caught.value)
