"""Names of projects."""

import pytest

from buildthrough.proxy.names import LONGEST, is_valid, normalize


@pytest.mark.parametrize("name", ["a", "7", "six", "Foo_Bar", "zope.interface", "a--b", "A.-_9", "x" * LONGEST])
def test_names(name):
    assert is_valid(name)


@pytest.mark.parametrize(
    "name",
    [
        *[
            "",
            "-a",
            "a-",
            ".",
            "..",
            "_a",
            "a.",
            "a b",
            "a/b",
            "a\\b",
            "six\n",
            "\nsix",
            "a\0b",
            "a%2Fb",
            "ü",
            "\u017fix",
        ],
        *["\u212aelvin", "\uff16", "a\ud800b", "x" * (LONGEST + 1)],
    ],
)
def test_no_names(name):
    assert not is_valid(name)


@pytest.mark.parametrize(
    ("name", "normal"),
    [("six", "six"), ("Foo_Bar", "foo-bar"), ("a.-_b", "a-b"), ("zope.interface", "zope-interface"), ("A--B", "a-b")],
)
def test_one_spelling(name, normal):
    assert normalize(name) == normal
    assert normalize(normal) == normal
