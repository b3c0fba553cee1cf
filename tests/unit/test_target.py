"""Environments, their slugs and their tags."""

import dataclasses
import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import packaging
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.tags import Tag

from buildthrough.builders.target import Environment, parse_environment, rank, serves, tags, wheel_tags

SLUGS = [
    "cp311-cp311-manylinux_2_36_x86_64",
    "cp313-cp313t-manylinux_2_17_aarch64",
    "cp37-cp37m-manylinux_2_31_i686",
    "pp39-pypy39_pp73-manylinux_2_36_x86_64",
    "cp312-cp312-musllinux_1_2_x86_64",
    "cp312-cp312-macosx_14_0_arm64",
    "cp310-cp310-macosx_10_15_x86_64",
    "cp312-cp312-win_amd64",
    "cp312-cp312-win_arm64",
    "cp312-cp312-win32",
]

PROBE = """
import json, os, platform, sys, sysconfig
sys.path.insert(0, sys.argv[1])
from packaging.tags import sys_tags
pypy = sys.implementation.name == "pypy"
soabi = sysconfig.get_config_var("SOABI").split("-")
libc, version = os.confstr("CS_GNU_LIBC_VERSION").split()
print(json.dumps({
    "tags": [str(tag) for tag in sys_tags()],
    "implementation": "pp" if pypy else "cp",
    "python": sys.version_info[:2],
    "abi": "_".join(soabi[:2]) if pypy else "cp" + soabi[1],
    "libc": [int(part) for part in version.split(".")],
    "arch": platform.machine(),
}))
"""


def described(executable: str) -> dict:
    site = str(Path(packaging.__file__).parent.parent)
    run = subprocess.run([executable, "-I", "-c", PROBE, site], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(run.stdout)


@pytest.mark.skipif(not sysconfig.get_platform().startswith("linux"), reason="describes a Linux")
@pytest.mark.parametrize("executable", [sys.executable, "/usr/bin/python3", "/usr/bin/pypy3"])
def test_tags_are_those_that_the_interpreter_itself_accepts(executable):
    if not Path(executable).exists():
        pytest.skip(f"{executable} is not installed")
    facts = described(executable)
    environment = Environment(
        implementation=facts["implementation"],
        python=tuple(facts["python"]),
        abi=facts["abi"],
        system="manylinux",
        system_version=tuple(facts["libc"]),
        arch=facts["arch"],
    )
    assert {str(tag) for tag in tags(environment)} == set(facts["tags"])
    theirs = [tag for tag in facts["tags"] if not tag.split("-")[2].startswith("linux_")]
    ours = [str(tag) for tag in tags(environment) if not tag.platform.startswith("linux_")]
    assert ours == theirs, "in the same order, but for linux_*, on which clients disagree"


@pytest.mark.parametrize("slug", SLUGS)
def test_slugs_round_trip(slug):
    assert str(parse_environment(slug)) == slug


ENVIRONMENTS = st.builds(
    Environment,
    implementation=st.sampled_from(["cp", "pp"]),
    python=st.tuples(st.integers(1, 9), st.integers(0, 99)),
    abi=st.from_regex(r"[a-z0-9_]{1,12}", fullmatch=True),
    system=st.sampled_from(["manylinux", "musllinux", "macosx"]),
    system_version=st.tuples(st.integers(0, 99), st.integers(0, 99)),
    arch=st.sampled_from(["x86_64", "aarch64", "arm64", "i686", "ppc64le"]),
)
WINDOWS = st.builds(
    dataclasses.replace,
    ENVIRONMENTS,
    system=st.just("win"),
    system_version=st.just((0, 0)),
    arch=st.sampled_from(["amd64", "arm64", "win32"]),
)


@given(ENVIRONMENTS | WINDOWS)
def test_every_environment_has_a_slug_that_is_read_back(environment):
    assert parse_environment(environment.slug) == environment


@pytest.mark.parametrize(
    "slug",
    [
        "",
        "cp311",
        "cp311-cp311-linux_x86_64",
        "cp311-cp311-manylinux_2_36_x86_64\n",
        "cp311-cp311-manylinux_2_036_x86_64",
        "cp3011-cp311-win_amd64",
        "cp311-cp311-manylinux_2_99999999_x86_64",
        "cp311-cp311-manylinux_2_36_",
        "cp311-cp311-win_",
        "cp311-cp311-winamd64",
        "cp311-cp311-win_win32",
        "jy27-none-any",
        "../../etc-passwd-win32",
    ],
)
def test_other_text_names_no_environment(slug):
    with pytest.raises(ValueError, match=r"names?|spelled"):
        parse_environment(slug)


@pytest.mark.parametrize("slug", SLUGS)
def test_every_system_has_tags_best_first(slug):
    environment = parse_environment(slug)
    python, abi, platform = slug.split("-")
    assert tags(environment)[0] == Tag(python, abi, platform)
    assert Tag("py3", "none", "any") in tags(environment)


FITS = "cp311-cp311-manylinux_2_36_x86_64"


@pytest.mark.parametrize(
    ("filename", "slug", "fits"),
    [
        ("demo-1.0-cp311-cp311-manylinux_2_36_x86_64.whl", FITS, True),
        ("demo-1.0-cp311-cp311-manylinux_2_37_x86_64.whl", FITS, False),
        ("demo-1.0-cp311-cp311-manylinux1_x86_64.whl", FITS, True),
        ("demo-1.0-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", FITS, True),
        ("demo-1.0-cp38-abi3-manylinux2014_x86_64.whl", FITS, True),
        ("demo-1.0-cp312-abi3-manylinux2014_x86_64.whl", FITS, False),
        ("demo-1.0-cp311-none-any.whl", FITS, True),
        ("demo-1.0-py2.py3-none-any.whl", FITS, True),
        ("demo-1.0-py2-none-any.whl", FITS, False),
        ("demo-1.0-cp311-cp311-musllinux_1_1_x86_64.whl", FITS, False),
        ("demo-1.0-cp311-cp311-manylinux_2_17_aarch64.whl", FITS, False),
        ("demo-1.0-cp311-cp311-manylinux_2_5_aarch64.whl", "cp311-cp311-manylinux_2_36_aarch64", False),
        ("demo-1.0-cp311-cp311-musllinux_1_1_x86_64.whl", "cp311-cp311-musllinux_1_2_x86_64", True),
        ("demo-1.0-cp311-abi3-manylinux_2_17_x86_64.whl", "cp313-cp313t-manylinux_2_36_x86_64", False),
        ("demo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", "cp311-cp311d-manylinux_2_36_x86_64", True),
        ("demo-1.0-cp312-cp312-macosx_11_0_arm64.whl", "cp312-cp312-macosx_26_0_arm64", True),
        ("demo-1.0-cp312-cp312-macosx_10_9_universal2.whl", "cp312-cp312-macosx_14_0_arm64", True),
        ("demo-1.0-cp312-cp312-win_amd64.whl", "cp312-cp312-win_amd64", True),
        ("demo-1.0-cp312-cp312-win32.whl", "cp312-cp312-win_amd64", False),
        ("demo-1.0-pp39-pypy39_pp73-manylinux_2_17_x86_64.whl", "pp39-pypy39_pp73-manylinux_2_36_x86_64", True),
        ("demo-1.0-pp3-none-any.whl", "pp39-pypy39_pp73-manylinux_2_36_x86_64", True),
        ("demo-1.0.tar.gz", FITS, False),
        ("demo-1.0-variant-py3-none-any-x8664v3.whl", FITS, False),
    ],
)
def test_a_wheel_fits_by_its_tags(filename, slug, fits):
    assert (rank(filename, parse_environment(slug)) is not None) is fits


def test_the_more_specific_wheel_ranks_better():
    environment = parse_environment(FITS)
    names = [
        "demo-1.0-cp311-cp311-manylinux_2_36_x86_64.whl",
        "demo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl",
        "demo-1.0-cp38-abi3-manylinux_2_17_x86_64.whl",
        "demo-1.0-py3-none-any.whl",
    ]
    ranks = [rank(name, environment) for name in names]
    assert ranks == sorted(ranks)


def test_a_giant_file_name_is_no_wheel():
    assert wheel_tags("demo-1.0-" + "-".join([".".join(["py3"] * 200)] * 3) + ".whl") == frozenset()


def test_a_target_serves_a_client_that_differs_in_its_libc_version_alone():
    target = parse_environment(FITS)
    assert serves(target, parse_environment("cp311-cp311-manylinux_2_28_x86_64"))
    assert not serves(target, parse_environment("cp311-cp311-musllinux_1_2_x86_64"))
    assert not serves(target, parse_environment("cp312-cp312-manylinux_2_36_x86_64"))
    assert not serves(target, parse_environment("cp311-cp311-manylinux_2_36_aarch64"))
