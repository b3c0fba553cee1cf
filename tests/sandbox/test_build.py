"""Packages are built in the real sandbox: what works, and which class of fault each that does not work ends in."""

from __future__ import annotations

import dataclasses
import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.fakes.sdists import (
    MTIME,
    Sdist,
    intree_sdist,
    legacy_sdist,
    make_sdist,
    needy_sdist,
    pure_sdist,
    tar_gz,
)
from tests.sandbox.workbench import Asked, Workbench, package, workbench

from buildthrough.builders.build_log import BuildLog
from buildthrough.builders.faults import InfrastructureFault, NeedsBuild, PackageFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    with workbench() as bench:
        yield bench


def raw(data: bytes, filename: str = "sample-1.0.tar.gz") -> Sdist:
    return Sdist(project="sample", version="1.0", filename=filename, data=data)


def tar_of(*entries: tarfile.TarInfo, content: bytes = b"x") -> Sdist:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for entry in entries:
            entry.mtime = MTIME
            if entry.isreg():
                entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content) if entry.isreg() else None)
    return raw(packed.getvalue())


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


async def fault_of(bench: Workbench, sdist: Sdist, **options: object) -> PackageFault:
    with pytest.raises(PackageFault) as caught:
        await bench.build(sdist, **options)
    assert caught.value.line.isprintable()
    return caught.value


@pytest.mark.parametrize("archive", [".tar.gz", ".zip"])
async def test_pure_package_becomes_the_same_wheel_each_time(bench: Workbench, archive: str) -> None:
    wheels = [await bench.build(pure_sdist(archive=archive)) for _ in range(2)]

    assert [wheel.filename for wheel in wheels] == ["pure-1.0-py3-none-any.whl"] * 2
    assert wheels[0].sha256 == wheels[1].sha256
    assert b"Name: pure" in wheels[0].metadata


async def test_setup_py_alone_gets_setuptools(bench: Workbench) -> None:
    resolve, log = Asked(), BuildLog()

    wheel = await bench.build(legacy_sdist(), resolve=resolve, log=log)

    assert wheel.filename == "legacy-1.0-py3-none-any.whl"
    assert resolve.requirements[0] == ("setuptools>=40.8.0",)
    assert "==> build: building the wheel" in log.text()
    assert "the sandbox ended after" in log.text()


async def test_backend_asks_for_more_and_gets_all_of_it_in_one_round(bench: Workbench) -> None:
    resolve = Asked()
    sdist = needy_sdist(["setuptools"], dynamic_requires=["flit_core"], imports=["setuptools"])

    await bench.build(sdist, resolve=resolve)

    assert resolve.requirements == [("setuptools",), ("setuptools", "flit_core")]


async def test_backend_that_learns_what_it_requires_is_asked_again(bench: Workbench) -> None:
    resolve = Asked()

    await bench.build(package("asks-again"), resolve=resolve)

    assert resolve.requirements == [
        ("flit_core",),
        ("flit_core", "setuptools"),
        ("flit_core", "setuptools", "wheel"),
    ]


async def test_backend_that_asks_for_ever_is_not_asked_for_ever(bench: Workbench) -> None:
    resolve = Asked()

    fault = await fault_of(bench, package("asks-for-ever"), resolve=resolve)

    assert (fault.stage, fault.kind) == ("build", "syslib.header")
    assert len(resolve.requirements) == 3


async def test_nothing_required_asks_for_nothing(bench: Workbench) -> None:
    resolve = Asked()

    await bench.build(pure_sdist(), resolve=resolve)

    assert resolve.requirements == []


async def test_every_target_of_this_machine_builds(bench: Workbench) -> None:
    assert bench.kit.targets
    for target in bench.kit.targets:
        wheel = await bench.build(intree_sdist("everywhere", "1.0"), target=target)
        assert wheel.filename == "everywhere-1.0-py3-none-any.whl"


async def test_compiler_builds_for_every_processor_of_the_architecture(bench: Workbench) -> None:
    wheel = await bench.build(package("is-for-this-processor"))

    with zipfile.ZipFile(wheel.path) as archive:
        native, tuned, plain = (set(archive.read(f"sample-{number}.txt").splitlines()) for number in range(3))
    assert native == plain
    assert tuned - plain == {b"#define SAID 'a b'"}


async def test_files_that_are_in_the_way_of_others_are_told(bench: Workbench) -> None:
    log = BuildLog()

    await bench.build(package("brings-what-is-anothers"), log=log)

    assert [file.name for file in log.facts.foreign] == [
        "bin/ls",
        "lib/python3/site-packages/pip/__init__.py",
        "numpy",
        "sample.pth",
        "tests",
    ]
    assert "[warning: numpy: it takes the place of the module of numpy]" in log.text()


async def test_daemon_does_not_rewrite_the_wheel(bench: Workbench) -> None:
    assert (await bench.build(package("leaves-a-daemon"))).filename == "sample-1.0-py3-none-any.whl"


OUTCOMES = {
    "answers-by-a-pipe": ("build", None),
    "asks-for-a-url": ("requires", "requires.refused"),
    "asks-for-an-option": ("requires", "requires.refused"),
    "asks-for-too-much": ("requires", "requires.refused"),
    "fails-at-build": ("build", None),
    "fails-at-requires": ("requires", None),
    "fills-the-disk": ("build", "limit.disk"),
    "has-a-bad-file-name": ("collect", "output.filename"),
    "has-broken-toml": ("plan", "source.invalid"),
    "has-no-backend": ("requires", None),
    "has-no-build-system": ("plan", "source.invalid"),
    "is-another-project": ("check", "output.name-mismatch"),
    "is-another-version": ("check", "output.version-mismatch"),
    "makes-a-link": ("collect", "output.unsafe"),
    "makes-a-pipe": ("collect", "output.unsafe"),
    "makes-no-wheel": ("collect", "output.none"),
    "makes-two-wheels": ("collect", "output.many"),
    "replaces-the-output-folder": ("collect", "output.unsafe"),
    "speaks-for-the-driver": ("build", None),
    "wants-another-python": ("plan", "incompatible.python"),
}


@pytest.mark.parametrize(("name", "expected"), OUTCOMES.items(), ids=OUTCOMES)
async def test_package_ends_as_its_name_says(bench: Workbench, name: str, expected: tuple[str, str | None]) -> None:
    stage, kind = expected

    fault = await fault_of(bench, package(name))

    assert fault.stage == stage
    if kind is not None:
        assert fault.kind == kind


OVERRUNS: Mapping[str, tuple[str, dict[str, float]]] = {
    "eats-memory": ("limit.memory", {"memory_bytes": 512 << 20}),
    "floods-the-log": ("limit.log", {"log_bytes": 64 << 10}),
    "hangs-and-talks": ("limit.time", {"wall_seconds": 5.0}),
    "hangs-silently": ("limit.silence", {"silence_seconds": 3.0}),
}
"""The last two hang after half a second: before they are cut, on a busy machine as well."""


@pytest.mark.parametrize(("name", "expected"), OVERRUNS.items(), ids=OVERRUNS)
async def test_package_that_wants_too_much_is_ended(
    bench: Workbench, name: str, expected: tuple[str, dict[str, float]]
) -> None:
    kind, limits = expected

    fault = await fault_of(bench, package(name), **limits)

    assert (fault.stage, fault.kind) == ("build", kind)


SETUP = b"raise SystemExit(1)"
HOSTILE: dict[str, tuple[Callable[[], Sdist], str]] = {
    "climbs": (lambda: raw(tar_gz({"sample-1.0/setup.py": SETUP, "sample-1.0/../../out": b""})), "source.unsafe"),
    "absolute": (lambda: raw(tar_gz({"/tmp/out": b"", "sample-1.0/setup.py": SETUP})), "source.unsafe"),
    "backslash": (lambda: raw(tar_gz({"sample-1.0\\..\\out": b""})), "source.unsafe"),
    "pipe": (lambda: tar_of(entry("sample-1.0/setup.py"), entry("sample-1.0/p", tarfile.FIFOTYPE)), "source.unsafe"),
    "device": (lambda: tar_of(entry("sample-1.0/setup.py"), entry("sample-1.0/d", tarfile.BLKTYPE)), "source.unsafe"),
    "hard link outwards": (lambda: tar_of(entry("sample-1.0/l", tarfile.LNKTYPE, "/etc/passwd")), "source.unsafe"),
    "link outwards": (lambda: tar_of(entry("sample-1.0/l", tarfile.SYMTYPE, "../../etc/passwd")), "source.unsafe"),
    "link then file through it": (
        lambda: tar_of(entry("sample-1.0/l", tarfile.SYMTYPE, "/build"), entry("sample-1.0/l/out")),
        "source.unsafe",
    ),
    "pyproject is a link": (
        lambda: tar_of(entry("sample-1.0/x"), entry("sample-1.0/pyproject.toml", tarfile.SYMTYPE, "x")),
        "source.unsafe",
    ),
    "two folders": (lambda: raw(tar_gz({"sample-1.0/setup.py": SETUP, "other/setup.py": b""})), "source.invalid"),
    "one file": (lambda: raw(tar_gz({"setup.py": SETUP})), "source.invalid"),
    "nothing": (lambda: raw(tar_gz({})), "source.invalid"),
    "no archive": (lambda: raw(b"<html>not found</html>"), "source.invalid"),
    "cut short": (lambda: raw(pure_sdist().data[:200]), "source.invalid"),
    "no zip": (lambda: raw(b"PK\x03\x04", "sample-1.0.zip"), "source.invalid"),
    "other kind": (lambda: raw(b"", "sample-1.0.tar.bz2"), "source.invalid"),
    "huge pyproject": (
        lambda: make_sdist("sample", "1.0", {"pyproject.toml": "#" * (2 << 20)}),
        "source.invalid",
    ),
    "nested pyproject": (
        lambda: make_sdist("sample", "1.0", {"pyproject.toml": "a = " + "[" * 100_000}),
        "source.invalid",
    ),
    "bomb": (lambda: raw(tar_gz({"sample-1.0/setup.py": bytes(200 << 20)})), "source.unsafe"),
}
"""Each is made when its test runs: one is large."""


@pytest.mark.parametrize(("make", "kind"), HOSTILE.values(), ids=HOSTILE)
async def test_archive_that_is_none_or_means_harm_is_refused(
    bench: Workbench, make: Callable[[], Sdist], kind: str
) -> None:
    fault = await fault_of(bench, make())

    assert fault.kind == kind
    assert fault.stage in {"unpack", "plan"}


async def test_links_inside_the_sdist_work(bench: Workbench) -> None:
    whole = pure_sdist("linked")
    packed = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(whole.data)) as old, tarfile.open(fileobj=packed, mode="w:gz") as new:
        for member in old:
            new.addfile(member, old.extractfile(member))
        new.addfile(entry("linked-1.0/docs", tarfile.SYMTYPE, "_intree"))
        new.addfile(entry("linked-1.0/copy.py", tarfile.LNKTYPE, "linked-1.0/linked.py"))

    wheel = await bench.build(dataclasses.replace(whole, data=packed.getvalue()))

    assert wheel.filename == "linked-1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    "fault",
    [
        NeedsBuild("other", "1.0"),
        PackageFault("install", "deps.unresolvable", "nothing fits"),
        InfrastructureFault("infra.upstream", "the index does not answer"),
    ],
)
async def test_what_the_resolver_raises_ends_the_build_and_the_log_is_kept(bench: Workbench, fault: Exception) -> None:
    log = BuildLog()

    with pytest.raises(type(fault)) as caught:
        await bench.build(needy_sdist(["other"]), resolve=Asked(fault=fault), log=log)

    assert caught.value is fault
    assert "the host ends the build" in log.text()


async def test_requirement_that_nobody_has_fails_at_install(bench: Workbench) -> None:
    fault = await fault_of(bench, needy_sdist(["a-project-that-is-not-there"]))

    assert (fault.stage, fault.kind) == ("install", "deps.unresolvable")


@pytest.mark.parametrize("sdist", [pure_sdist(), package("leaves-a-daemon")], ids=["fits-a-pipe", "does-not"])
async def test_wheel_that_is_too_large_is_not_taken(bench: Workbench, sdist: Sdist) -> None:
    log = BuildLog()

    fault = await fault_of(bench, sdist, max_wheel_bytes=100, log=log)

    assert "==> collect" in log.text()
    assert (fault.stage, fault.kind) == ("collect", "limit.output")


async def test_log_tells_the_failure_and_nothing_acts_on_a_terminal(bench: Workbench) -> None:
    log = BuildLog()

    await fault_of(bench, intree_sdist("loud", "1.0", chatter="\x1b[2J\u202e", fail="so it ends"), log=log)

    assert "so it ends" in log.text()
    assert "\\x1b[2J\\u202e" in log.text()
