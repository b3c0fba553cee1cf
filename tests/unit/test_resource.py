"""What a file must be."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from buildthrough.proxy.errors import UpstreamInvalid
from buildthrough.proxy.resource import SIDECAR_BYTES, SMALL, Resource

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA = b"some bytes"
SHA256 = hashlib.sha256(DATA).hexdigest()
MD5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()


def resource(hashes: Mapping[str, str], size: int | None = None, *, is_sidecar: bool = False) -> Resource:
    return Resource(key="k", url="http://example.org/six", hashes=hashes, size=size, is_sidecar=is_sidecar)


def hexdigest(name: str) -> str:
    return hashlib.new(name, DATA, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    ("hashes", "checked"),
    [
        ({"sha256": SHA256, "md5": "0"}, {"sha256"}),
        ({"md5": MD5, "blake2b": hexdigest("blake2b"), "rot13": "1", "shake_128": "2"}, {"md5", "blake2b"}),
        ({"md5": MD5.upper()}, {"md5"}),
        ({"rot13": "1"}, set()),
        ({}, set()),
    ],
)
def test_the_strongest_that_can_be_computed_is_checked(hashes: Mapping[str, str], checked: set[str]) -> None:
    wanted = resource(hashes)
    assert set(wanted.verifiable) == checked
    assert set(wanted.algorithms) == checked - {"sha256"}
    wanted.verify(hexdigest)


@pytest.mark.parametrize("hashes", [{"sha256": MD5}, {"md5": MD5, "sha1": "0" * 40}])
def test_one_wrong_digest_is_enough(hashes: Mapping[str, str]) -> None:
    with pytest.raises(UpstreamInvalid):
        resource(hashes).verify(hexdigest)


def test_which_are_small_and_what_they_may_have() -> None:
    assert resource({}, SMALL).is_small
    assert not resource({}, SMALL + 1).is_small
    assert not resource({}).is_small
    assert resource({}, is_sidecar=True).is_small
    assert resource({}).bound(1 << 40) == 1 << 40
    assert resource({}, is_sidecar=True).bound(1 << 40) == SIDECAR_BYTES
    assert resource({}, is_sidecar=True).bound(100) == 100


def test_another_digest_is_another_memory() -> None:
    assert len({resource(h).memory_key for h in ({}, {"md5": "1"}, {"md5": "2"}, {"sha1": "1"})}) == 4
