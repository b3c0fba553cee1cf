"""The index as it was: ``/at/<time>/`` and ``upstream.exclude_newer``, on pages and files alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import urljoin

import pytest
from tests.fakes.faults import Fault
from tests.fakes.pypi import FakePyPI
from tests.fakes.sdists import pure_sdist
from tests.fakes.wheels import make_wheel
from tests.integration.assembled import HTML, JSON, PIP, serving

from buildthrough.config.schema import SettingsError
from buildthrough.proxy import screens
from buildthrough.proxy.cutoff import written

MAY = "2024-05-01T00:00:00Z"
OLD, NEW = "demo-1.0.tar.gz", "demo-2.0.tar.gz"
WHEEL = "demo-1.0-py3-none-any.whl"


def fill(pypi, folder):
    """List an sdist of April, a wheel of its version of June, and a second version of June."""
    wheel = make_wheel(folder, name="demo", version="1.0")
    pypi.add("demo", OLD, pure_sdist("demo").data, upload_time="2024-04-30T23:59:59.999999Z")
    pypi.add("demo", wheel.name, wheel.read_bytes(), upload_time="2024-06-01T00:00:00.000000Z")
    pypi.add("demo", NEW, pure_sdist("demo", "2.0").data, upload_time="2024-06-02T00:00:00.000000Z")
    return pypi


@pytest.fixture
def demo(pypi, tmp_path):
    return fill(pypi, tmp_path)


async def names(site, prefix=""):
    return sorted(entry["filename"] for entry in (await site.page("demo", prefix))["files"])


async def test_the_index_as_it_was(demo, site):
    assert await names(site, f"/at/{MAY}") == [OLD]
    assert await names(site, "/at/2024-06-01T12:00:00Z") == sorted([OLD, WHEEL])
    assert await names(site, "/at/2024-06-03T00:00:00Z") == sorted([OLD, WHEEL, NEW])
    assert await names(site, "/at/2020-01-01T00:00:00Z") == []
    assert await names(site) == sorted([OLD, WHEEL, NEW])


async def test_what_was_uploaded_at_the_very_moment_is_not_before_it(demo, site):
    assert await names(site, "/at/2024-06-01T00:00:00Z") == [OLD]
    assert await names(site, "/at/2024-06-01T00:00:00.000001Z") == sorted([OLD, WHEEL])


async def test_versions_that_were_not_there_yet_are_not_named(demo, site):
    assert (await site.page("demo", f"/at/{MAY}"))["versions"] == ["1.0"]
    assert (await site.page("demo", "/at/2020-01-01T00:00:00Z"))["versions"] == []


@pytest.mark.parametrize("form", ["json", "html"])
@pytest.mark.parametrize("wanted", [JSON, HTML])
async def test_both_forms_whichever_upstream_sends(tmp_path, form, wanted):
    """In HTML there are no times of upload: upstream's JSON API says them."""
    with FakePyPI(form=form) as pypi:
        fill(pypi, tmp_path)
        async with serving(pypi.simple, tmp_path) as site:
            page = await site.ask(f"/at/{MAY}/simple/demo/", Accept=wanted)
            assert (page.status, page.headers["Content-Type"]) == (200, wanted)
            assert (OLD.encode() in page.body, WHEEL.encode() in page.body, NEW.encode() in page.body) == (
                True,
                False,
                False,
            )
            assert (
                await site.ask(f"/at/{MAY}/simple/demo/", Accept=wanted, If_None_Match=page.headers["ETag"])
            ).status == 304


async def test_files_of_the_page_are_below_its_time(demo, site):
    base = f"{site.url}at/{MAY}/simple/demo/"
    (entry,) = (await site.page("demo", f"/at/{MAY}"))["files"]
    url = urljoin(base, entry["url"])
    assert url.startswith(f"{site.url}at/{MAY}/files/demo/packages/")
    assert (await site.ask(url)).body == pure_sdist("demo").data
    assert (await site.ask(url, "HEAD")).headers["Content-Length"] == str(entry["size"])


async def test_a_file_that_was_not_there_yet_is_refused(demo, site):
    for filename in (WHEEL, NEW):
        path = f"files/demo/{demo.file(filename).path}"
        for suffix in ("", ".metadata") if filename == WHEEL else ("",):
            answer = await site.ask(f"/at/{MAY}/{path}{suffix}")
            assert answer.status == 403
            assert f"{filename} is hidden by a cut-off" in answer.sentence
            assert MAY in answer.sentence
            assert (await site.ask(f"/{path}{suffix}")).status == 200
    assert demo.count("/packages/*2.0*") == 1  # the one that was allowed


@pytest.mark.parametrize(
    "spelling",
    [
        "2024-05-01T00:00:00+00:00",
        "2024-05-01T02:00:00%2B02:00",
        "2024-04-30T16:00:00-08:00",
        "2024-05-01t00:00:00z",
        "2024-05-01T00:00:00.000Z",
        "2024-05-01%2000:00:00Z",
    ],
)
async def test_one_address_for_one_time(demo, site, spelling):
    for path in ("simple/demo/", "simple/", "simple/demo", "simple"):
        moved = await site.ask(f"/at/{spelling}/{path}?a=b%2Bc", Accept=JSON)
        assert moved.status == 301
        target = urljoin(f"/at/{spelling}/{path}", moved.headers["Location"])
        if not path.endswith("/"):
            target = urljoin(target, (await site.ask(target)).headers["Location"])
        assert target == f"/at/{MAY}/{path.rstrip('/')}/?a=b%2Bc"
    file = await site.ask(f"/at/{spelling}/files/demo/{demo.file(OLD).path}")
    assert file.status == 200


@pytest.mark.parametrize("spelling", [MAY, MAY.replace(":", "%3A"), MAY.replace(":", "%3a"), MAY.replace("-", "%2D")])
async def test_how_it_is_encoded_makes_no_difference(demo, site, spelling):
    page = await site.ask(f"/at/{spelling}/simple/demo/", Accept=JSON)
    assert (page.status, len(page.json["files"])) == (200, 1)


async def test_names_have_one_spelling_there_too(demo, site):
    for path, target in (("simple/Demo/", "simple/demo/"), ("simple/demo", "simple/demo/"), ("simple", "simple/")):
        moved = await site.ask(f"/at/{MAY}/{path}")
        assert moved.status == 301
        assert urljoin(f"/at/{MAY}/{path}", moved.headers["Location"]) == f"/at/{MAY}/{target}"


@pytest.mark.parametrize(
    "spelling", ["2024-05-01", "yesterday", "2024-02-30T00:00:00Z", "2024-05-01T00:00:00", "1714521600", "7%20days"]
)
@pytest.mark.parametrize("path", ["simple/demo/", "simple/", "files/demo/x/demo-1.0.tar.gz"])
async def test_what_is_no_time(demo, site, spelling, path):
    answer = await site.ask(f"/at/{spelling}/{path}")
    assert answer.status == 400
    assert "RFC 3339" in answer.sentence or "there was" in answer.sentence


async def test_what_is_to_come_is_not_known(demo, site):
    later = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    answer = await site.ask(f"/at/{later}/simple/demo/")
    assert answer.status == 400
    assert "not come yet" in answer.sentence


@pytest.mark.parametrize("form", ["json", "html"])
async def test_now_is_answered_by_upstream_as_it_is_now(tmp_path, form):
    """Or the same address would answer otherwise a minute later."""
    with FakePyPI(form=form) as pypi:
        fill(pypi, tmp_path)
        for _ in range(2):  # before and after a restart
            async with serving(pypi.simple, tmp_path, upstream__page_ttl=3600) as site:
                assert NEW in await names(site, "/at/2025-01-01T00:00:00Z")
                just_now = datetime.now(UTC)
                a_second_ago = written(just_now - timedelta(seconds=1))
                new = f"demo-{len(pypi.projects['demo'].files)}.0.tar.gz"
                pypi.add("demo", new, b"new", upload_time=a_second_ago)
                assert new not in await names(site, "/at/2025-01-01T00:00:00Z")
                prefix = f"/at/{written(just_now)}"
                assert new in await names(site, prefix)
                asked = len(pypi.requests)
                assert new in await names(site, prefix)
                assert len(pypi.requests) == asked


async def test_now_is_answered_so_from_the_store_too(demo, tmp_path):
    async with serving(demo.simple, tmp_path, upstream__page_ttl=3600) as site:
        await names(site)
    just_now = datetime.now(UTC)
    demo.add("demo", "demo-3.0.tar.gz", b"new", upload_time=written(just_now - timedelta(seconds=1)))
    async with serving(demo.simple, tmp_path, upstream__page_ttl=3600) as site:
        assert "demo-3.0.tar.gz" in await names(site, f"/at/{written(just_now)}")


async def test_the_list_of_projects_is_todays(demo, site):
    page = await site.ask(f"/at/{MAY}/simple/", Accept=JSON)
    assert page.body == (await site.ask("/simple/", Accept=JSON)).body


async def test_a_built_wheel_is_as_old_as_its_sdist(demo, site):
    old = await site.publish(demo.file(OLD), tag="cp311-cp311-linux_x86_64")
    new = await site.publish(demo.file(NEW))
    assert await names(site, f"/at/{MAY}") == sorted([OLD, old.filename])
    assert await names(site, "/at/2024-07-01T00:00:00Z") == sorted([OLD, WHEEL, NEW, new.filename])
    assert (await site.ask(f"/at/{MAY}/built/{old.path}")).status == 200
    answer = await site.ask(f"/at/{MAY}/built/{new.path}")
    assert (answer.status, NEW in answer.sentence) == (403, True)
    assert (await site.ask(f"/at/{MAY}/built/{new.path}.metadata")).status == 403
    assert (await site.ask(f"/built/{new.path}")).status == 200


async def test_yanks_are_todays(demo, site):
    demo.yank(OLD, "broken")
    (entry,) = (await site.page("demo", f"/at/{MAY}"))["files"]
    assert entry["yanked"] == "broken"


@pytest.mark.parametrize("wanted", [JSON, HTML])
async def test_where_nobody_knows_the_times_nothing_is_offered(tmp_path, wanted):
    with FakePyPI(form="html", json_api=False) as pypi:
        fill(pypi, tmp_path)
        async with serving(pypi.simple, tmp_path) as site:
            answer = await site.ask(f"/at/{MAY}/simple/demo/", Accept=wanted)
            assert (answer.status, "Nobody says when" in answer.sentence) == (403, True)
            file = await site.ask(f"/at/{MAY}/files/demo/{pypi.file(OLD).path}")
            assert (file.status, "Nobody says when" in file.sentence) == (403, True)
            assert (await site.ask("/simple/demo/", Accept=wanted)).status == 200


async def test_while_the_json_api_fails_the_times_are_not_known(tmp_path):
    with FakePyPI(form="html") as pypi:
        fill(pypi, tmp_path)
        pypi.fault("/pypi/*", Fault(status=503))
        async with serving(pypi.simple, tmp_path) as site:
            assert (await site.ask(f"/at/{MAY}/simple/demo/", Accept=JSON)).status == 503
            pypi.heal()
            assert await names(site, f"/at/{MAY}") == [OLD]
            pypi.fault("/pypi/*", Fault(status=503))
            assert await names(site, f"/at/{MAY}") == [OLD]  # what it said last


async def test_a_file_that_is_newer_than_what_the_json_api_said_stays_hidden(tmp_path):
    with FakePyPI(form="html") as pypi:
        fill(pypi, tmp_path)
        async with serving(pypi.simple, tmp_path, upstream__exclude_newer="2025-01-01T00:00:00Z") as site:
            assert len(await names(site)) == 3
            pypi.fault("/pypi/*", Fault(status=503))
            pypi.add("demo", "demo-3.0.tar.gz", b"new", upload_time="2024-07-01T00:00:00.000000Z")
            assert len(await names(site)) == 3
            pypi.heal()
            assert len(await names(site)) == 4


async def test_unknown_projects_are_unknown_then_too(demo, site):
    assert (await site.ask(f"/at/{MAY}/simple/unknown/")).status == 404
    assert (await site.ask(f"/at/{MAY}/files/unknown/x/y-1.tar.gz")).status == 404


async def test_many_times_are_one_page(demo, site):
    """The address of each is its own, and what it shows is rendered once."""
    bodies, etags = set(), set()
    for minute in range(30):
        page = await site.ask(f"/at/2024-05-02T00:{minute:02}:00Z/simple/demo/", Accept=JSON)
        bodies.add(page.body)
        etags.add(page.headers["ETag"])
    assert (len(bodies), len(etags)) == (1, 1)


async def test_a_time_that_always_holds(demo, tmp_path):
    async with serving(demo.simple, tmp_path, upstream__exclude_newer=MAY) as site:
        for prefix in ("", "/upstream", "/at/2024-07-01T00:00:00Z"):
            assert await names(site, prefix) == [OLD], prefix
        assert await names(site, "/at/2020-01-01T00:00:00Z") == []
        for prefix in ("", "/at/2024-07-01T00:00:00Z"):
            answer = await site.ask(f"{prefix}/files/demo/{demo.file(NEW).path}")
            assert (answer.status, MAY in answer.sentence) == (403, True)
            assert (await site.ask(f"{prefix}/files/demo/{demo.file(OLD).path}")).status == 200
        new = await site.publish(demo.file(NEW))
        assert await names(site) == [OLD]
        assert (await site.ask(f"/built/{new.path}")).status == 403


async def test_the_json_api_hides_the_same(demo, tmp_path):
    async with serving(demo.simple, tmp_path, upstream__exclude_newer=MAY) as site:
        told = (await site.ask("/pypi/demo/json")).json
        assert {version: len(files) for version, files in told["releases"].items()} == {"0.0.1": 0, "1.0": 1, "2.0": 0}
        assert [one["filename"] for one in (await site.ask("/pypi/demo/1.0/json")).json["urls"]] == [OLD]
        answer = await site.ask("/pypi/demo/2.0/json")
        assert (answer.status, MAY in answer.sentence) == (403, True)


async def test_an_age_moves_along(demo, tmp_path, monkeypatch):
    class Ahead(datetime):
        by = timedelta()

        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + cls.by

    monkeypatch.setattr(screens, "datetime", Ahead)
    async with serving(demo.simple, tmp_path, upstream__exclude_newer="1 hour", upstream__page_ttl=3600) as site:
        demo.add("demo", "demo-3.0.tar.gz", b"new", upload_time=written(datetime.now(UTC)))
        first = await site.ask("/simple/demo/", Accept=JSON)
        assert "demo-3.0.tar.gz" not in first.body.decode()
        path = f"/files/demo/{demo.file('demo-3.0.tar.gz').path}"
        assert (await site.ask(path)).status == 403
        assert (await site.ask("/simple/demo/", Accept=JSON)).headers["ETag"] == first.headers["ETag"]
        Ahead.by = timedelta(hours=1)
        assert (await site.ask("/simple/demo/", Accept=JSON)).headers["ETag"] != first.headers["ETag"]
        assert "demo-3.0.tar.gz" in await names(site)
        assert (await site.ask(path)).status == 200
        assert demo.count("/simple/demo/") == 1


async def test_nothing_is_built_of_what_is_hidden_and_the_hint_stays(demo, tmp_path):
    """A client under ``/at/`` downloads an sdist for which upstream has a wheel by now: that is no miss."""
    async with serving(demo.simple, tmp_path) as site:
        assert (await site.ask(f"/at/{MAY}/files/demo/{demo.file(OLD).path}", User_Agent=PIP)).status == 200
        await site.tells('buildthrough_sdist_downloads_total{verdict="wheel-fits"} 1.0')
        assert (await site.ask("/api/v1/builds")).json["builds"] == []


async def test_each_upstream_may_have_its_own(tmp_path):
    """An index of one's own seldom says when files were uploaded."""
    with FakePyPI(form="html", json_api=False) as own, FakePyPI() as pypi:
        own.add("ours", "ours-1.0.tar.gz", b"ours")
        fill(pypi, tmp_path)
        tables = (("own", own, ""), ("pypi", pypi, MAY))
        (tmp_path / "buildthrough.toml").write_text(
            "\n".join(f'[upstreams.{name}]\nurl = "{one.simple}"\nexclude_newer = "{at}"' for name, one, at in tables)
        )
        async with serving("", tmp_path) as site:
            assert await names(site) == [OLD]
            assert [entry["filename"] for entry in (await site.page("ours"))["files"]] == ["ours-1.0.tar.gz"]
            assert (await site.ask("/pypi/demo/2.0/json")).status == 403
            assert (await site.ask(f"/files/ours/{own.file('ours-1.0.tar.gz').path}")).status == 200
            assert (await site.ask(f"/at/{MAY}/simple/ours/")).status == 403
        text = (tmp_path / "buildthrough.toml").read_text().replace(MAY, "soon")
        (tmp_path / "buildthrough.toml").write_text(text)
        with pytest.raises(SettingsError, match=r"upstreams\.pypi\.exclude_newer must be"):
            async with serving("", tmp_path):
                pass
