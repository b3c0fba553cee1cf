"""Which sdist is built from, and when there is nothing to build any more."""

import dataclasses

import pytest

from buildthrough.builders.faults import Cancelled
from buildthrough.builders.request import BuildRequest
from buildthrough.builders.target import parse_environment
from buildthrough.proxy.entry import Entry, ProjectFiles
from buildthrough.proxy.sdists import find_sdist, wanted_sdist

HERE = parse_environment("cp311-cp311-manylinux_2_36_x86_64")
DIGEST = "5d" * 32
REQUEST = BuildRequest(
    project="demo",
    version="1.0",
    sdist="demo-1.0.tar.gz",
    sdist_sha256=DIGEST,
    target="cp311-cp311-manylinux_2_36_x86_64",
)


def entry(filename: str, **changes) -> Entry:
    url = f"https://files.example.org/packages/{filename}"
    plain = Entry(filename=filename, url=url, path=f"packages/{filename}", hashes={"sha256": DIGEST})
    return dataclasses.replace(plain, **changes)


def files(*entries: Entry, status: str | None = None) -> ProjectFiles:
    return ProjectFiles(project="demo", entries=entries, status=status)


SDIST = entry("demo-1.0.tar.gz")


def test_the_very_sdist_is_wanted():
    assert wanted_sdist(files(entry("demo-0.9.tar.gz"), SDIST), REQUEST, HERE) is SDIST


@pytest.mark.parametrize(
    ("listed", "kind"),
    [
        (files(), "cancelled.removed"),
        (files(entry("demo-1.0.tar.gz", hashes={"sha256": "00" * 32})), "cancelled.removed"),
        (files(entry("demo-1.0.zip")), "cancelled.removed"),
        (files(SDIST, status="quarantined"), "cancelled.removed"),
        (files(entry("demo-1.0.tar.gz", yanked="bad")), "cancelled.yanked"),
        (files(SDIST, entry("demo-1.0-py3-none-any.whl")), "cancelled.superseded"),
        (files(SDIST, entry("demo-1.0-cp38-abi3-manylinux2014_x86_64.whl")), "cancelled.superseded"),
    ],
)
def test_when_there_is_nothing_to_build(listed: ProjectFiles, kind: str):
    with pytest.raises(Cancelled) as caught:
        wanted_sdist(listed, REQUEST, HERE)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    "other",
    [
        entry("demo-1.0-cp312-cp312-manylinux_2_17_x86_64.whl"),
        entry("demo-1.1-py3-none-any.whl"),
        entry("demo-1.0-py3-none-any.whl", requires_python=">=3.12"),
    ],
)
def test_wheels_for_others_do_not_stop_a_build(other: Entry):
    # What counts here has to be what made it a miss, or each miss would queue a build that is cancelled.
    assert wanted_sdist(files(SDIST, other), REQUEST, HERE) is SDIST


def test_tar_gz_is_built_from_before_zip_and_what_is_yanked_last():
    assert find_sdist(files(entry("demo-1.0.zip"), SDIST), "1.0") is SDIST
    yanked = entry("demo-1.0.tar.gz", yanked=True)
    archive = entry("demo-1.0.zip")
    assert find_sdist(files(yanked, archive), "1.0") is archive
    assert find_sdist(files(SDIST), "2.0") is None
    assert find_sdist(files(entry("demo-1.0.tar.gz", hashes={})), "1.0") is None
