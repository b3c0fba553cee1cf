"""How build tools are told how many processors they may use."""

from __future__ import annotations

from buildthrough.builders.parallelism import parallelism


def test_tools_are_told_the_number():
    told = parallelism(3)
    assert (told["MAKEFLAGS"], told["CMAKE_BUILD_PARALLEL_LEVEL"], told["CARGO_BUILD_JOBS"]) == ("-j3", "3", "3")
    assert {value.removeprefix("-j") for value in told.values()} == {"3"}
