"""Builds that reach for the network are told apart, also where nothing that they print says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.fakes.sdists import Sdist, make_sdist
from tests.sandbox.workbench import FOLDER, Workbench, workbench

from buildthrough.builders.faults import PackageFault

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    with workbench() as bench:
        yield bench


def wants_the_network(**more: str) -> Sdist:
    folder = FOLDER / "wants-the-network"
    return make_sdist("sample", "1.0", {path.name: path.read_bytes() for path in folder.iterdir()} | more)


@pytest.mark.parametrize(("more", "kind"), [({"silently": ""}, "network.denied"), ({}, "build.failed")])
async def test_a_name_that_is_looked_up_tells_what_a_build_keeps_to_itself(
    bench: Workbench, more: dict[str, str], kind: str
) -> None:
    with pytest.raises(PackageFault) as caught:
        await bench.build(wants_the_network(**more))

    assert (caught.value.kind, caught.value.line) == (kind, "the weather is bad")
