"""What lock files hold of us: URLs and digests, for years."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import urljoin

from tests.fakes.wheels import make_wheel
from tests.integration.assembled import serving


async def test_urls_and_bytes_outlive_restarts_of_the_server(pypi, tmp_path, sdist, upstream_wheel):
    async with serving(pypi.simple, tmp_path) as site:
        await site.publish(sdist, requires_python=">=3.8")
        page = (await site.page("demo"))["files"]
        locked = {urljoin("/simple/demo/", entry["url"]): entry["hashes"]["sha256"] for entry in page}
    for _ in range(2):
        async with serving(pypi.simple, tmp_path) as site:
            for url, digest in locked.items():  # the URL alone: `uv sync` does not ask for the page
                answer = await site.ask(url)
                assert (answer.status, hashlib.sha256(answer.body).hexdigest()) == (200, digest)
            assert [entry["url"] for entry in (await site.page("demo"))["files"]] == [one["url"] for one in page]


async def test_upstreams_path_is_kept_so_that_a_prefix_maps_both_ways(pypi, site, sdist, upstream_wheel, wheel):
    upstream = {file.filename: f"{pypi.url}/{file.path}" for file in (sdist, upstream_wheel)}
    for filename, entry in (await site.listed("demo")).items():
        if filename in upstream:
            assert entry["url"].replace(f"{site.url}files/demo/", f"{pypi.url}/") == upstream[filename]
        else:
            assert re.fullmatch(rf"{site.url}built/demo/[0-9a-f]{{64}}/{filename}", entry["url"])


async def test_upstreams_files_are_fetched_again_when_the_cache_was_lost(pypi, tmp_path, upstream_wheel):
    url = f"/files/demo/{upstream_wheel.path}"
    async with serving(pypi.simple, tmp_path) as site:
        before = (await site.ask(url)).body
        await site.tells('buildthrough_files_total{reason="fetched"} 1.0')  # nobody gets it from its download any more
        for file in (site.folder / "data" / "files").rglob("*"):
            if file.is_file():
                file.unlink()
        assert (await site.ask(url)).body == before


async def test_a_wheel_that_was_listed_is_served_when_another_takes_its_place(pypi, site, sdist, wheel, tmp_path):
    theirs = make_wheel(tmp_path, name="demo", version="1.0", files={"demo.py": "theirs = 1\n"})
    pypi.add("demo", theirs.name, theirs.read_bytes())
    assert (await site.listed("demo"))[theirs.name]["hashes"]["sha256"] != wheel.sha256
    answer = await site.ask(f"/built/demo/{wheel.sha256}/{wheel.filename}")
    assert hashlib.sha256(answer.body).hexdigest() == wheel.sha256
