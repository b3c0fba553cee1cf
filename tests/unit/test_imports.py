"""Which modules of a wheel are imported, and what counts against it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildthrough.builders.build_log import plain_line
from buildthrough.builders.facts import ImportCheck, ImportedModule
from buildthrough.builders.imports import MOST_MODULES, judge, judge_all, modules_of, sentence

INFO = "demo-1.0.dist-info"


@pytest.mark.parametrize(
    ("project", "files", "modules"),
    [
        ("demo", ["demo.py"], ("demo",)),
        ("demo", ["demo/__init__.py", "demo/part.py", f"{INFO}/METADATA", f"{INFO}/top_level.txt"], ("demo",)),
        ("py-demo", ["b.py", "a/__init__.py", "py_demo/__init__.py"], ("py_demo", "a", "b")),
        ("demo", ["_demo.cpython-311-x86_64-linux-gnu.so", "demo.abi3.so", "plain.so"], ("demo", "_demo", "plain")),
        ("demo", ["demo/__init__.cpython-311-x86_64-linux-gnu.so"], ("demo",)),
        ("demo", ["demo-1.0.data/purelib/a.py", "demo-1.0.data/platlib/b/__init__.py"], ("a", "b")),
        ("demo", ["demo-1.0.data/scripts/demo.py", "demo-1.0.data/data/c.py"], ()),
        ("google-cloud-x", ["google/cloud/x/__init__.py", "google/cloud/x_v1/__init__.py"],
         ("google.cloud.x", "google.cloud.x_v1")),
        ("demo", ["space/part.py", "space/sub/__init__.py"], ("space.part", "space.sub")),
        ("demo", ["a/b/c/d/e/__init__.py"], ()),
        ("demo", ["share/doc.txt", "demo-stubs/__init__.pyi", "demo.pyi", "demo.pth", "demo.libs/libz-1.so.1"], ()),
        ("demo", ["tests/__init__.py", "test_demo.py", "setup.py", "conftest.py", "docs/conf.py", "demo.py"],
         ("demo",)),
        ("tests", ["tests/__init__.py"], ("tests",)),
        ("demo", ["__init__.py", "__main__.py", "class.py", "1st.py", "a-b.py", "sitecustomize.py"], ()),
    ],
)  # fmt: skip
def test_modules_of_a_wheel(project: str, files: list[str], modules: tuple[str, ...]) -> None:
    assert modules_of(files, project) == modules


def test_modules_are_bounded_and_the_projects_own_come_first() -> None:
    modules = modules_of([f"m{number}.py" for number in range(500)] + ["zdemo.py"], "zdemo")

    assert len(modules) == MOST_MODULES
    assert modules[0] == "zdemo"


def raised(kind: str, line: str, **more: object) -> dict[str, Any]:
    return {"module": "demo", "type": kind, "line": line, "missing": "", "environ": False, **more}


@pytest.mark.parametrize(
    ("said", "kind", "excused"),
    [
        ({"module": "demo", "imported": True}, "", ""),
        ({"module": "demo", "late": True}, "import.time", ""),
        ({"module": "demo", "ended": 139}, "import.exit", ""),
        ({"module": "demo", "ended": [1]}, "import.exit", ""),
        (raised("SystemExit", "2"), "import.exit", ""),
        (raised("RuntimeError", "no"), "import.failed", ""),
        (raised("ImportError", "libfoo.so.1: cannot open shared object file: No such file"), "import.library", ""),
        (raised("ImportError", "libcuda.so.1: cannot open shared object file"), "import.library", "device"),
        (raised("OSError", "libfoo.so.1: cannot open shared object file"), "import.library", "library"),
        (raised("ImportError", "/x/demo.so: undefined symbol: foo"), "import.symbol", ""),
        (raised("ModuleNotFoundError", "No module named 'six'", missing="six"), "import.dependency", ""),
        (raised("ModuleNotFoundError", "No module named 'demo.x'", missing="demo.x"), "import.failed", ""),
        (raised("ModuleNotFoundError", "No module named 'urllib2'", missing="urllib2"), "import.python", ""),
        (raised("ModuleNotFoundError", "No module named 'imp'", missing="imp"), "import.python", ""),
        (raised("ModuleNotFoundError", "No module named 'winreg'", missing="winreg"), "import.platform", ""),
        (raised("ModuleNotFoundError", "No module named 'pkg_resources'", missing="pkg_resources"),
         "import.dependency", "environment"),
        (raised("SyntaxError", "Missing parentheses in call to 'print'"), "import.python", ""),
        (raised("ImportError", "cannot import name 'Mapping' from 'collections' (x)"), "import.python", ""),
        (raised("AttributeError", "module 'collections' has no attribute 'Mapping'"), "import.python", ""),
        (raised("TclError", "no display name and no $DISPLAY environment variable"), "import.failed", "display"),
        (raised("gaierror", "[Errno -3] Temporary failure in name resolution"), "import.failed", "network"),
        (raised("FileNotFoundError", "[Errno 2] No such file or directory: '/dev/i2c-1'"), "import.failed", "device"),
        (raised("RuntimeError", "This module can only be run on a Raspberry Pi!"), "import.failed", "device"),
        (raised("KeyError", "'TOKEN'", environ=True), "import.failed", "setting"),
        (raised("KeyError", "'TOKEN'"), "import.failed", ""),
        (raised("ImproperlyConfigured", "Requested setting DEBUG"), "import.failed", "setting"),
    ],
)  # fmt: skip
def test_what_an_import_that_failed_means(said: dict[str, Any], kind: str, excused: str) -> None:
    judged = judge(said, ["demo"])

    assert judged is not None
    assert (judged.module, judged.kind, judged.excused) == ("demo", kind, excused)
    assert bool(judged.line) == bool(kind)


def test_library_beside_the_modules_is_no_module() -> None:
    line = "dynamic module does not define module export function (PyInit_libdemo)"

    assert judge(raised("ImportError", line), ["demo"]) is None


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ([{"module": "a", "imported": True}], "imported"),
        ([{"module": "a", "imported": True}, {"module": "b", "late": True}], "failed"),
        ([{"module": "a", "imported": True}, raised("gaierror", "no")], "excused"),
        ([{"module": "a", "late": True}, raised("gaierror", "no")], "failed"),
        ([raised("ImportError", "dynamic module does not define module export function")], "nothing"),
    ],
)
def test_verdict_on_all_modules(results: list[dict[str, Any]], verdict: str) -> None:
    found = judge_all(results, ["a", "demo"], unchecked="", dependencies=())

    assert found.verdict == verdict
    assert sentence(found).isprintable()


def test_line_of_a_stranger_is_made_safe() -> None:
    judged = judge(raised("Evil\x1b", "two\nlines \x1b[31m" + "x" * 5000), ["demo"])

    assert judged is not None
    assert judged.line.isprintable()
    assert len(judged.line) <= 500


def test_sentence_says_why_nothing_was_imported() -> None:
    assert sentence(ImportCheck(verdict="nothing")) == "not imported: the wheel holds no module"
    assert sentence(ImportCheck(verdict="unchecked", line="so")) == "not imported: so"
    told = ImportCheck(verdict="imported", modules=(ImportedModule(module="a"),))
    assert sentence(told) == "import a: ok"


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["imported", "late", "ended", "type", "line", "missing", "environ"]), st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.text(), max_size=2))))  # fmt: skip
def test_whatever_a_stranger_says_is_judged(said: dict[str, Any]) -> None:
    judged = judge({**said, "module": "demo"}, ["demo"])

    if judged is not None:
        assert judged.line == plain_line(judged.line)
        assert bool(judged.kind) == bool(judged.line)
