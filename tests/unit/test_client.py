"""What User-Agents say, and what they do not."""

import json
import subprocess
import sys
import sysconfig

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildthrough.builders.target import parse_environment, tags
from buildthrough.proxy.client import LONGEST_HEADER, read_user_agent


def pip(**changes) -> str:
    facts = {
        "ci": None,
        "cpu": "x86_64",
        "distro": {"id": "bookworm", "libc": {"lib": "glibc", "version": "2.36"}, "name": "Debian", "version": "12"},
        "implementation": {"name": "CPython", "version": "3.11.7"},
        "installer": {"name": "pip", "version": "26.3"},
        "openssl_version": "OpenSSL 3.0.15 3 Sep 2024",
        "python": "3.11.7",
        "setuptools_version": "65.5.0",
        "system": {"name": "Linux", "release": "6.1.0"},
    }
    return "pip/26.3 " + json.dumps({**facts, **changes}, separators=(",", ":"), sort_keys=True)


def uv(**changes) -> str:
    facts = {
        "installer": {"name": "uv", "version": "0.13.8", "subcommand": ["pip", "install"]},
        "python": "3.12.4",
        "implementation": {"name": "CPython", "version": "3.12.4"},
        "distro": {"name": "Debian", "version": "12", "id": "bookworm", "libc": {"lib": "glibc", "version": "2.36"}},
        "system": {"name": "Linux", "release": "6.1.0"},
        "cpu": "x86_64",
        "openssl_version": None,
        "setuptools_version": None,
        "rustc_version": None,
        "ci": None,
    }
    return "uv/0.13.8 " + json.dumps({**facts, **changes}, separators=(",", ":"))


def libc(lib: str, version: str) -> dict:
    return {"name": "Some Linux", "libc": {"lib": lib, "version": version}}


DARWIN = {"name": "Darwin", "release": "23.5.0"}
WINDOWS = {"name": "Windows", "release": "10"}
PYPY = {"name": "PyPy", "version": "7.3.11"}


@pytest.mark.parametrize(
    ("header", "slug"),
    [
        (pip(), "cp311-cp311-manylinux_2_36_x86_64"),
        (pip(ci=True, rustc_version="1.63.0", user_data="blah {}"), "cp311-cp311-manylinux_2_36_x86_64"),
        (uv(), "cp312-cp312-manylinux_2_36_x86_64"),
        (pip(cpu="aarch64"), "cp311-cp311-manylinux_2_36_aarch64"),
        (pip(cpu="armv7l"), "cp311-cp311-manylinux_2_36_armv7l"),
        (pip(cpu="i686"), "cp311-cp311-manylinux_2_36_i686"),
        (pip(cpu="riscv64", distro=libc("glibc", "2.41-6")), "cp311-cp311-manylinux_2_41_riscv64"),
        (pip(distro=libc("glibc", "2.20-2014.11")), "cp311-cp311-manylinux_2_20_x86_64"),
        (pip(python="3.15.0rc2"), "cp315-cp315-manylinux_2_36_x86_64"),
        (pip(python="3.14.0b1+"), "cp314-cp314-manylinux_2_36_x86_64"),
        (pip(python="3.7.17"), "cp37-cp37m-manylinux_2_36_x86_64"),
        (uv(distro=libc("musl", "1.2")), "cp312-cp312-musllinux_1_2_x86_64"),
        (pip(implementation=PYPY, python="3.9.16"), "pp39-pypy39_pp73-manylinux_2_36_x86_64"),
        (
            pip(system=DARWIN, cpu="arm64", distro={"name": "macOS", "version": "14.5"}),
            "cp311-cp311-macosx_14_0_arm64",
        ),
        (uv(system=DARWIN, cpu="arm64", distro={"name": "macOS", "version": "26"}), "cp312-cp312-macosx_26_0_arm64"),
        (
            pip(system=DARWIN, cpu="x86_64", distro={"name": "macOS", "version": "10.15.7"}),
            "cp311-cp311-macosx_10_15_x86_64",
        ),
        (pip(system=WINDOWS, cpu="AMD64", distro=None), "cp311-cp311-win_amd64"),
        (uv(system=WINDOWS, cpu="ARM64", distro=None), "cp312-cp312-win_arm64"),
        (pip(system=WINDOWS, cpu="x86", distro=None), "cp311-cp311-win32"),
        # Whoever asks for another platform hides it: these name the machine itself, as the others do.
        (
            uv(installer={"name": "uv", "version": "0.13.8", "subcommand": ["lock"]}),
            "cp312-cp312-manylinux_2_36_x86_64",
        ),
        (
            uv(installer={"name": "uv", "version": "0.13.8", "subcommand": ["tool", "run"]}),
            "cp312-cp312-manylinux_2_36_x86_64",
        ),
    ],
)
def test_known_clients(header, slug):
    environment = read_user_agent(header)
    assert str(environment) == slug
    assert parse_environment(slug) == environment


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        " ",
        "curl/8.5.0",
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "poetry/2.5.1 CPython/3.11.7 Linux/6.18",
        "pdm/2.29.3 CPython/3.11.7 Linux/6.18",
        "twine/6.1.0 keyring/25.6.0 CPython/3.12.4",
        "pip/1.5.6 CPython/2.7.9 Linux/3.16",
        "Artifactory/7.90.1 79000100",
        "pip/26.3",
        "pip/26.3 ",
        "pip/26.3 {",
        "pip/26.3 null",
        "pip/26.3 []",
        "pip/26.3 {}",
        "pip/26.3 " + "[" * 4000,
        "pip/26.3 " + '{"a":' * 1500,
        "pip/26.3 " + "9" * 5000,
        "pip/26.3 NaN",
        pip() + " trailing",
        pip() + " " * LONGEST_HEADER,
        pip(user_data="x" * 100_000),
        pip().replace("pip/26.3", "pip/"),
        pip().replace("pip/26.3", "pip"),
        pip().replace("pip/26.3", "uv/0.13.8"),
        pip(installer=None),
        pip(installer={"name": "pip-ish"}),
        pip(installer={"name": ["pip"]}),
        # no libc: pip on musl, and pip that could not find out
        pip(distro={"name": "Alpine Linux", "version": "3.20"}),
        pip(distro=None),
        pip(distro="Debian"),
        pip(distro={"libc": "glibc"}),
        pip(distro=libc("glibc", "")),
        pip(distro=libc("glibc", "2")),
        pip(distro=libc("glibc", "2.99999999999")),
        pip(distro=libc("glibc", "3.1")),
        pip(distro=libc("bionic", "1.0")),
        pip(distro={"libc": {"lib": "glibc", "version": 2.36}}),
        # interpreters
        uv(python=None, implementation=None),
        pip(python=3.11),
        pip(python="3"),
        pip(python="three.eleven"),
        pip(python="2.7.18"),
        pip(python="3.99999999"),
        pip(implementation={"name": "GraalVM"}),
        pip(implementation={"name": "Jython", "version": "2.7"}),
        pip(implementation=["CPython"]),
        pip(implementation={"name": "PyPy"}, python="3.9.16"),
        pip(implementation={"name": "PyPy", "version": "3.9.16"}, python="3.9.16"),
        uv(implementation={"name": "PyPy", "version": "3.10.14"}, python="3.10.14"),
        # machines
        pip(cpu=None),
        pip(cpu="armv8l"),
        pip(cpu="x86_64; rm -rf"),
        pip(cpu={"x": 1}),
        pip(system=None),
        pip(system={"name": "FreeBSD"}),
        pip(system={"name": "Android"}),
        pip(system=DARWIN, cpu="arm64", distro=None),
        pip(system=DARWIN, cpu="ppc", distro={"version": "10.5"}),
        pip(system=DARWIN, cpu="arm64", distro={"version": "fourteen"}),
        pip(system=DARWIN, cpu="x86_64", distro={"version": "10.3"}),
        pip(system=WINDOWS, cpu="IA64"),
    ],
)
def test_unknown_clients(header):
    assert read_user_agent(header) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "installer",
                        "name",
                        "python",
                        "implementation",
                        "version",
                        "distro",
                        "libc",
                        "lib",
                        "cpu",
                        "system",
                    ]
                ),
                inner,
            )
        ),
    )
)
def test_no_header_raises(facts):
    read_user_agent("pip/26.3 " + json.dumps(facts))
    if isinstance(facts, dict):
        read_user_agent(pip(**facts))
        read_user_agent(uv(**facts))


def test_what_the_pip_beside_us_really_sends():
    code = "from pip._internal.network.session import user_agent; print(user_agent())"
    header = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    environment = read_user_agent(header)
    if not sysconfig.get_platform().startswith("linux"):
        return
    assert environment is not None
    from packaging.tags import sys_tags

    assert set(sys_tags()) == set(tags(environment))
