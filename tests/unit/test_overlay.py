"""Which built wheels are listed, downloadable, fitting: rules 2 and 5 of the design."""

import dataclasses
from datetime import UTC, datetime

import pytest

from buildthrough.builders.target import parse_environment
from buildthrough.proxy.built import BuiltWheel
from buildthrough.proxy.entry import Entry, ProjectFiles
from buildthrough.proxy.overlay import admits, downloadable, fitting, overlay

HERE = "cp311-cp311-manylinux_2_36_x86_64"
DIGEST = "5d" * 32
SDIST = "demo-1.0.tar.gz"


def entry(filename: str = SDIST, digest: str | None = DIGEST, **changes) -> Entry:
    plain = Entry(
        filename=filename,
        url=f"https://files.example.org/packages/{filename}",
        path=f"packages/{filename}",
        hashes={"sha256": digest} if digest else {},
    )
    return dataclasses.replace(plain, **changes)


def files(*entries: Entry, status: str | None = None) -> ProjectFiles:
    return ProjectFiles(project="demo", entries=entries, status=status)


def wheel(tags: str = "cp311-cp311-manylinux_2_17_x86_64", *, name: str = "demo-1.0", **changes) -> BuiltWheel:
    plain = BuiltWheel(
        project="demo",
        version="1.0",
        filename=f"{name}-{tags}.whl",
        sha256="ab" * 32,
        size=1,
        metadata_sha256="cd" * 32,
        requires_python=None,
        sdist=SDIST,
        sdist_sha256=DIGEST,
        target=HERE,
        build=1,
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return dataclasses.replace(plain, **changes)


def listed(page: ProjectFiles, *wheels: BuiltWheel) -> list[str]:
    return [one.wheel.filename for one in overlay(page, wheels)]


def test_a_wheel_is_listed_beside_its_very_sdist():
    page = files(entry(upload_time="2020-01-01T00:00:00Z"))
    (addition,) = overlay(page, [wheel()])
    assert addition.wheel == wheel()
    assert (addition.yanked, addition.upload_time) == (False, "2020-01-01T00:00:00Z")
    assert addition.url("../../") == f"../../built/demo/{'ab' * 32}/demo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"


@pytest.mark.parametrize(
    "page",
    [
        files(),
        files(entry("demo-1.0.zip")),
        files(entry(digest="00" * 32)),
        files(entry(digest=None)),
        files(entry("demo-2.0.tar.gz")),
        files(entry(), status="quarantined"),
    ],
    ids=["removed", "other sdist", "replaced", "no digest", "other version", "quarantined"],
)
def test_a_wheel_goes_with_its_sdist(page):
    assert listed(page, wheel()) == []
    assert not downloadable(page, wheel())


@pytest.mark.parametrize("status", [None, "active", "archived", "deprecated", "unheard-of"])
def test_other_statuses_hide_nothing(status):
    assert listed(files(entry(), status=status), wheel()) == [wheel().filename]


@pytest.mark.parametrize("yanked", [False, True, "broken on Tuesdays"])
def test_a_yank_is_the_sdist_s_at_this_moment(yanked):
    page = files(entry(yanked=yanked), entry("demo-1.0-cp39-cp39-win_amd64.whl", yanked="another reason"))
    (addition,) = overlay(page, [wheel()])
    assert addition.yanked == yanked
    assert downloadable(page, wheel())


@pytest.mark.parametrize("order", [1, -1])
def test_a_yank_is_seen_where_the_sdist_is_listed_twice(order):
    page = files(*[entry(), entry(yanked="broken")][::order])
    assert overlay(page, [wheel()])[0].yanked == "broken"


NATIVE = "cp311-cp311-manylinux_2_17_x86_64"
PURE = "py3-none-any"


@pytest.mark.parametrize(
    ("upstream", "ours", "shown"),
    [
        # the same file name, whatever is in it
        (f"demo-1.0-{NATIVE}.whl", NATIVE, False),
        # any wheel that the environment of ours takes supersedes a native one
        ("demo-1.0-cp311-cp311-manylinux2014_x86_64.whl", NATIVE, False),
        ("demo-1.0-cp311-cp311-manylinux_2_36_x86_64.whl", NATIVE, False),
        ("demo-1.0-cp37-abi3-manylinux_2_17_x86_64.whl", NATIVE, False),
        ("demo-1.0-py3-none-any.whl", NATIVE, False),
        ("demo-1.0-1-py3-none-any.whl", NATIVE, False),
        ("Demo-1.0-py3-none-any.whl", NATIVE, False),
        ("demo-1.0.0-py3-none-any.whl", NATIVE, False),
        # not those that it does not take
        ("demo-1.0-cp311-cp311-manylinux_2_37_x86_64.whl", NATIVE, True),
        ("demo-1.0-cp310-cp310-manylinux_2_17_x86_64.whl", NATIVE, True),
        ("demo-1.0-cp311-cp311-manylinux_2_17_aarch64.whl", NATIVE, True),
        ("demo-1.0-cp311-cp311-musllinux_1_1_x86_64.whl", NATIVE, True),
        ("demo-1.0-cp311-cp311-win_amd64.whl", NATIVE, True),
        ("demo-1.0-py2-none-any.whl", NATIVE, True),
        ("demo-2.0-py3-none-any.whl", NATIVE, True),
        ("other-1.0-py3-none-any.whl", NATIVE, True),
        ("demo-1.0.py3-none-any.whl", NATIVE, True),
        # ours for any platform gives way to one for any platform and all its Pythons
        ("demo-1.0-py2.py3-none-any.whl", PURE, False),
        ("demo-1.0-1-py3-none-any.whl", PURE, False),
        ("demo-1.0-py3-none-any.whl", "py311-none-any", False),
        ("demo-1.0-py3-none-any.whl", "cp311-none-any", False),
        ("demo-1.0-py3-none-any.whl", "py2.py3-none-any", True),
        ("demo-1.0-py311-none-any.whl", PURE, True),
        ("demo-1.0-cp311-none-any.whl", PURE, True),
        ("demo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", PURE, True),
        ("demo-1.0-py3-none-manylinux_2_17_x86_64.whl", PURE, True),
    ],
)
def test_upstream_wins(upstream, ours, shown):
    page = files(entry(), entry(upstream, "00" * 32))
    assert listed(page, wheel(ours)) == ([wheel(ours).filename] if shown else [])
    assert downloadable(page, wheel(ours)), "lock files hold its URL"


def test_a_yanked_wheel_of_upstream_s_supersedes_too():
    assert listed(files(entry(), entry("demo-1.0-py3-none-any.whl", yanked=True)), wheel()) == []


def test_upstream_s_wheel_for_other_pythons_supersedes_nothing():
    page = files(entry(), entry("demo-1.0-py3-none-any.whl", requires_python=">=3.12"))
    assert listed(page, wheel()) == [wheel().filename]


def test_the_same_file_name_hides_ours_even_for_another_environment():
    pure = wheel(PURE, target="cp39-cp39-manylinux_2_36_x86_64")
    page = files(entry(), entry(pure.filename, requires_python=">=3.12"))
    assert listed(page, pure) == []


def test_of_several_builds_of_a_wheel_the_newest_is_listed():
    first = wheel()
    second = wheel(f"1-{NATIVE}", build=2)
    tenth = wheel(f"10-{NATIVE}", build=3)
    letters = wheel(f"10b-{NATIVE}", build=4)
    assert listed(files(entry()), tenth, first, letters, second) == [letters.filename]
    assert listed(files(entry()), second, first) == [second.filename]
    assert downloadable(files(entry()), first)


def test_a_newer_build_from_a_sdist_that_is_gone_hides_nothing():
    newer = wheel(f"1-{NATIVE}", sdist_sha256="00" * 32)
    assert listed(files(entry()), newer, wheel()) == [wheel().filename]


def test_different_wheels_of_ours_are_all_listed():
    other = wheel("cp312-cp312-manylinux_2_17_x86_64", target="cp312-cp312-manylinux_2_36_x86_64")
    assert listed(files(entry()), wheel(PURE), other, wheel()) == [
        wheel().filename,
        other.filename,
        wheel(PURE).filename,
    ]


def test_the_order_of_the_records_changes_nothing():
    wheels = [wheel(), wheel(PURE), wheel(f"1-{NATIVE}", build=2)]
    assert overlay(files(entry()), wheels) == overlay(files(entry()), wheels[::-1])


def test_nothing_built_nothing_listed():
    assert overlay(files(entry()), ()) == ()


@pytest.mark.parametrize(
    ("filename", "changes", "fits"),
    [
        ("demo-1.0-py3-none-any.whl", {}, True),
        ("demo-1.0.0-py3-none-any.whl", {}, True),
        ("demo-1.0-cp37-abi3-manylinux_2_17_x86_64.whl", {}, True),
        ("demo-1.0-py3-none-any.whl", {"yanked": "broken"}, True),
        ("demo-1.0-py3-none-any.whl", {"requires_python": ">=3.8"}, True),
        ("demo-1.0-py3-none-any.whl", {"requires_python": ">=3.12"}, False),
        ("demo-1.0-py3-none-any.whl", {"requires_python": "gibberish"}, True),
        ("demo-1.1-py3-none-any.whl", {}, False),
        ("other-1.0-py3-none-any.whl", {}, False),
        ("demo-1.0-cp312-cp312-manylinux_2_17_x86_64.whl", {}, False),
        ("demo-1.0.zip", {}, False),
        ("demo-1.0-py3-none-any.whl.asc", {}, False),
        ("demo.whl", {}, False),
    ],
)
def test_fitting_by_upstream(filename, changes, fits):
    page = files(entry(), entry(filename, **changes))
    assert fitting(page, (), "1.0", parse_environment(HERE)) is fits


@pytest.mark.parametrize(
    ("built", "version", "client", "fits"),
    [
        (wheel(), "1.0", HERE, True),
        (wheel(), "1.0.0", HERE, True),
        (wheel(), "1.1", HERE, False),
        (wheel(), "1.0", "cp311-cp311-manylinux_2_17_x86_64", True),
        (wheel(), "1.0", "cp311-cp311-manylinux_2_12_x86_64", False),
        (wheel(), "1.0", "cp312-cp312-manylinux_2_36_x86_64", False),
        (wheel(PURE, requires_python="<3.11"), "1.0", HERE, False),
        (wheel(PURE), "1.0", "cp312-cp312-win_amd64", True),
    ],
)
def test_fitting_by_what_was_built(built, version, client, fits):
    page = files(entry(yanked=True))
    assert fitting(page, overlay(page, [built]), version, parse_environment(client)) is fits


@pytest.mark.parametrize(
    ("requires", "admitted"),
    [
        (None, True),
        ("", True),
        (">=3.11", True),
        (">=3.11.4", True),
        ("<3.11.3", True),
        (">=3.6, !=3.11.2", True),
        (">3.11", True),
        ("<3.11", False),
        (">=3.12", False),
        ("==3.10.*", False),
        ("~=3.8", True),
        (">=3.6.*", True),
        ("3", True),
    ],
)
def test_requires_python(requires, admitted):
    assert admits(requires, (3, 11)) is admitted
