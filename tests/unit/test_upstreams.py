"""Which of several upstreams a project comes from: in order, decided once, and never past one that fails."""

from __future__ import annotations

import json

import pytest
from tests.fakes.decisions import FakeDecisions
from tests.fakes.upstream import FakeUpstream

from buildthrough.proxy.errors import (
    NotFound,
    StorageFault,
    UnknownProject,
    UpstreamFault,
    UpstreamInvalid,
    UpstreamUnavailable,
)
from buildthrough.proxy.page_answer import PageAnswer
from buildthrough.proxy.upstreams import Member, Upstreams

TYPE = "application/vnd.pypi.simple.v1+json"


def page(name: str, upstream: str, etag: str | None = None) -> PageAnswer:
    body = json.dumps({"meta": {"api-version": "1.0"}, "name": name, "files": []}).encode()
    return PageAnswer(
        body=body, content_type=TYPE, url=f"http://{upstream}/simple/{name}/", etag=etag, last_serial=None,
        upstream=upstream,
    )  # fmt: skip


def names(*projects: str, upstream: str = "", etag: str | None = None) -> PageAnswer:
    body = json.dumps({"meta": {"api-version": "1.0"}, "projects": [{"name": name} for name in projects]}).encode()
    return PageAnswer(body=body, content_type=TYPE, url=f"http://{upstream}/simple/", etag=etag, last_serial=None)


def upstream_of(name: str, *projects: str) -> FakeUpstream:
    made = FakeUpstream()
    for project in projects:
        made.pages[project] = page(project, name)
    made.pages[None] = names(*projects, upstream=name, etag=f'"{name}"')
    return made


@pytest.fixture
def decisions() -> FakeDecisions:
    return FakeDecisions()


async def source(upstreams: Upstreams, project: str) -> str:
    answer = await upstreams.page(project, None)
    assert answer is not None
    return answer.upstream


async def test_the_first_that_has_the_project_wins_and_is_remembered(decisions):
    corp, pypi = upstream_of("corp", "both", "mine"), upstream_of("pypi", "both", "theirs")
    upstreams = Upstreams([Member(name="corp", upstream=corp), Member(name="pypi", upstream=pypi)], decisions)
    assert [await source(upstreams, name) for name in ("both", "mine", "theirs")] == ["corp", "corp", "pypi"]
    assert pypi.asked == [("theirs", None)]
    corp.pages["theirs"] = page("theirs", "corp")
    corp.asked.clear()
    assert await source(upstreams, "theirs") == "pypi"
    assert corp.asked == []
    with pytest.raises(UnknownProject):
        await upstreams.page("nobodys", None)
    assert await decisions.recall("nobodys") is None


@pytest.mark.parametrize("fault", [UpstreamUnavailable("It is down."), UpstreamInvalid("It is mad.")])
async def test_one_that_fails_is_never_passed_by(decisions, fault):
    corp, pypi = upstream_of("corp", "mine"), upstream_of("pypi", "mine", "theirs")
    upstreams = Upstreams([Member(name="corp", upstream=corp), Member(name="pypi", upstream=pypi)], decisions)
    corp.fault = fault
    for name in ("mine", "theirs"):
        with pytest.raises(UpstreamFault) as caught:
            await upstreams.page(name, None)
        assert caught.value is fault
        with pytest.raises(UpstreamFault):
            await upstreams.json_api(name, None, None)
    with pytest.raises(UpstreamFault):
        await upstreams.page(None, None)
    assert pypi.asked == []
    assert decisions.held == {}
    corp.fault = None
    assert [await source(upstreams, name) for name in ("mine", "theirs")] == ["corp", "pypi"]
    corp.fault = fault
    with pytest.raises(UpstreamFault):
        await upstreams.page("mine", None)
    assert await source(upstreams, "theirs") == "pypi"


async def test_a_page_that_is_none_decides_nothing(decisions):
    """A gateway in front of a private index may answer everything with a page of its own, and 200."""
    corp, pypi = upstream_of("corp"), upstream_of("pypi", "theirs")
    corp.pages["theirs"] = PageAnswer(
        body=b'{"error": "maintenance"}', content_type=TYPE, url="http://corp/", etag=None, last_serial=None
    )
    upstreams = Upstreams([Member(name="corp", upstream=corp), Member(name="pypi", upstream=pypi)], decisions)
    with pytest.raises(UpstreamInvalid):
        await upstreams.page("theirs", None)
    assert decisions.held == {}


async def test_what_vanished_where_it_was_is_not_looked_for_elsewhere(decisions):
    corp, pypi = upstream_of("corp", "mine"), upstream_of("pypi", "mine")
    upstreams = Upstreams([Member(name="corp", upstream=corp), Member(name="pypi", upstream=pypi)], decisions)
    assert await source(upstreams, "mine") == "corp"
    del corp.pages["mine"]
    with pytest.raises(UnknownProject):
        await upstreams.page("mine", None)
    with pytest.raises(NotFound):
        await upstreams.json_api("mine", None, None)
    await decisions.forget("mine")
    assert await source(upstreams, "mine") == "pypi"


async def test_a_pinned_project_never_leaves(decisions):
    corp, pypi = upstream_of("corp", "acme-tool"), upstream_of("pypi", "acme-tool", "acme-evil", "six")
    members = [
        Member(name="pypi", upstream=pypi),
        Member(name="corp", upstream=corp, projects=("Acme_*", "exactly"), pinned_only=True),
    ]
    upstreams = Upstreams(members, decisions)
    decisions.held["acme-tool"] = None  # type: ignore[assignment] # a pin asks for no decision
    assert await source(upstreams, "acme-tool") == "corp"
    for name in ("acme-evil", "exactly"):
        with pytest.raises(UnknownProject):
            await upstreams.page(name, None)
    assert pypi.asked == []
    assert await source(upstreams, "six") == "pypi"
    assert ("six", None) not in corp.asked
    with pytest.raises(UnknownProject):
        await upstreams.page("sixteen", None)
    assert ("sixteen", None) not in corp.asked


async def test_the_json_api_decides_too_and_files_are_had_where_they_are_listed(decisions):
    corp, pypi = upstream_of("corp", "mine"), upstream_of("pypi", "theirs")
    pypi.releases["theirs", None] = page("theirs", "pypi")
    corp.releases["theirs", None] = page("theirs", "corp")
    corp.files["http://files/x"], pypi.files["http://files/x"] = b"corp", b"pypi"
    upstreams = Upstreams([Member(name="corp", upstream=corp), Member(name="pypi", upstream=pypi)], decisions)
    answer = await upstreams.json_api("theirs", None, None)
    assert answer is not None
    assert answer.upstream == "pypi"
    assert await decisions.recall("theirs") == "pypi"
    for name in ("corp", "pypi"):
        async with upstreams.file("http://files/x", upstream=name) as file:
            assert b"".join([chunk async for chunk in file.chunks]) == name.encode()
        assert await upstreams.size("http://files/x", upstream=name) == 4


async def test_an_upstream_that_is_in_the_settings_no_longer_is_not_replaced(decisions):
    await decisions.decide("mine", "corp")
    upstreams = Upstreams([Member(name="pypi", upstream=upstream_of("pypi", "mine"))], decisions)
    with pytest.raises(UpstreamUnavailable, match=r"'corp'.*no longer"):
        await upstreams.page("mine", None)
    with pytest.raises(UpstreamUnavailable, match=r"'corp'.*no longer"):
        await upstreams.size("http://files/x", upstream="corp")


async def test_a_decision_that_cannot_be_saved_holds_meanwhile(decisions):
    corp, pypi = upstream_of("corp"), upstream_of("pypi", "theirs")
    upstreams = Upstreams([Member(name="corp", upstream=corp), Member(name="pypi", upstream=pypi)], decisions)
    decisions.fault = StorageFault("The disk is full.")
    assert await source(upstreams, "theirs") == "pypi"
    corp.pages["theirs"] = page("theirs", "corp")
    assert await source(upstreams, "theirs") == "pypi"
    assert decisions.held == {}
    decisions.fault = None
    assert await source(upstreams, "theirs") == "pypi"
    assert await decisions.recall("theirs") == "pypi"


async def test_of_two_who_decide_at_once_one_holds(decisions):
    corp, pypi = upstream_of("corp"), upstream_of("pypi", "both")
    upstreams = Upstreams([Member(name="corp", upstream=corp), Member(name="pypi", upstream=pypi)], decisions)

    async def recall(_project: str) -> None:
        await FakeDecisions.decide(decisions, "both", "corp")  # somebody is quicker, right after we looked

    decisions.recall = recall  # type: ignore[method-assign,assignment] # a moment that a test cannot wait for
    corp.pages["both"] = page("both", "corp")
    del corp.pages["both"]
    with pytest.raises(UnknownProject):
        await upstreams.page("both", None)


async def test_the_list_is_the_union_of_what_can_come_from_each(decisions):
    corp = upstream_of("corp", "Acme.Tool", "six", "not/valid")
    pypi = upstream_of("pypi", "acme-tool", "acme-evil", "Six", "attrs")
    members = [
        Member(name="corp", upstream=corp, projects=("acme-*",)),
        Member(name="pypi", upstream=pypi),
    ]
    upstreams = Upstreams(members, decisions)
    answer = await upstreams.page(None, None)
    assert answer is not None
    listed = json.loads(answer.body)
    assert listed == {
        "meta": {"api-version": "1.0"},
        "projects": [{"name": "Acme.Tool"}, {"name": "six"}, {"name": "attrs"}],
    }
    assert await upstreams.page(None, answer.etag) is None
    pypi.pages[None] = names("attrs", "new", upstream="pypi", etag='"other"')
    changed = await upstreams.page(None, answer.etag)
    assert changed is not None
    assert [one["name"] for one in json.loads(changed.body)["projects"]] == ["Acme.Tool", "six", "attrs", "new"]


async def test_the_list_goes_without_an_index_that_has_none(decisions):
    corp, pypi = upstream_of("corp"), upstream_of("pypi", "six")
    del corp.pages[None]
    upstreams = Upstreams([Member(name="corp", upstream=corp), Member(name="pypi", upstream=pypi)], decisions)
    answer = await upstreams.page(None, None)
    assert answer is not None
    assert [one["name"] for one in json.loads(answer.body)["projects"]] == ["six"]
    assert await upstreams.page(None, answer.etag) is None
    del pypi.pages[None]
    with pytest.raises(UnknownProject):
        await upstreams.page(None, None)
