"""Wheels with binaries are given tags that are true, by auditwheel in the real sandbox."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.utils import parse_wheel_filename
from tests.fakes.sdists import c_sdist
from tests.sandbox.workbench import Workbench, package, workbench

from buildthrough.builders.build_log import BuildLog
from buildthrough.builders.facts import AbiClaim
from buildthrough.builders.faults import PackageFault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from buildthrough.builders.artifact import CheckedWheel

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the packages name x86_64 in their tags")


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    with workbench() as bench:
        yield bench


def debian_version(package: str) -> str:
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=True)
    return done.stdout


def platforms(wheel: CheckedWheel) -> set[str]:
    named = {tag.platform for tag in parse_wheel_filename(wheel.filename)[3]}
    with zipfile.ZipFile(wheel.path) as archive:
        info = next(name for name in archive.namelist() if name.endswith(".dist-info/WHEEL"))
        said = {line.rpartition("-")[2] for line in archive.read(info).decode().splitlines() if line.startswith("Tag:")}
    assert named == said
    return named


async def test_c_extension_gets_the_oldest_libc_that_it_runs_on_for_every_target(bench: Workbench) -> None:
    for target in bench.kit.targets:
        if not target.interpreter.has_headers:
            continue
        wheels = [await bench.build(c_sdist(), target=target) for _ in range(2)]
        assert platforms(wheels[0]) == {"manylinux_2_5_x86_64", "manylinux1_x86_64"}
        assert target.environment.abi in wheels[0].filename
        assert wheels[0].sha256 == wheels[1].sha256


async def test_claim_that_is_not_earned_is_corrected(bench: Workbench) -> None:
    log = BuildLog()

    wheel = await bench.build(package("claims-an-old-libc"), log=log)

    assert platforms(wheel) == {"manylinux_2_34_x86_64"}
    assert "what is true is found out" in log.text()


async def test_borrowed_library_travels_with_the_wheel(bench: Workbench) -> None:
    wheel = await bench.build(package("borrows-a-library"))

    assert all(name.startswith("manylinux") for name in platforms(wheel))
    with zipfile.ZipFile(wheel.path) as archive:
        assert any(name.startswith("sample.libs/libbz2-") for name in archive.namelist())


async def test_borrowed_library_is_told_with_its_source(bench: Workbench) -> None:
    log = BuildLog()

    wheel = await bench.build(package("borrows-a-library"), log=log)

    (library,) = log.facts.grafted
    with zipfile.ZipFile(wheel.path) as archive:
        assert hashlib.sha256(archive.read(library.file)).hexdigest() == library.sha256
    assert library.soname == "libbz2.so.1.0"
    source = Path(library.source)
    assert hashlib.sha256(source.read_bytes()).hexdigest() == library.source_sha256
    assert (library.package, library.version) == ("libbz2-1.0", debian_version("libbz2-1.0"))
    assert f"{library.file} is {library.source} of libbz2-1.0" in log.text()


@pytest.mark.parametrize(
    ("name", "claimed", "true", "because"),
    [
        ("keeps-to-the-stable-abi", "cp36-abi3", "cp36-abi3", ()),
        ("says-abi3-of-an-older-python", "cp36-abi3", "cp310-abi3", ("PyModule_AddObjectRef (since 3.10)",)),
        ("says-abi3-and-is-not", "cp36-abi3", "{target}", ("_PyLong_Copy",)),
        (
            "says-abi3-of-one-pythons-module",
            "cp36-abi3",
            "{target}",
            ("sample.cpython-311-x86_64-linux-gnu.so",),
        ),
    ],
)
async def test_claim_of_the_stable_abi_is_checked_and_corrected(
    bench: Workbench, name: str, claimed: str, true: str, because: tuple[str, ...]
) -> None:
    environment = bench.target.environment
    true = true.format(target=f"{environment.interpreter}-{environment.abi}")
    log = BuildLog()

    wheel = await bench.build(package(name), log=log)

    assert log.facts.abi3 == AbiClaim(claimed=claimed, true=true, because=because)
    assert wheel.filename.startswith(f"sample-1.0-{true}-manylinux")
    assert platforms(wheel)


async def test_wheel_for_linux_without_a_binary_runs_on_the_oldest_libc(bench: Workbench) -> None:
    wheel = await bench.build(package("has-no-binary-in-it"))

    assert platforms(wheel) == {"manylinux_2_5_x86_64", "manylinux1_x86_64"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("needs-a-library-of-its-own", "output.no-manylinux"),
        ("has-objects-to-link", "output.no-manylinux"),
        ("is-for-windows", "output.bad-tags"),
    ],
)
async def test_wheel_that_is_true_of_no_other_machine_is_not_published(bench: Workbench, name: str, kind: str) -> None:
    with pytest.raises(PackageFault) as caught:
        await bench.build(package(name))

    assert (caught.value.stage, caught.value.kind) == ("repair", kind)
    assert caught.value.line
    assert (caught.value.wheel is not None) == (kind == "output.no-manylinux")
