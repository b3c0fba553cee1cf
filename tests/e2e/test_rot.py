"""What today's build requirements cannot build any more is built with those of its own time, in one build."""

from __future__ import annotations

import pytest
from tests.fakes.sdists import needy_sdist
from tests.fakes.wheels import make_wheel

BROKEN = "raise AttributeError(\"module 'pkgutil' has no attribute 'ImpImporter'\")\n"
SDIST = "oldie-1.0.tar.gz"


@pytest.fixture
def tool(pypi, tmp_path):
    """List a tool that moved on: what was right in 2015 is wrong since 2022."""
    for version, uploaded, source in (
        ("1.0", "2014-01-01T00:00:00Z", "ANSWER = 1\n"),
        ("1.1", "2015-01-01T00:00:00Z", "ANSWER = 1\n"),
        ("2.0", "2022-01-01T00:00:00Z", BROKEN),
    ):
        wheel = make_wheel(tmp_path, name="tool", version=version, files={"tool.py": source})
        pypi.add("tool", wheel.name, wheel.read_bytes(), upload_time=uploaded)


def ask_for(pypi, server, agent, uploaded: str) -> None:
    made = needy_sdist(["tool"], "oldie", imports=["tool"])
    pypi.add("oldie", SDIST, made.data, upload_time=uploaded)
    server.download("oldie", SDIST, user_agent=agent)


@pytest.mark.usefixtures("tool")
def test_old_sdist_is_built_with_what_was_there_then(pypi, server, pip_agent):
    ask_for(pypi, server, pip_agent, "2015-06-01T00:00:00Z")
    build = server.wait_for_build("oldie", "SUCCEEDED")
    assert build["time_cut"] == "2015-06-01T00:00:00+00:00"
    assert build["attempts"] == 1
    assert [each["id"] for each in server.builds("oldie")] == [build["id"]]
    log = server.build_log(build["id"])
    assert "ImpImporter" in log
    assert "once more, with build requirements as of 2015-06-01" in log
    assert "[build requirement tool-1.1-py3-none-any.whl " in log
    record = server.ask(server.listed("oldie")[build["wheel"]]["url"] + ".provenance.json").json
    definition = record["predicate"]["buildDefinition"]
    assert definition["internalParameters"]["timeCut"] == "2015-06-01T00:00:00Z"
    assert "tool-1.1-py3-none-any.whl" in [each["name"] for each in definition["resolvedDependencies"]]
    shown = server.run("builds", "--project", "oldie")
    assert "(time-cut to 2015-06-01)" in shown.stdout


@pytest.mark.usefixtures("tool")
def test_new_sdist_is_told_the_failure_of_today(pypi, server, pip_agent):
    ask_for(pypi, server, pip_agent, "2023-06-01T00:00:00Z")
    build = server.wait_for_build("oldie", "FAILED")
    assert build["time_cut"] is None
    assert "ImpImporter" in build["line"]
    assert "the index of that time gives the same build requirements" in server.build_log(build["id"])


def test_failure_of_both_ages_says_that_both_were_tried(pypi, server, pip_agent, tmp_path):
    for version, uploaded in (("1.0", "2014-01-01T00:00:00Z"), ("2.0", "2022-01-01T00:00:00Z")):
        wheel = make_wheel(tmp_path, name="tool", version=version, files={"tool.py": BROKEN})
        pypi.add("tool", wheel.name, wheel.read_bytes(), upload_time=uploaded)
    ask_for(pypi, server, pip_agent, "2015-06-01T00:00:00Z")
    build = server.wait_for_build("oldie", "FAILED")
    assert build["time_cut"] == "2015-06-01T00:00:00+00:00"
    assert build["line"].endswith("(tried with build requirements of 2015-06-01 as well)")


def test_chain_of_requirements_is_shown(pypi, server, pip_agent):
    for name, requires in (("top", ["middle"]), ("middle", ["bottom"]), ("bottom", [])):
        made = needy_sdist(requires, name)
        pypi.add(name, made.filename, made.data)
    server.download("top", "top-1.0.tar.gz", user_agent=pip_agent)
    server.wait_for_build("top", "SUCCEEDED")  # three builds one after another
    chains = {build["project"]: build["chain"] for build in server.builds()}
    assert chains == {"top": [], "middle": ["top==1.0"], "bottom": ["top==1.0", "middle==1.0"]}
    (bottom,) = server.builds("bottom")
    assert "[a build requirement of top==1.0 -> middle==1.0]" in server.build_log(bottom["id"])
    assert "(for top==1.0 -> middle==1.0)" in server.run("builds").stdout
    record = server.ask(server.listed("bottom")[bottom["wheel"]]["url"] + ".provenance.json").json
    assert record["predicate"]["buildDefinition"]["internalParameters"]["chain"] == ["top==1.0", "middle==1.0"]


def test_chain_without_end_ends(pypi, server, pip_agent):
    for number in range(12):
        made = needy_sdist([f"link{number + 1}"], f"link{number}")
        pypi.add(f"link{number}", made.filename, made.data)
    server.download("link0", "link0-1.0.tar.gz", user_agent=pip_agent)
    build = server.wait_for_build("link0", "FAILED")
    assert build["fault"] == "deps.build-failed"
    deepest = server.builds()[0]
    assert (deepest["project"], deepest["fault"]) == ("link7", "deps.depth")
    assert "link0==1.0 -> link1==1.0" in deepest["line"]
    assert "link7==1.0 -> link8==1.0" in deepest["line"]


def test_cycle_names_its_links(pypi, server, pip_agent):
    for name, requires in (("one", ["two"]), ("two", ["three"]), ("three", ["one"])):
        made = needy_sdist(requires, name)
        pypi.add(name, made.filename, made.data)
    server.download("one", "one-1.0.tar.gz", user_agent=pip_agent)
    server.wait_for_build("one", "FAILED")
    (last,) = server.builds("three")
    assert last["fault"] == "deps.cycle"
    assert last["line"].endswith("three==1.0 -> one==1.0 -> two==1.0 -> three==1.0")
