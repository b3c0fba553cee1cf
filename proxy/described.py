"""Builds, wheels and targets as the API shows them: values that become JSON. Times are ISO 8601 in UTC."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from buildthrough.builders.advice import advise
from buildthrough.builders.failures import classify
from buildthrough.builders.request import BuildState
from buildthrough.proxy.resource import PROVENANCE

if TYPE_CHECKING:
    from datetime import datetime

    from buildthrough.builders.request import Build
    from buildthrough.builders.workplace import Workplace
    from buildthrough.proxy.built import BuiltWheel


def build(build: Build) -> dict[str, Any]:
    """Return a build."""
    request = build.request
    url = f"/built/{request.project}/{build.wheel_sha256}/{build.wheel}" if build.wheel else None
    return {
        "id": build.id,
        "project": request.project,
        "version": request.version,
        "sdist": request.sdist,
        "sdist_sha256": request.sdist_sha256,
        "target": request.target,
        "recipe": request.recipe,
        "state": build.state.value,
        "fault": build.fault,
        "stage": build.stage,
        "line": build.line,
        "means": classify(build.fault).means if build.fault else None,
        "advice": advise(build.fault, build.line) if build.fault else None,
        "attempts": build.attempts,
        "priority": build.priority.value,
        "waits_for": build.waits_for,
        "created": time(build.created),
        "started": time(build.started),
        "finished": time(build.finished),
        "wheel": build.wheel,
        "wheel_sha256": build.wheel_sha256,
        "purged": build.state is BuildState.SUCCEEDED and build.expires is not None,
        "url": url,
        "provenance": f"{url}{PROVENANCE}" if url else None,
        "chain": list(build.chain),
        "time_cut": time(build.time_cut),
        "unlisted": build.unlisted,
        "unlisted_url": f"/api/v1/builds/{build.id}/wheel" if build.unlisted else None,
        "findings": json.loads(build.findings) if build.findings else {},
    }


def targets(workplace: Workplace) -> dict[str, Any]:
    """Return what can be built for here, and how it is isolated."""
    return {
        "isolation": asdict(workplace.workshop.isolation),
        "builder": _builder(workplace),
        "targets": [
            {
                "target": target.slug,
                "interpreter": str(target.interpreter.executable),
                "has_headers": target.interpreter.has_headers,
                "root": None if target.root is None else str(target.root),
            }
            for target in workplace.workshop.targets
        ],
    }


def _builder(workplace: Workplace) -> dict[str, Any] | None:
    if workplace.builder is None:
        return None
    return {
        "socket": str(workplace.builder),
        "answers": workplace.away is None,
        "since": time(workplace.since),
        "why": None if workplace.away is None else workplace.away.why,
    }


def wheel(wheel: BuiltWheel) -> dict[str, Any]:
    """Return a built wheel."""
    return {
        "project": wheel.project,
        "version": wheel.version,
        "filename": wheel.filename,
        "sha256": wheel.sha256,
        "size": wheel.size,
        "target": wheel.target,
        "sdist": wheel.sdist,
    }


def unlisted(build: Build) -> dict[str, Any]:
    """Return the wheel that a build left for its operator alone."""
    request = build.request
    return {
        "build": build.id,
        "project": request.project,
        "version": request.version,
        "filename": build.unlisted,
        "sha256": build.unlisted_sha256,
        "target": request.target,
        "sdist": request.sdist,
    }


def time(moment: datetime | None) -> str | None:
    """Return a time, None where there is none."""
    return None if moment is None else moment.isoformat()
