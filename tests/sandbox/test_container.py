"""What can be isolated inside of a container, as Docker makes one, with our system call profile and without it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from tests.sandbox.container import ROOT, container, without_namespaces

from buildthrough.builders import container_profile, syscalls

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="runc is started as root")


def test_the_profile_is_the_one_in_the_repository():
    assert container_profile.text() == (ROOT / "config/seccomp-docker.json").read_text(), (
        "run: buildthrough seccomp > config/seccomp-docker.json"
    )


def test_the_profile_allows_what_builds_need_and_nothing_of_what_they_are_refused():
    profile = container_profile.profile()
    allowed = {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    known = {
        list_: {entry.partition(":")[0] for entry in getattr(syscalls, list_).split()}
        for list_ in ("ALLOWED", "PRETENDED", "REFUSED", "ARGUED")
    }
    assert known["ALLOWED"] | known["PRETENDED"] | known["ARGUED"] <= allowed
    assert allowed & known["REFUSED"] == {"mount", "pivot_root", "sethostname", "umount2", "unshare"}
    assert "clone3" not in allowed
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 38)


async def tried(bundle, minimum="landlock"):
    done = await bundle.run(sys.executable, "-m", "tests.sandbox.in_container", minimum)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_root
async def test_with_our_profile_builds_run_without_a_proc():
    """``docker run --security-opt seccomp=config/seccomp-docker.json --security-opt no-new-privileges``."""
    with container(seccomp=container_profile.profile()) as bundle:
        told = await tried(bundle)
    assert told["level"] == "container", told["sentences"]
    assert told["can_build"]
    assert any("Can't mount proc" in sentence for sentence in told["sentences"])
    assert len(told["wheels"]) == 2, told


@needs_root
async def test_with_paths_unmasked_as_well_the_profile_is_the_whole_one():
    """The same with ``--security-opt systempaths=unconfined``."""
    with container(seccomp=container_profile.profile(), masked=False) as bundle:
        told = await tried(bundle)
    assert told["level"] == "unprivileged", told["sentences"]
    assert len(told["wheels"]) == 2, told


@needs_root
async def test_without_our_profile_nothing_is_built_and_it_is_said_why():
    """``docker run`` without any option."""
    with container(seccomp=without_namespaces()) as bundle:
        told = await tried(bundle, "container")
    assert (told["level"], told["can_build"]) == ("landlock", False)
    assert told["sentences"][0].startswith("nothing is built here: ")
    assert any("No permissions to create new namespace" in sentence for sentence in told["sentences"])


@needs_root
async def test_without_our_profile_landlock_is_left_where_that_is_enough():
    with container(seccomp=without_namespaces()) as bundle:
        told = await tried(bundle, "landlock")
    assert (told["level"], told["can_build"]) == ("landlock", True)
    assert len(told["wheels"]) == 2, told


@needs_root
async def test_the_system_calls_of_the_profile_are_in_force():
    """Shown by one that is refused, one that is not known, and one that is allowed."""
    script = Path("tests/sandbox/in_container_calls.py")
    with container(seccomp=container_profile.profile()) as bundle:
        done = await bundle.run(sys.executable, str(script))
    assert json.loads(done.stdout) == {"keyctl": 1, "clone3": 38, "socket(AF_VSOCK)": 38, "socket(AF_INET)": 0}
