"""The operator's lists."""

from __future__ import annotations

import pytest

from buildthrough.proxy.policy import parse_rule, parse_rules


@pytest.mark.parametrize(
    ("line", "project", "fits"),
    [
        ("evil-*", "evil-thing", True),
        ("evil-*", "evil", False),
        ("Evil_*", "evil-thing", True),
        ("evil.*", "evil-thing", True),
        ("*", "anything", True),
        ("reque?ts", "requests", True),
        ("requests", "requests-oauth", False),
        ("requests", "my-requests", False),
        ("REQUESTS <2.20", "requests", True),
    ],
)
def test_patterns_of_names(line, project, fits):
    assert bool(parse_rule(line).fits(project)) is fits


@pytest.mark.parametrize(
    ("line", "versions"),
    [
        ("requests<2.20 # CVE", "<2.20"),
        ("requests >= 2, != 2.5.* # CVE", "!=2.5.*,>=2"),
        ("requests (==2.20)", "==2.20"),
        ("requests ~=2.20 #", "~=2.20"),
    ],
)
def test_versions(line, versions):
    assert sorted(str(parse_rule(line).versions).split(",")) == sorted(versions.split(","))


@pytest.mark.parametrize(
    "line",
    ["", "#", "# why", "a b", "a < b", "a==", "a[extra]", "a; python_version<'3'", "a @ url", "a/b", "[ab]", "<2"],
)
def test_what_is_no_rule(line):
    with pytest.raises(ValueError, match="is no rule"):
        parse_rule(line)


def test_a_denied_project():
    rules = parse_rules(allow=(), deny=["evil-* # typosquats,\tsee ticket 12 \n"]).of("evil-six")
    assert rules.refusal == "evil-six is denied here by the rule evil-*: typosquats, see ticket 12."
    assert rules.file_refusal("evil_six-1.0.tar.gz") == rules.refusal
    assert parse_rules(allow=(), deny=["evil-*"]).of("six").refusal is None


def test_denied_versions():
    rules = parse_rules(allow=(), deny=["requests<2.20 # a leak."]).of("requests")
    assert (rules.refusal, rules.has_versions) == (None, True)
    sentence = "requests-2.19.1.tar.gz is denied here by the rule requests<2.20: a leak."
    assert rules.file_refusal("requests-2.19.1.tar.gz") == sentence
    assert rules.file_refusal("requests-2.19.1-py3-none-any.whl") is not None
    assert rules.file_refusal("requests-2.20.0-py3-none-any.whl") is None
    assert rules.file_refusal("requests-2.19rc1.tar.gz") is not None  # before 2.20, and no less denied
    assert rules.file_refusal("requests-2.0.win32.exe") is not None  # of no known version


def test_what_is_allowed_is_all_there_is():
    rules = parse_rules(allow=["six", "requests>=2.20 # audited", "team-*"], deny=["team-old # retired"])
    assert rules.of("six").refusal is None
    assert rules.of("six").file_refusal("six-1.0.win32.exe") is None
    assert rules.of("numpy").refusal == "numpy is not on the list of what is allowed here (policy.allow)."
    assert rules.of("numpy").file_refusal("numpy-1.0.tar.gz") == rules.of("numpy").refusal
    assert rules.of("requests").refusal is None
    assert rules.of("requests").file_refusal("requests-2.20.tar.gz") is None
    assert "policy.allow" in rules.of("requests").file_refusal("requests-2.19.tar.gz")
    assert "policy.allow" in rules.of("requests").file_refusal("requests-2.19.win32.exe")
    assert rules.of("team-new").refusal is None
    assert "retired" in rules.of("team-old").refusal


def test_one_of_several_is_enough_to_be_allowed():
    rules = parse_rules(allow=["six<1", "six>=2"], deny=()).of("six")
    assert [rules.file_refusal(f"six-{version}.tar.gz") is None for version in ("0.5", "1.5", "2.5")] == [
        True,
        False,
        True,
    ]


def test_no_rules():
    rules = parse_rules(allow=(), deny=())
    assert not rules
    assert (rules.of("six").refusal, rules.of("six").has_versions) == (None, False)
    assert rules.of("six").file_refusal("six-1.0.tar.gz") is None
