"""Wheels are installed and imported in the real sandbox: what keeps a wheel from publication, and what does not."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from tests.fakes.wheels import make_wheel
from tests.sandbox.workbench import WHEELS, Workbench, package, workbench

from buildthrough.builders.build_log import BuildLog
from buildthrough.builders.facts import ImportCheck, UsedWheel
from buildthrough.builders.faults import InfrastructureFault, NeedsBuild, PackageFault
from buildthrough.builders.import_check import ImportRule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    with workbench() as bench:
        yield bench


async def packaging(requirements: Sequence[str], folder: Path) -> tuple[UsedWheel, ...]:
    """Answer every requirement with packaging's wheel."""
    assert all(each.startswith("packaging") for each in requirements)
    wheel = next(WHEELS.glob("packaging-*.whl"))
    shutil.copyfile(wheel, folder / wheel.name)
    (folder / wheel.name).chmod(0o600)
    return (UsedWheel(project="packaging", version="1", filename=wheel.name, sha256=None),)


async def imported(bench: Workbench, name: str, **rule: object) -> tuple[ImportCheck, str]:
    """Return what a build learnt of the import, and its log."""
    log = BuildLog()
    rule = {"resolve": packaging, "seconds": 60} | rule
    await bench.build(package(name), log=log, import_rule=ImportRule(**rule))
    assert log.facts.imported is not None
    return log.facts.imported, log.text()


async def refused(bench: Workbench, name: str, **options: object) -> PackageFault:
    log = BuildLog()
    seconds = options.pop("seconds", 60)
    with pytest.raises(PackageFault) as caught:
        await bench.build(package(name), log=log, import_rule=ImportRule(resolve=packaging, seconds=seconds), **options)
    assert caught.value.stage == "check"
    assert caught.value.line.isprintable()
    return caught.value


async def test_modules_of_the_project_are_imported_and_its_tests_are_not(bench: Workbench) -> None:
    found, log = await imported(bench, "imports-well")

    assert found.verdict == "imported"
    assert [module.module for module in found.modules] == ["sample"]
    assert "import sample: ok" in log


async def test_every_target_imports_what_it_built(bench: Workbench) -> None:
    for target in bench.kit.targets:
        log = BuildLog()
        await bench.build(
            package("imports-well"), target=target, log=log, import_rule=ImportRule(resolve=packaging, seconds=60)
        )
        assert log.facts.imported is not None
        assert log.facts.imported.verdict == "imported", target.slug


@pytest.mark.parametrize(
    ("name", "kind", "line"),
    [
        ("fails-at-import", "import.failed", "import sample: RuntimeError: the build forgot a file"),
        ("exits-at-import", "import.exit", "import sample: SystemExit: 0"),
        ("vanishes-at-import", "import.exit", "import sample: it ends the interpreter (exit code 0)"),
        ("crashes-at-import", "import.exit", "import sample: it crashes the interpreter (signal 11)"),
        ("is-for-python-2", "import.python", "import sample: ModuleNotFoundError: No module named 'ConfigParser'"),
        (
            "imports-what-it-does-not-require",
            "import.dependency",
            "import sample: ModuleNotFoundError: No module named 'packaging'",
        ),
        (
            "speaks-for-the-import-check",
            "import.exit",
            "import sample: it ends the interpreter (exit code 0)",
        ),
    ],
)
async def test_module_that_cannot_be_imported_keeps_its_wheel_from_publication(
    bench: Workbench, name: str, kind: str, line: str
) -> None:
    fault = await refused(bench, name)

    assert (fault.kind, fault.line) == (kind, line)
    assert fault.wheel is not None


async def test_import_that_does_not_end_is_ended(bench: Workbench) -> None:
    fault = await refused(bench, "hangs-at-import", seconds=1)

    assert (fault.kind, fault.line) == ("import.time", "import sample: it does not come to an end")


async def test_import_that_eats_memory_is_ended(bench: Workbench) -> None:
    fault = await refused(bench, "eats-memory-at-import", memory_bytes=128 << 20)

    assert fault.kind in {"limit.memory", "import.exit"}


async def test_import_that_prints_much_is_heard_and_cut(bench: Workbench) -> None:
    log = BuildLog()

    rule = ImportRule(resolve=packaging, seconds=60)
    await bench.build(package("floods-at-import"), log=log, import_rule=rule, log_bytes=100_000)

    assert log.facts.imported is not None
    assert log.facts.imported.verdict == "imported"
    assert len(log.text()) < 300_000
    assert "\x1b" not in log.text()


async def test_what_an_import_leaves_behind_is_dead_before_the_next_one(bench: Workbench) -> None:
    found, _ = await imported(bench, "leaves-a-daemon-at-import")

    assert [(module.module, module.kind) for module in found.modules] == [("first", ""), ("second", "")]


async def test_module_can_lie_about_itself_and_about_nothing_else(bench: Workbench) -> None:
    found, _ = await imported(bench, "lies-about-its-import")

    assert found.verdict == "imported"


async def test_what_the_wheel_requires_is_installed_beside_it(bench: Workbench) -> None:
    found, _ = await imported(bench, "imports-what-it-requires")

    assert found.verdict == "imported"
    assert [wheel.project for wheel in found.dependencies] == ["packaging"]


async def test_dependency_that_moved_on_is_tried_as_of_the_upload(bench: Workbench) -> None:
    async def moved_on(requirements: Sequence[str], folder: Path) -> tuple[UsedWheel, ...]:
        wheel = make_wheel(folder, name="packaging", version="99", files={"packaging/__init__.py": ""})
        return (UsedWheel(project="packaging", version="99", filename=wheel.name, sha256=None),)

    found, log = await imported(bench, "imports-what-it-requires", resolve=moved_on, resolve_then=packaging)

    assert found.verdict == "imported"
    assert [wheel.version for wheel in found.dependencies] == ["1"]
    assert found.line == "beside what it requires as of its upload; with that of today it fails"
    assert "once more, beside what there was when it was uploaded" in log

    with pytest.raises(PackageFault) as caught:
        await imported(bench, "imports-what-it-requires", resolve=moved_on, resolve_then=moved_on)
    assert caught.value.kind == "import.dependency"


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (NeedsBuild("packaging", "20.0"), "it requires packaging==20.0, which has no wheel here"),
        (
            PackageFault("requires", "deps.unresolvable", "no such thing"),
            "what it requires cannot be had: no such thing",
        ),
    ],
)
async def test_wheel_whose_dependencies_cannot_be_had_is_published_unchecked(
    bench: Workbench, fault: Exception, line: str
) -> None:
    async def resolve(requirements: Sequence[str], folder: Path) -> tuple[UsedWheel, ...]:
        raise fault

    found, log = await imported(bench, "imports-what-it-requires", resolve=resolve)

    assert found == ImportCheck(verdict="unchecked", line=line)
    assert f"[not imported: {line}]" in log


async def test_fault_of_ours_is_not_held_against_the_wheel(bench: Workbench) -> None:
    async def resolve(requirements: Sequence[str], folder: Path) -> tuple[UsedWheel, ...]:
        raise InfrastructureFault("infra.index", "upstream is down")

    with pytest.raises(InfrastructureFault):
        await imported(bench, "imports-what-it-requires", resolve=resolve)


@pytest.mark.parametrize(
    ("name", "excused", "kind"),
    [
        ("wants-a-display", "display", "import.failed"),
        ("wants-a-variable", "setting", "import.failed"),
        ("wants-the-network-at-import", "network", "import.failed"),
        ("loads-a-library-that-is-not-there", "library", "import.library"),
    ],
)
async def test_what_no_sandbox_has_is_not_held_against_the_wheel(
    bench: Workbench, name: str, excused: str, kind: str
) -> None:
    found, log = await imported(bench, name)

    assert found.verdict == "excused"
    assert [(module.kind, module.excused) for module in found.modules] == [(kind, excused)]
    assert f"excused ({excused})" in log


async def test_wheel_without_a_module_has_nothing_to_import(bench: Workbench) -> None:
    found, _ = await imported(bench, "has-no-module")

    assert found == ImportCheck(verdict="nothing")


async def test_rule_names_the_modules_or_skips_the_check(bench: Workbench) -> None:
    named, _ = await imported(bench, "imports-well", modules=("sample.part",))
    skipped, _ = await imported(bench, "fails-at-import", skip="its import asks for a licence")

    assert [module.module for module in named.modules] == ["sample.part"]
    assert skipped == ImportCheck(verdict="unchecked", line="its import asks for a licence")
