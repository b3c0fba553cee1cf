"""A wheel that is for nobody is kept for the operator, and seen nowhere else."""

from __future__ import annotations

from tests.fakes.records import a_request
from tests.fakes.sdists import pure_sdist
from tests.fakes.wheels import make_wheel
from tests.integration.assembled import TOKEN, serving

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

        told = (await site.ask(f"/api/v1/builds/{build.id}")).json
        assert (told["state"], told["unlisted"], told["wheel"]) == ("FAILED", wheel.name, None)
        assert (await site.ask(url)).status == 401
        assert (await site.ask(url, Authorization="Bearer wrong")).status == 401
        got = await site.ask(url, Authorization=f"Bearer {TOKEN}")
        assert (got.status, got.body) == (200, wheel.read_bytes())
        assert got.headers["Content-Disposition"] == f'attachment; filename="{wheel.name}"'

        assert wheel.name.encode() not in (await site.ask("/simple/demo/")).body
        assert (await site.ask(f"/built/demo/{build.unlisted_sha256}/{wheel.name}")).status == 404
        assert await clean_up(site.store.catalog, site.store.built) == 0


async def test_a_build_without_one_has_none(pypi, tmp_path):
    async with serving(pypi.simple, tmp_path) as site:
        build = await site.store.queue.submit(a_request("demo", "1.0"))
        got = await site.ask(f"/api/v1/builds/{build.id}/wheel", Authorization=f"Bearer {TOKEN}")

        assert got.status == 404
        assert "left no wheel" in got.sentence
