"""When a download is a miss, and what is asked for then."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pytest

from buildthrough.builders.request import BuildRequest
from buildthrough.builders.target import Interpreter, Target, parse_environment
from buildthrough.proxy.built import BuiltWheel
from buildthrough.proxy.entry import Entry, ProjectFiles
from buildthrough.proxy.misses import Sighting, Verdict, judge

HERE = "cp311-cp311-manylinux_2_36_x86_64"
DIGEST = "5d" * 32


def target(slug: str) -> Target:
    environment = parse_environment(slug)
    interpreter = Interpreter(
        executable=Path("/usr/bin/python3"),
        prefixes=(Path("/usr"),),
        environment=environment,
        markers={},
        has_headers=True,
    )
    return Target(environment=environment, interpreter=interpreter)


def entry(filename: str, **changes) -> Entry:
    plain = Entry(
        filename=filename,
        url=f"https://files.example.org/packages/{filename}",
        path=f"packages/{filename}",
        hashes={"sha256": DIGEST},
    )
    return dataclasses.replace(plain, **changes)


def sighting(*others: Entry, sdist: Entry | None = None, client: str | None = HERE, wheels=(), status=None) -> Sighting:
    sdist = sdist or entry("demo-1.0.tar.gz")
    return Sighting(
        entry=sdist,
        files=ProjectFiles(project="demo", entries=(*others, sdist), status=status),
        wheels=tuple(wheels),
        client=None if client is None else parse_environment(client),
    )


def built(filename: str, *, target: str = HERE, sdist_sha256: str = DIGEST) -> BuiltWheel:
    return BuiltWheel(
        project="demo",
        version="1.0",
        filename=filename,
        sha256="ab" * 32,
        size=1,
        metadata_sha256="cd" * 32,
        requires_python=None,
        sdist="demo-1.0.tar.gz",
        sdist_sha256=sdist_sha256,
        target=target,
        build=1,
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_a_known_client_that_downloads_an_sdist_without_a_fitting_wheel_is_a_miss():
    assert judge(sighting(), [target(HERE)]) == BuildRequest(
        project="demo", version="1.0", sdist="demo-1.0.tar.gz", sdist_sha256=DIGEST, target=HERE
    )


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (sighting(sdist=entry("demo-1.0-py3-none-any.whl")), Verdict.NOT_SDIST),
        (sighting(sdist=entry("demo-1.0.exe")), Verdict.NOT_SDIST),
        (sighting(sdist=entry("other-1.0.tar.gz")), Verdict.NOT_SDIST),
        (sighting(client=None), Verdict.UNKNOWN_CLIENT),
        (sighting(sdist=entry("demo-1.0.tar.gz", hashes={})), Verdict.NO_DIGEST),
        (sighting(sdist=entry("demo-1.0.tar.gz", yanked=True)), Verdict.YANKED),
        (sighting(sdist=entry("demo-1.0.tar.gz", yanked="broken")), Verdict.YANKED),
        (sighting(sdist=entry("demo-1.0.tar.gz", requires_python=">=3.12")), Verdict.WRONG_PYTHON),
        (sighting(sdist=entry("demo-1.0.tar.gz", requires_python="<3")), Verdict.WRONG_PYTHON),
        (sighting(entry("demo-1.0-py3-none-any.whl")), Verdict.WHEEL_FITS),
        (sighting(entry("demo-1.0-cp311-abi3-manylinux_2_17_x86_64.whl")), Verdict.WHEEL_FITS),
        (sighting(entry("demo-1.0-cp38-abi3-manylinux2014_x86_64.whl")), Verdict.WHEEL_FITS),
        (sighting(wheels=[built("demo-1.0-py3-none-any.whl")]), Verdict.WHEEL_FITS),
        (sighting(client="cp312-cp312-manylinux_2_36_x86_64"), Verdict.NO_TARGET),
        (sighting(client="cp311-cp311-musllinux_1_2_x86_64"), Verdict.NO_TARGET),
        (sighting(client="cp311-cp311-manylinux_2_36_aarch64"), Verdict.NO_TARGET),
        (sighting(client="cp311-cp311-macosx_14_0_arm64"), Verdict.NO_TARGET),
        (sighting(client="cp311-cp311-win_amd64"), Verdict.NO_TARGET),
    ],
)
def test_what_is_no_miss(seen: Sighting, verdict: Verdict):
    assert judge(seen, [target(HERE)]) is verdict


@pytest.mark.parametrize(
    "other",
    [
        "demo-1.0-cp312-cp312-manylinux_2_17_x86_64.whl",
        "demo-1.0-cp311-cp311-win_amd64.whl",
        "demo-1.0-cp311-cp311-manylinux_2_38_x86_64.whl",
        "demo-0.9-py3-none-any.whl",
        "demo-1.0.exe",
    ],
)
def test_a_wheel_for_others_does_not_make_it_less_of_a_miss(other: str):
    assert isinstance(judge(sighting(entry(other)), [target(HERE)]), BuildRequest)


def test_a_wheel_built_from_another_sdist_does_not_count():
    stale = built("demo-1.0-py3-none-any.whl", sdist_sha256="00" * 32)
    assert isinstance(judge(sighting(wheels=[stale]), [target(HERE)]), BuildRequest)


def test_a_micro_version_is_not_held_against_a_client():
    seen = sighting(sdist=entry("demo-1.0.tar.gz", requires_python=">=3.11.4,!=3.11.0"))
    assert isinstance(judge(seen, [target(HERE)]), BuildRequest)


def test_an_unreadable_requires_python_is_ignored_as_installers_do():
    seen = sighting(sdist=entry("demo-1.0.tar.gz", requires_python="banana"))
    assert isinstance(judge(seen, [target(HERE)]), BuildRequest)


def test_the_very_environment_is_preferred_to_one_that_may_serve():
    older = target("cp311-cp311-manylinux_2_31_x86_64")
    judged = judge(sighting(), [older, target(HERE)])
    assert isinstance(judged, BuildRequest)
    assert judged.target == HERE


def test_a_client_with_an_older_libc_is_built_for_all_the_same():
    judged = judge(sighting(client="cp311-cp311-manylinux_2_31_x86_64"), [target(HERE)])
    assert isinstance(judged, BuildRequest)
    assert judged.target == HERE


def test_zip_sdists_are_built_from():
    judged = judge(sighting(sdist=entry("demo-1.0.zip")), [target(HERE)])
    assert isinstance(judged, BuildRequest)
    assert judged.sdist == "demo-1.0.zip"
