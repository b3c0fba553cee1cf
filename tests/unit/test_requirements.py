"""Build requirements: the closure of wheels, as pip would choose it, and what is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.fakes.index import FakeIndex

from buildthrough.builders.faults import InfrastructureFault, NeedsBuild, PackageFault
from buildthrough.builders.requirements import ListedFile, ResolutionLimits, resolve
from buildthrough.builders.target import Environment, Interpreter, Target

TARGET = Target(
    environment=Environment(
        implementation="cp", python=(3, 11), abi="cp311", system="manylinux", system_version=(2, 36), arch="x86_64"
    ),
    interpreter=Interpreter(
        executable=Path("/usr/bin/python3"),
        prefixes=(),
        environment=Environment(
            implementation="cp", python=(3, 11), abi="cp311", system="manylinux", system_version=(2, 36), arch="x86_64"
        ),
        markers={
            "implementation_name": "cpython",
            "implementation_version": "3.11.2",
            "os_name": "posix",
            "platform_machine": "x86_64",
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": "3.11.2",
            "python_version": "3.11",
            "sys_platform": "linux",
        },
        has_headers=True,
    ),
)


@pytest.fixture
def index() -> FakeIndex:
    return FakeIndex()


async def chosen(index: FakeIndex, folder: Path, *requirements: str) -> list[str]:
    resolved = await resolve(requirements, target=TARGET, index=index, folder=folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(each.filename for each in resolved)
    return [each.filename for each in resolved]


async def unsatisfied(index: FakeIndex, folder: Path, *requirements: object, kind: str) -> str:
    with pytest.raises(PackageFault) as caught:
        await resolve(requirements, target=TARGET, index=index, folder=folder)
    assert (caught.value.stage, caught.value.kind) == ("requires", kind)
    assert caught.value.line.isprintable()
    assert len(caught.value.line) <= 500
    assert not list(folder.iterdir())
    return caught.value.line


async def test_newest_that_satisfies(index: FakeIndex, tmp_path: Path) -> None:
    for version in ("1.0", "2.0", "3.0"):
        index.add_wheel("tool", version)
    assert await chosen(index, tmp_path, "tool<3") == ["tool-2.0-py3-none-any.whl"]


async def test_closure(index: FakeIndex, tmp_path: Path) -> None:
    index.add_wheel("a", "1.0", requires=["b>=1", 'c; python_version < "3"', 'd; sys_platform == "linux"'])
    index.add_wheel("b", "1.0", requires=["e"])
    for name in "cde":
        index.add_wheel(name, "1.0")
    assert await chosen(index, tmp_path, "a", 'c; os_name == "nt"') == [
        f"{name}-1.0-py3-none-any.whl" for name in "abde"
    ]


async def test_extras_of_all_who_ask(index: FakeIndex, tmp_path: Path) -> None:
    extras = 'Provides-Extra: fast\nProvides-Extra: toml\nRequires-Dist: speed; extra == "fast"\n'
    index.add_wheel("tool", "1.0", metadata_extra=extras + 'Requires-Dist: tomli; extra == "toml"')
    index.add_wheel("other", "1.0", requires=["tool[toml]"])
    index.add_wheel("speed", "1.0")
    index.add_wheel("tomli", "1.0")
    names = await chosen(index, tmp_path, "tool[Fast]", "other")
    assert [name.partition("-")[0] for name in names] == ["other", "speed", "tomli", "tool"]


async def test_goes_back_where_the_newest_do_not_go_together(index: FakeIndex, tmp_path: Path) -> None:
    index.add_wheel("a", "2.0", requires=["c<2"])
    index.add_wheel("a", "1.0", requires=["c"])
    index.add_wheel("b", "1.0", requires=["c>=2"])
    index.add_wheel("c", "1.0")
    index.add_wheel("c", "2.0")
    assert await chosen(index, tmp_path, "a", "b") == [
        "a-1.0-py3-none-any.whl",
        "b-1.0-py3-none-any.whl",
        "c-2.0-py3-none-any.whl",
    ]


async def test_two_spellings_of_one_name(index: FakeIndex, tmp_path: Path) -> None:
    index.add_wheel("zope.interface", "5.0")
    index.add_wheel("zope.interface", "6.0")
    assert await chosen(index, tmp_path, "Zope_Interface", "zope-interface<6") == [
        "zope.interface-5.0-py3-none-any.whl"
    ]


async def test_requires_python(index: FakeIndex, tmp_path: Path) -> None:
    index.add_wheel("tool", "1.0", requires_python=">=3.11.1")
    index.add_wheel("tool", "2.0", requires_python=">=3.11.3")
    index.add_wheel("tool", "3.0", requires_python=">=3.12", listed_python="")
    assert await chosen(index, tmp_path, "tool") == ["tool-1.0-py3-none-any.whl"]


async def test_best_wheel_of_a_version(index: FakeIndex, tmp_path: Path) -> None:
    tags = ("py3-none-any", "cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_28_x86_64")
    for tag in (*tags, "cp311-cp311-manylinux_2_99_x86_64", "cp312-cp312-manylinux_2_17_x86_64"):
        index.add_wheel("tool", "1.0", tag=tag)
    index.add_wheel("tool", "1.0", tag=tags[2], build="2")
    index.add_wheel("tool", "1.0", tag=tags[2], build="10")
    assert await chosen(index, tmp_path, "tool") == [f"tool-1.0-10-{tags[2]}.whl"]


async def test_older_version_where_the_newest_has_no_wheel_here(index: FakeIndex, tmp_path: Path) -> None:
    index.add_wheel("tool", "1.0")
    index.add_sdist("tool", "2.0")
    index.add_wheel("tool", "2.0", tag="cp312-cp312-manylinux_2_17_x86_64")
    assert await chosen(index, tmp_path, "tool") == ["tool-1.0-py3-none-any.whl"]


async def test_pre_releases(index: FakeIndex, tmp_path: Path) -> None:
    index.add_wheel("tool", "1.0")
    index.add_wheel("tool", "2.0rc1")
    index.add_wheel("early", "1.0a1")
    assert await chosen(index, tmp_path, "tool", "early") == [
        "early-1.0a1-py3-none-any.whl",
        "tool-1.0-py3-none-any.whl",
    ]


async def test_pre_release_that_is_asked_for(index: FakeIndex, tmp_path: Path) -> None:
    index.add_wheel("tool", "1.0")
    index.add_wheel("tool", "2.0rc1")
    assert await chosen(index, tmp_path, "tool>=2.0rc1") == ["tool-2.0rc1-py3-none-any.whl"]


@pytest.mark.parametrize("pin", ["tool==2.0", "tool===2.0"])
async def test_yanked_only_when_pinned(index: FakeIndex, tmp_path: Path, pin: str) -> None:
    index.add_wheel("tool", "1.0")
    index.add_wheel("tool", "2.0", yanked=True)
    (tmp_path / "range").mkdir()
    (tmp_path / "pin").mkdir()
    assert await chosen(index, tmp_path / "range", "tool") == ["tool-1.0-py3-none-any.whl"]
    assert await chosen(index, tmp_path / "pin", pin) == ["tool-2.0-py3-none-any.whl"]


async def test_yanked_is_no_answer_to_a_range(index: FakeIndex, tmp_path: Path) -> None:
    index.add_wheel("tool", "2.0", yanked=True)
    index.add_sdist("tool", "2.1", yanked=True)
    for requirement in ("tool", "tool==2.*", "tool==2.1"):
        await unsatisfied(index, tmp_path, requirement, kind="deps.unresolvable")


async def test_sdist_as_the_last_resort(index: FakeIndex, tmp_path: Path) -> None:
    index.add_sdist("tool", "1.0")
    index.add_sdist("tool", "2.0")
    index.add_sdist("tool", "3.0", requires_python=">=3.12")
    with pytest.raises(NeedsBuild) as caught:
        await resolve(["tool"], target=TARGET, index=index, folder=tmp_path)
    assert (caught.value.project, caught.value.version) == ("tool", "2.0")


async def test_wheels_that_go_together_before_an_sdist(index: FakeIndex, tmp_path: Path) -> None:
    index.add_wheel("a", "2.0", requires=["c>=2"])
    index.add_wheel("a", "1.0", requires=["c"])
    index.add_wheel("c", "1.0")
    index.add_sdist("c", "2.0")
    assert await chosen(index, tmp_path, "a") == ["a-1.0-py3-none-any.whl", "c-1.0-py3-none-any.whl"]


async def test_sdist_of_a_requirement_of_a_requirement(index: FakeIndex, tmp_path: Path) -> None:
    index.add_wheel("a", "1.0", requires=["c"])
    index.add_sdist("c", "1.0")
    with pytest.raises(NeedsBuild) as caught:
        await resolve(["a"], target=TARGET, index=index, folder=tmp_path)
    assert caught.value.project == "c"


async def test_says_what_cannot_be_satisfied(index: FakeIndex, tmp_path: Path) -> None:
    index.add_wheel("tool", "1.0")
    index.add_wheel("other", "3.0", requires=["tool>=2"])
    line = await unsatisfied(index, tmp_path, "other", kind="deps.unresolvable")
    assert "tool>=2 (asked for by other 3.0)" in line
    assert "the newest that fits there is 1.0" in line


async def test_says_which_project_is_unknown(index: FakeIndex, tmp_path: Path) -> None:
    line = await unsatisfied(index, tmp_path, "Private_Thing>=1", kind="deps.unresolvable")
    assert line == "the index has no project private-thing: Private_Thing>=1 (asked for by the build)"


async def test_wheel_with_malformed_metadata_is_passed_over(index: FakeIndex, tmp_path: Path) -> None:
    index.add_wheel("tool", "1.0")
    index.add_wheel("tool", "2.0", requires=["a b c"])
    index.add_wheel("tool", "3.0", requires=["evil @ file:///etc/passwd"])
    assert await chosen(index, tmp_path, "tool") == ["tool-1.0-py3-none-any.whl"]


REFUSED = [
    "x @ file:///etc/passwd",
    "x @ http://169.254.169.254/latest",
    "git+ssh://git@example.org/x",
    "--index-url=http://example.org/",
    "-r/etc/passwd",
    "-e .",
    "./folder",
    "/etc/passwd",
    "x\n--index-url=http://example.org/",
    "x\x00",
    "",
    "x" * 1001,
    'x; nonsense == "1"',
    7,
    None,
    ["x"],
]


@pytest.mark.parametrize("requirement", REFUSED, ids=lambda value: ascii(value)[:30])
async def test_refused_without_a_question(index: FakeIndex, tmp_path: Path, requirement: object) -> None:
    index.add_wheel("x", "1.0")
    await unsatisfied(index, tmp_path, requirement, kind="requires.refused")
    assert index.asked == []


async def test_too_many(index: FakeIndex, tmp_path: Path) -> None:
    await unsatisfied(index, tmp_path, *(f"x{number}" for number in range(5000)), kind="requires.refused")
    assert index.asked == []


async def test_too_large_together(index: FakeIndex, tmp_path: Path) -> None:
    index.add_wheel("tool", "1.0")
    with pytest.raises(PackageFault) as caught:
        await resolve(["tool"], target=TARGET, index=index, folder=tmp_path, limits=ResolutionLimits(total_bytes=100))
    assert caught.value.kind == "limit.disk"


async def test_too_large_together_with_what_was_fetched_before(index: FakeIndex, tmp_path: Path) -> None:
    """A build may ask again and again, for another version each time; the same ones count once."""
    index.add_wheel("tool", "1.0")
    limits = ResolutionLimits(total_bytes=100_000)
    for _ in range(3):
        await resolve(["tool"], target=TARGET, index=index, folder=tmp_path, limits=limits)
    (tmp_path / "other.whl").write_bytes(bytes(100_000))
    with pytest.raises(PackageFault) as caught:
        await resolve(["tool"], target=TARGET, index=index, folder=tmp_path, limits=limits)
    assert caught.value.kind == "limit.disk"


async def test_too_many_wheels(index: FakeIndex, tmp_path: Path) -> None:
    for number in range(6):
        index.add_wheel(f"x{number}", "1.0", requires=[f"x{number + 1}"] if number < 5 else [])
    for limits in (ResolutionLimits(wheels=5), ResolutionLimits(projects=5), ResolutionLimits(metadata=4)):
        with pytest.raises(PackageFault) as caught:
            await resolve(["x0"], target=TARGET, index=index, folder=tmp_path, limits=limits)
        assert caught.value.kind == "deps.unresolvable"


async def test_index_that_is_down_is_not_the_package_s_fault(index: FakeIndex, tmp_path: Path) -> None:
    index.down = True
    with pytest.raises(InfrastructureFault):
        await resolve(["tool"], target=TARGET, index=index, folder=tmp_path)


async def test_cancelled_while_fetching(index: FakeIndex, tmp_path: Path) -> None:
    for number in range(8):
        index.add_wheel(f"x{number}", "1.0")
    fetching = ended = 0

    class Slow(FakeIndex):
        async def fetch(self, project: str, file: ListedFile, folder: Path) -> Path:
            nonlocal fetching, ended
            fetching += 1
            try:
                await asyncio.sleep(60)
            finally:
                ended += 1
            return folder

    slow = Slow()
    slow._held = index._held
    task = asyncio.ensure_future(
        resolve([f"x{number}" for number in range(8)], target=TARGET, index=slow, folder=tmp_path)
    )
    while fetching < 4:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (fetching, ended) == (4, 4)


async def test_same_answer_twice(index: FakeIndex, tmp_path: Path) -> None:
    for name in ("c", "a", "b"):
        index.add_wheel(name, "1.0")
    answers = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        answers.append(await resolve(["b", "c", "a"], target=TARGET, index=index, folder=folder))
    assert answers[0] == answers[1]
    assert [each.project for each in answers[0]] == ["a", "b", "c"]


async def test_nothing(index: FakeIndex, tmp_path: Path) -> None:
    assert await resolve([], target=TARGET, index=index, folder=tmp_path) == ()
