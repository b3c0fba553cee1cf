"""The record of a built wheel: an in-toto statement that says, as SLSA provenance, what it was made from and how.

Sources: in-toto Attestation Framework, Statement v1 and ResourceDescriptor; SLSA Provenance v1; the purl
specification, type ``pypi``. What is particular to this program is in ``internalParameters``: all of `BuildFacts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from buildthrough.builders.artifact import CheckedWheel
    from buildthrough.builders.facts import BuildFacts, UsedWheel
    from buildthrough.builders.request import Build, BuildRequest

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "urn:buildthrough:sdist-to-wheel:v1"
"""What the parameters mean: docs/provenance.md."""
BUILDER: Final = "urn:buildthrough:builder"
"""Who built, where no public address says it better."""
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
_ELSEWHERE: Final = frozenset({"requirements", "sdist_path"})
"""Facts that have a place of their own in the statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """Who built."""

    public_url: str = ""
    """Address of the server, ending in a slash, where it knows it."""
    versions: Mapping[str, str]
    """Of the server and the tools that come with it, by name."""


def statement(
    build: Build,
    wheel: CheckedWheel,
    facts: BuildFacts,
    *,
    builder: Builder,
    log_sha256: str | None,
    finished: datetime,
) -> dict[str, Any]:
    """Return the statement of a wheel under the name and digest that it is published with. JSON values only."""
    request = build.request
    log = {"name": "log", "digest": {"sha256": log_sha256}, "mediaType": "text/plain"}
    return {
        "_type": STATEMENT,
        "subject": [{"name": wheel.filename, "digest": {"sha256": wheel.sha256}}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "project": request.project,
                    "version": request.version,
                    "target": request.target,
                    "sdist": request.sdist,
                },
                "internalParameters": {
                    **{
                        _camel(each.name): plain(getattr(facts, each.name))
                        for each in fields(facts)
                        if each.name not in _ELSEWHERE
                    },
                    "warnings": list(wheel.warnings),
                },
                "resolvedDependencies": [
                    _sdist(request, facts, builder),
                    *(_used(used) for used in facts.requirements),
                ],
            },
            "runDetails": {
                "builder": {"id": builder.public_url or BUILDER, "version": dict(builder.versions)},
                "metadata": {
                    "invocationId": f"{builder.public_url}api/v1/builds/{build.id}",
                    **({"startedOn": plain(build.started)} if build.started else {}),
                    "finishedOn": plain(finished),
                },
                "byproducts": [log] if log_sha256 else [],
            },
        },
    }


def plain(value: object) -> Any:  # noqa: ANN401 - what JSON knows
    """Return a value as JSON knows it: records by their fields, in camelCase. Raise TypeError for what has no form."""
    match value:
        case None | bool() | int() | float() | str():
            return str(value) if isinstance(value, float) and not isfinite(value) else value
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Mapping():
            return {str(key): plain(each) for key, each in value.items()}
        case tuple() | list():
            return [plain(each) for each in value]
        case frozenset() | set():
            return sorted(plain(each) for each in value)
        case _ if is_dataclass(value):
            return {_camel(each.name): plain(getattr(value, each.name)) for each in fields(value)}
        case _:
            msg = f"a fact of a build is a {type(value).__name__}, which the record cannot say"
            raise TypeError(msg)


def _sdist(request: BuildRequest, facts: BuildFacts, builder: Builder) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": request.sdist,
        "uri": _purl(request.project, request.version, request.sdist),
        "digest": {"sha256": request.sdist_sha256},
    }
    if facts.sdist_path:
        described["downloadLocation"] = f"{builder.public_url}{facts.sdist_path}"
    return described


def _used(used: UsedWheel) -> dict[str, Any]:
    digest = {"digest": {"sha256": used.sha256}} if used.sha256 else {}
    return {"name": used.filename, "uri": _purl(used.project, used.version, used.filename), **digest}


def _purl(project: str, version: str, filename: str) -> str:
    return f"pkg:pypi/{quote(project, safe='')}@{quote(version, safe='')}?file_name={quote(filename, safe='')}"


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
