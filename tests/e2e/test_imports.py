"""A wheel that cannot be imported is not listed; one that can is, imported beside what our own index has for it."""

from __future__ import annotations

from tests.fakes.wheels import make_wheel
from tests.sandbox.workbench import package

SDIST = "sample-1.0.tar.gz"


def ask_for(pypi, server, agent, name: str) -> None:
    pypi.add("sample", SDIST, package(name).data)
    server.download("sample", SDIST, user_agent=agent)


def test_wheel_that_cannot_be_imported_is_kept_and_not_listed(pypi, server, pip_agent):
    ask_for(pypi, server, pip_agent, "fails-at-import")
    build = server.wait_for_build("sample", "FAILED")
    assert (build["fault"], build["stage"]) == ("import.failed", "check")
    assert build["line"] == "import sample: RuntimeError: the build forgot a file"
    assert build["findings"]["imported"]["verdict"] == "failed"
    assert build["unlisted"] == "sample-1.0-py3-none-any.whl"
    shown = server.run("builds", "--project", "sample").stdout
    assert "its wheel is kept, and listed for nobody" in shown
    assert "skip_import" in shown  # what can be done about it
    assert list(server.listed("sample")) == [SDIST]


def test_wheel_is_imported_beside_what_the_index_has(pypi, server, pip_agent, tmp_path):
    files = {"packaging/__init__.py": "", "packaging/version.py": "VERSION = 1\n"}
    wheel = make_wheel(tmp_path, name="packaging", version="20.0", files=files)
    pypi.add("packaging", wheel.name, wheel.read_bytes())
    ask_for(pypi, server, pip_agent, "imports-what-it-requires")
    build = server.wait_for_build("sample", "SUCCEEDED")
    imported = build["findings"]["imported"]
    assert (imported["verdict"], [module["kind"] for module in imported["modules"]]) == ("imported", [""])
    assert [each["filename"] for each in imported["dependencies"]] == [wheel.name]
    record = server.ask(f"{build['url']}.provenance.json")
    assert b'"imported"' in record.body


def test_dependency_without_a_wheel_is_said_and_not_built(pypi, server, pip_agent):
    pypi.add("packaging", "packaging-20.0.tar.gz", package("intree", project="packaging", version="20.0").data)
    ask_for(pypi, server, pip_agent, "imports-what-it-requires")
    build = server.wait_for_build("sample", "SUCCEEDED")
    imported = build["findings"]["imported"]
    assert imported["verdict"] == "unchecked"
    assert imported["line"] == "it requires packaging==20.0, which has no wheel here"
    assert server.builds("packaging") == []
