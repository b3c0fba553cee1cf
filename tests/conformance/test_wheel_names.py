"""Names and tags of wheels, and which of them are listed together."""

from __future__ import annotations

import pytest
from packaging.utils import parse_wheel_filename
from tests.fakes.sdists import pure_sdist
from tests.fakes.waiting import until
from tests.fakes.wheels import make_wheel
from tests.integration.assembled import PIP

GLIBC = "cp311-cp311-manylinux_2_36_x86_64"
MUSL = PIP.replace('"lib": "glibc", "version": "2.36"', '"lib": "musl", "version": "1.2"')


async def verdicts(site, count=1):
    """Return what was found of downloads, once it was of so many: they are looked at in the background."""
    found = {}

    async def are_there():
        figures = (await site.ask("/metrics")).body.decode()
        lines = [line for line in figures.splitlines() if line.startswith("buildthrough_sdist_downloads_total{")]
        found.update(
            {line.partition('verdict="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}
        )
        return sum(found.values()) >= count

    await until(are_there)
    return found


async def test_a_listed_wheel_has_a_name_that_packaging_reads_as_its_entry_says(site, sdist, wheel):
    for filename, entry in (await site.listed("demo")).items():
        if filename.endswith(".whl"):
            name, version, _, tags = parse_wheel_filename(filename)
            assert (name, str(version), bool(tags)) == ("demo", "1.0", True)
            assert entry["url"].endswith(f"/{filename}")


@pytest.mark.parametrize(
    "theirs",
    ["cp311-cp311-manylinux_2_28_x86_64", "cp37-abi3-manylinux_2_17_x86_64", "cp311-abi3-manylinux2014_x86_64",
     "py3-none-any", "cp311-none-manylinux1_x86_64"],
)  # fmt: skip
async def test_where_upstreams_wheel_serves_nothing_is_built_and_ours_is_not_listed(
    pypi, site, sdist, tmp_path, theirs
):
    ours = await site.publish(sdist, tag=GLIBC)
    assert ours.filename in await site.listed("demo")
    made = make_wheel(tmp_path, name="demo", version="1.0", tag=theirs)
    pypi.add("demo", made.name, made.read_bytes())
    assert set(await site.listed("demo")) == {sdist.filename, made.name}
    assert (await site.ask(f"/built/demo/{ours.sha256}/{ours.filename}")).status == 200
    await site.ask(f"/files/demo/{sdist.path}", User_Agent=PIP)
    assert (await verdicts(site)) == {"wheel-fits": 1.0}
    assert (await site.ask("/api/v1/builds?state=queued")).json == {"builds": []}


@pytest.mark.parametrize(
    "theirs",
    ["cp311-cp311-manylinux_2_39_x86_64", "cp312-cp312-manylinux_2_17_x86_64", "cp311-cp311-musllinux_1_2_x86_64",
     "cp311-cp311-macosx_11_0_arm64", "cp311-cp311-win_amd64", "cp313-cp313t-manylinux_2_17_x86_64",
     "cp311-cp311-manylinux_2_17_aarch64", "cp311-cp311d-manylinux_2_17_x86_64", "cp311-cp311-ios_13_0_arm64_iphoneos",
     "cp311-cp311-android_24_arm64_v8a", "cp315-abi3t-manylinux_2_17_x86_64"],
)  # fmt: skip
async def test_a_wheel_for_others_takes_nothing_from_ours(pypi, site, sdist, tmp_path, theirs):
    """Another Python, a newer libc, another libc, free-threaded, debug, another platform or processor."""
    ours = await site.publish(sdist, tag=GLIBC)
    made = make_wheel(tmp_path, name="demo", version="1.0", tag=theirs)
    pypi.add("demo", made.name, made.read_bytes())
    assert set(await site.listed("demo")) == {sdist.filename, made.name, ours.filename}


async def test_no_file_name_is_listed_twice(pypi, site, sdist, wheel, tmp_path):
    """Upstream's goes before ours, even where it serves others alone."""
    theirs = make_wheel(tmp_path, name="demo", version="1.0", files={"demo.py": ""}, requires_python="<3")
    assert theirs.name == wheel.filename
    pypi.add("demo", theirs.name, theirs.read_bytes())
    listed = [(entry["filename"], entry["hashes"]["sha256"]) for entry in (await site.page("demo"))["files"]]
    assert sorted(listed) == [(theirs.name, pypi.file(theirs.name).sha256), (sdist.filename, sdist.sha256)]


async def test_another_build_has_the_next_build_tag_and_a_url_of_its_own(site, sdist, wheel):
    """The only thing that makes both pip and uv replace a copy that they have."""
    again = await site.publish(sdist, requires_python=">=3.8", files={"demo.py": "again = True\n"})
    assert again.filename == "demo-1.0-1-py3-none-any.whl"
    third = await site.publish(sdist, requires_python=">=3.8", files={"demo.py": "third = True\n"})
    assert third.filename == "demo-1.0-2-py3-none-any.whl"
    assert set(await site.listed("demo")) == {sdist.filename, third.filename}
    for one in (wheel, again, third):  # lock files hold the old ones
        assert (await site.ask(f"/built/demo/{one.sha256}/{one.filename}")).status == 200


@pytest.mark.parametrize("filename", ["demo-1.0.tar.gz", "demo-1.0.zip"])
async def test_both_archives_of_the_standard_are_built_from(pypi, site, filename):
    pypi.add("demo", filename, pure_sdist("demo", archive=".zip" if filename.endswith("zip") else ".tar.gz").data)
    await site.ask(f"/files/demo/{pypi.file(filename).path}", User_Agent=PIP)
    assert set(await verdicts(site)) == {"builds-off"}  # it was a miss; nothing builds in this test


@pytest.mark.parametrize("filename", ["Demo_1.0.tar.gz", "demo-1.0.tar.bz2", "demo.1.0.zip", "demo-1.0-final.tgz"])
async def test_names_of_sdists_that_are_against_the_standard_pass(pypi, site, filename):
    file = pypi.add("demo", filename, b"some bytes")
    (entry,) = (await site.page("demo"))["files"]
    assert entry["filename"] == filename
    assert (await site.ask(f"/files/demo/{file.path}", User_Agent=PIP)).body == b"some bytes"


async def test_musl_is_another_target_than_glibc(site, sdist):
    for agent in (PIP, MUSL):
        await site.ask(f"/files/demo/{sdist.path}", User_Agent=agent)
    assert await verdicts(site, 2) == {"builds-off": 1.0, "no-target": 1.0}
