"""A wheel that is for nobody is kept for the operator, and seen nowhere else."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from tests.fakes.dial import offline_environment
from tests.fakes.records import a_request
from tests.fakes.sdists import pure_sdist
from tests.fakes.wheels import make_wheel
from tests.integration.assembled import TOKEN, serving
from tests.integration.test_openapi import check_answer

from buildthrough.builders.faults import PackageFault
from buildthrough.proxy.publication import clean_up
from buildthrough.proxy.unlisted import keep_unlisted


async def failed(site, path):
    """End a build as one that left a wheel."""
    store = site.store
    await store.queue.submit(a_request("demo", "1.0"))
    build = await store.queue.claim()
    await keep_unlisted(build, path, blobs=store.built, catalog=store.catalog, queue=store.queue)
    fault = PackageFault("repair", "output.no-manylinux", "it needs libprivate.so.1")
    return await store.queue.settle(build.id, fault, log_sha256=None)


async def test_the_operator_alone_gets_it(pypi, tmp_path):
    pypi.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data)
    wheel = make_wheel(tmp_path, name="demo", version="1.0")
    async with serving(pypi.simple, tmp_path / "data") as site:
        build = await failed(site, wheel)
        url = f"/api/v1/builds/{build.id}/wheel"

        answer = await site.ask(f"/api/v1/builds/{build.id}")
        check_answer(answer, "/api/v1/builds/{id}")
        told = answer.json
        assert (told["unlisted_url"], told["line"]) == (url, "it needs libprivate.so.1")
        assert (told["state"], told["unlisted"], told["wheel"]) == ("FAILED", wheel.name, None)
        assert (await site.ask(url)).status == 401
        assert (await site.ask(url, Authorization="Bearer wrong")).status == 401
        got = await site.ask(url, Authorization=f"Bearer {TOKEN}")
        assert (got.status, got.body) == (200, wheel.read_bytes())
        assert got.headers["Content-Disposition"] == f'attachment; filename="{wheel.name}"'

        assert wheel.name.encode() not in (await site.ask("/simple/demo/")).body
        assert (await site.ask(f"/built/demo/{build.unlisted_sha256}/{wheel.name}")).status == 404
        assert await clean_up(site.store.catalog, site.store.built) == 0


async def test_the_command_says_why_it_is_kept_and_what_to_do(pypi, tmp_path):
    async with serving(pypi.simple, tmp_path / "data") as site:
        build = await failed(site, make_wheel(tmp_path, name="demo", version="1.0"))
        told = await command(site, "builds", "--project", "demo")
        assert "demo-1.0-py3-none-any.whl is kept, and listed for nobody: output.no-manylinux: it needs lib" in told
        assert f"fetches it from /api/v1/builds/{build.id}/wheel" in told
        assert "`buildthrough purge demo==1.0`" in told
        assert "is kept" not in await command(site, "builds", "--project", "other")


async def test_a_build_without_one_has_none(pypi, tmp_path):
    async with serving(pypi.simple, tmp_path) as site:
        build = await site.store.queue.submit(a_request("demo", "1.0"))
        got = await site.ask(f"/api/v1/builds/{build.id}/wheel", Authorization=f"Bearer {TOKEN}")

        assert got.status == 404
        assert "left no wheel" in got.sentence


async def test_a_purge_removes_it_at_once_by_the_api_and_by_the_command(pypi, tmp_path):
    pypi.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data)
    wheel = make_wheel(tmp_path, name="demo", version="1.0")
    async with serving(pypi.simple, tmp_path / "data") as site:
        build = await failed(site, wheel)
        about = {"project": "demo", "version": "1.0", "filename": wheel.name, "sha256": build.unlisted_sha256}
        would = await site.operate("/api/v1/purge", {"project": "demo", "dry_run": True})
        check_answer(would, "/api/v1/purge", "post")
        (told,) = would.json["unlisted"]
        assert told == {**about, "build": build.id, "target": build.request.target, "sdist": build.request.sdist}
        dry = await command(site, "purge", "demo", "--dry-run")
        assert wheel.name in dry
        assert "0 wheels and 1 listed for nobody would be removed" in dry
        assert [blob.sha256 async for blob in site.store.built] == [build.unlisted_sha256]

        assert "0 wheels and 1 listed for nobody removed, 0 builds cancelled." in await command(site, "purge", "demo")
        assert [blob async for blob in site.store.built] == []
        assert (await site.ask(f"/api/v1/builds/{build.id}")).json["unlisted"] is None
        got = await site.ask(f"/api/v1/builds/{build.id}/wheel", Authorization=f"Bearer {TOKEN}")
        assert (got.status, "left no wheel" in got.sentence) == (404, True)
        again = await site.operate("/api/v1/purge", {"project": "demo"})
        assert (again.json["unlisted"], again.json["purged"]) == ([], [])


async def command(site, *words):
    """Run the command line as an operator on the same machine does; return what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "buildthrough.proxy", *words, "--server", site.url,
        env={**offline_environment(), "BUILDTHROUGH_ADMIN__TOKEN": TOKEN}, cwd=site.folder, stdout=subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()
