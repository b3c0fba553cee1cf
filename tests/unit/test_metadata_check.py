"""METADATA of a built wheel: what decides is refused by its class, what is untidy is told: as pip and uv do."""

from __future__ import annotations

import time

import pytest

from buildthrough.builders.faults import PackageFault
from buildthrough.builders.metadata_check import check_metadata

HEAD = "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"


def metadata(*fields: str, body: str = "", head: str = HEAD) -> bytes:
    return "\n".join((head.rstrip("\n"), *fields, "", body)).encode()


def check(content: bytes) -> tuple[str | None, list[str]]:
    return check_metadata(content, project="demo", version="1.0")


def of_version(version: str, *fields: str) -> bytes:
    return metadata(*fields, head=HEAD.replace("2.1", version))


VALID = {
    "plain": metadata(),
    "old requirement": metadata("Requires-Dist: other (>=1.0,<2)"),
    "new requirement": metadata(
        'Requires-Dist: other[a]~=1.0; python_version < "3.11" and extra == "x"', "Provides-Extra: x"
    ),
    "another spelling": metadata(head="Metadata-Version: 2.1\nName: DEMO\nVersion: 1.0.0\n"),
    "lower case": metadata("requires-dist: other"),
    "one line more than there has to be": metadata("Requires-Python: >=3.8,"),
    "Windows' lines": metadata("Requires-Dist: other", body="Text\n").replace(b"\n", b"\r\n"),
    "license in 2.4": of_version("2.4", "License-Expression: MIT OR Apache-2.0", "License-File: LICENSE"),
    "text": metadata("Description-Content-Type: text/markdown; charset=UTF-8; variant=GFM", body="# Grüße\n"),
    "text of fields further down": metadata(body="Metadata\n\nRequires-Dist: what one may write\n"),
    "dynamic": of_version("2.2", "Dynamic: Requires-Dist"),
    "a URL": metadata("Project-URL: Home, https://example.org/"),
    "an unknown classifier": metadata("Classifier: Nonsense :: Very"),
}


@pytest.mark.parametrize("content", VALID.values(), ids=VALID)
def test_valid_metadata_is_taken_without_a_word(content):
    assert check(content)[1] == []


UNTIDY = {
    # what real wheels have
    "License-File in 2.1": (metadata("License-File: LICENSE"), "license-file introduced"),
    "License-Expression in 2.3": (of_version("2.3", "License-Expression: MIT"), "license-expression introduced"),
    "version 2.0": (of_version("2.0"), "'2.0' is not a valid metadata version"),
    "content type UNKNOWN": (metadata("Description-Content-Type: UNKNOWN"), "not a valid content type"),
    # what pip and uv take all the same
    "a version to come": (of_version("2.99"), "'2.99' is not a valid metadata version"),
    "odd content type": (metadata("Description-Content-Type: text/html"), "description-content-type"),
    "long content type": (metadata("Description-Content-Type: text/plain" + "; a=b" * 200), "absurdly long"),
    "Project-URL without a label": (metadata("Project-URL: a, b", "Project-URL: a, c"), "project-url"),
    "unknown field": (metadata("X-Own: 1"), "x-own"),
    "two summaries": (metadata("Summary: a", "Summary: b"), "there twice: summary"),
    "summary of two lines": (metadata("Summary: a\n b"), "must be a single line"),
    "no license": (of_version("2.4", "License-Expression: as you like it"), "license-expression"),
    "license outside": (of_version("2.4", "License-File: ../LICENSE"), "license-file"),
    "extra that is no name": (metadata("Provides-Extra: a b"), "provides-extra"),
    "dynamic name": (of_version("2.2", "Dynamic: Name"), "not allowed as a dynamic field"),
    "old version, new field": (of_version("1.0", "Requires-Dist: other"), "requires-dist introduced"),
    "two descriptions": (metadata("Description: a", body="b"), "description"),
    "requirement of a place": (metadata("Requires-Dist: other @ https://example.org/o-1.0.tar.gz"), "uv refuses it"),
    "empty line in the summary": (metadata("Summary: a\n\nmore", "Requires-Dist: other"), "which nobody reads"),
    "fields after an empty line": (metadata("Summary: a\n", "Requires-Dist: other"), "which nobody reads"),
    "fields after a broken line": (metadata("no colon", "Requires-Dist: other"), "which nobody reads"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "remark"), UNTIDY.values(), ids=UNTIDY)
def test_what_is_untidy_is_told(content, remark):
    told = check(content)[1]
    assert any(remark in each for each in told), told
    assert all(each.startswith("METADATA: ") for each in told)


REFUSED = {
    # pip refuses it, and uv does as well or guesses
    "two words": ("bad-requirement", metadata("Requires-Dist: other thing")),
    "star after >=": ("bad-requirement", metadata("Requires-Dist: other (>=1.*)")),
    "missing comma": ("bad-requirement", metadata("Requires-Dist: other >=0.5<9")),
    "version of old": ("bad-requirement", metadata("Requires-Dist: other >=2004d")),
    "unknown marker": ("bad-requirement", metadata("Requires-Dist: other; bogus == 'x'")),
    "empty requirement": ("bad-requirement", metadata("Requires-Dist: ", "Requires-Dist: other")),
    "folded requirement": ("bad-requirement", metadata("Requires-Dist: other\n  ; python_version > '3'")),
    "encoded word": ("bad-requirement", metadata("Requires-Dist: =?utf-8?q?other?=")),
    "deep marker": ("bad-requirement", metadata("Requires-Dist: other; " + "(" * 3000)),
    "no text": ("bad-metadata", metadata("Summary: x").replace(b"x", b"\xfc")),
    "text that is none": ("bad-metadata", metadata() + b"\xfc"),
    "mark before all": ("bad-metadata", b"\xef\xbb\xbf" + metadata()),
    "empty line before all": ("bad-metadata", b"\n" + metadata()),
    # uv refuses it
    "Python 3": ("bad-metadata", metadata("Requires-Python: 3")),
    "Python ~=3": ("bad-metadata", metadata("Requires-Python: ~=3")),
    "Python ~=3.6.*": ("bad-metadata", metadata("Requires-Python: ~=3.6.*")),
    "Python 3.x": ("bad-metadata", metadata("Requires-Python: >=3.x")),
    # two readings, or none
    "two versions": ("bad-metadata", metadata("Version: 2.0")),
    "two names": ("bad-metadata", metadata("Name: demo")),
    "two Pythons": ("bad-metadata", metadata("Requires-Python: >=3", "Requires-Python: >=2")),
    "two versions of the format": ("bad-metadata", metadata("Metadata-Version: 2.1")),
    "a version of the format that is not understood": ("bad-metadata", of_version("3.0")),
    "no version of the format": ("bad-metadata", metadata(head="Name: demo\nVersion: 1.0\n")),
    "a mail of parts": ("bad-metadata", metadata("Content-Type: multipart/mixed; boundary=x", body="--x\n\n--x--\n")),
    "no name": ("bad-metadata", metadata(head="Metadata-Version: 2.1\nVersion: 1.0\n")),
    "a name that is none": ("bad-metadata", metadata(head=HEAD.replace("demo", "-demo"))),
    "a version that is none": ("bad-metadata", metadata(head=HEAD.replace("1.0", "one"))),
    "another name": ("name-mismatch", metadata(head=HEAD.replace("demo", "de.mo"))),
    "another version": ("version-mismatch", metadata(head=HEAD.replace("1.0", "1.0.post1"))),
}  # fmt: skip


@pytest.mark.parametrize(("word", "content"), REFUSED.values(), ids=REFUSED)
def test_what_decides_is_refused_by_its_class(word, content):
    with pytest.raises(PackageFault) as caught:
        check(content)
    assert (caught.value.stage, caught.value.kind) == ("check", f"output.{word}")
    assert caught.value.line.isprintable()


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        (">=3.8", False),
        (">=2.7, !=3.0.*, <4", False),
        (">=3.6.*", True),
        (">=2.7.*, !=3.0.*, <4.*", True),
        (">=2.7,!=3.0*", True),
    ],
)
def test_a_python_that_installers_read_with_good_will_is_taken_as_it_is(text, is_told):
    line, remarks = check(metadata(f"Requires-Python: {text}"))
    assert (line, len(remarks)) == (text, is_told)


def test_remarks_are_few_short_and_plain():
    fields = [f"X-{number}: \x1b[31m" for number in range(150)]
    fields += [f"Requires-Dist: other{number} @ https://example.org/{'x' * 500}" for number in range(100)]
    remarks = check(metadata(*fields, "License-File: " + "\x1b../" * 500))[1]
    assert 0 < len(remarks) <= 20
    assert all(each.isprintable() and len(each) <= 200 for each in remarks)


@pytest.mark.parametrize(
    "field",
    [
        "Description-Content-Type: text/plain" + '; a*0="b"' * 100_000,
        "License-Expression: " + "(" * 500_000,
        "License-Expression: " + "MIT or " * 100_000,
        "Keywords: " + "a," * 500_000,
        "Dynamic: " + "x" * 1_000_000,
    ],
    ids=["content type", "parentheses", "licenses", "keywords", "dynamic"],
)
def test_bombs_are_checked_in_bounded_time(field):
    begun = time.process_time()
    check(of_version("2.4", field))
    assert time.process_time() - begun < 5
