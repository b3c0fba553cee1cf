"""The description of the API says what the API does."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest
from tests.fakes.sdists import pure_sdist

from buildthrough.builders.request import BuildState
from buildthrough.proxy.api import Api
from buildthrough.proxy.pool_api import PoolApi

DESCRIPTION = json.loads(files("buildthrough.proxy").joinpath("openapi.json").read_text())
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": type(None),
}


def schema_of(schema: dict[str, Any]) -> dict[str, Any]:
    return DESCRIPTION["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def check(value: Any, schema: dict[str, Any], where: str = "$") -> None:
    """Fail where a value is not as the schema says; knows the words of JSON Schema that the description uses."""
    schema = schema_of(schema)
    unknown = schema.keys() - {
        "type", "properties", "required", "additionalProperties", "items", "enum", "pattern", "format", "description"
    }  # fmt: skip
    assert not unknown, unknown
    names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    assert type(value) in {TYPES[name] for name in names}, f"{where}: {value!r} is no {names}"
    if value is None:
        return
    assert value in schema.get("enum", [value]), where
    assert "pattern" not in schema or re.search(schema["pattern"], value), where
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        assert set(schema.get("required", ())) <= value.keys(), where
        assert schema.get("additionalProperties", True) or value.keys() <= properties.keys(), where
        for key, item in value.items():
            if key in properties:
                check(item, properties[key], f"{where}.{key}")
    if isinstance(value, list):
        for item in value:
            check(item, schema["items"], f"{where}[]")


def check_answer(answer: Any, path: str, method: str = "get") -> None:
    """Fail where an answer is not among those described."""
    described = DESCRIPTION["paths"][path][method]["responses"].get(str(answer.status))
    assert described is not None, f"{path} answers {answer.status}, which is not described"
    (content_type,) = described["content"]
    assert answer.headers["Content-Type"].startswith(content_type)
    if content_type == "application/json":
        check(answer.json, described["content"][content_type]["schema"])


def test_every_route_is_described_and_no_other():
    routes = {
        (route.path, route.method.lower())
        for api in (
            Api(operations=None, pool=None, metrics=None, readiness=None, token="x"),
            PoolApi(control=None, token="x"),
        )
        for route in api.routes()
        if route.path.startswith("/api/")
    }
    described = {(path, method) for path, methods in DESCRIPTION["paths"].items() for method in methods}
    assert routes == described


def test_the_states_are_all_states():
    schemas = DESCRIPTION["components"]["schemas"]
    assert schemas["Build"]["properties"]["state"]["enum"] == [state.value for state in BuildState]


def test_each_reference_leads_somewhere():
    text = json.dumps(DESCRIPTION)
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        place: Any = DESCRIPTION
        for part in reference.split("/"):
            place = place[part]
    assert DESCRIPTION["openapi"].startswith("3.1")


@pytest.fixture
def sdist(pypi):
    return pypi.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data)


async def test_real_answers_are_as_described(pypi, site, sdist):
    assert (await site.ask("/api/v1/openapi.json")).json == DESCRIPTION
    check_answer(await site.ask("/api/v1/builds"), "/api/v1/builds")
    wheel = await site.publish(sdist)
    check_answer(await site.operate("/api/v1/builds", {"name": "demo", "version": "1.0"}), "/api/v1/builds", "post")
    other = pypi.add("demo", "demo-2.0.tar.gz", pure_sdist("demo", "2.0").data)
    asked = await site.operate("/api/v1/builds", {"name": other.project, "version": "2.0"})
    assert asked.status == 202
    check_answer(asked, "/api/v1/builds", "post")
    listed = await site.ask("/api/v1/builds")
    assert {build["state"] for build in listed.json["builds"]} == {"SUCCEEDED", "QUEUED"}
    check_answer(listed, "/api/v1/builds")
    for build in listed.json["builds"]:
        check_answer(await site.ask(f"/api/v1/builds/{build['id']}"), "/api/v1/builds/{id}")
        check_answer(await site.ask(f"/api/v1/builds/{build['id']}/log"), "/api/v1/builds/{id}/log")
    check_answer(await site.ask("/api/v1/targets"), "/api/v1/targets")
    tried = await site.operate("/api/v1/purge", {"project": "demo", "dry_run": True})
    assert [gone["filename"] for gone in tried.json["purged"]] == [wheel.filename]
    check_answer(tried, "/api/v1/purge", "post")
    assert len(tried.json["cancelled"]) == 1


async def test_real_refusals_are_as_described(site, sdist):
    for path in ("/api/v1/builds?state=x", "/api/v1/builds?limit=x"):
        check_answer(await site.ask(path), "/api/v1/builds")
    check_answer(await site.ask("/api/v1/builds/9"), "/api/v1/builds/{id}")
    for body in ({}, {"name": "unknown", "version": "1"}, {"name": "demo", "version": "1", "x": 1}):
        check_answer(await site.operate("/api/v1/builds", body), "/api/v1/builds", "post")
        check_answer(await site.operate("/api/v1/builds", body, token="wrong"), "/api/v1/builds", "post")
    for body in ({}, {"project": "demo", "dry_run": 1}):
        check_answer(await site.operate("/api/v1/purge", body), "/api/v1/purge", "post")
    check_answer(await site.operate("/api/v1/purge", b"x" * 100_000), "/api/v1/purge", "post")
