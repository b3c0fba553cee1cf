"""``buildthrough build NAME==VERSION --check``: whether building again gives the same bytes, else what differs."""

from __future__ import annotations

import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import InvalidVersion, Version

from buildthrough.builders.comparison import compare
from buildthrough.builders.faults import PackageFault
from buildthrough.proxy.commands.build import ask
from buildthrough.proxy.commands.table import text
from buildthrough.proxy.logs import escape
from buildthrough.proxy.remote import RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildthrough.proxy.remote import Remote

DIFFERENT = 3
"""Exit code where the second wheel is not the first."""
_PAUSE_SECONDS = 0.5
_MOST_BUILDS = 10_000
_MOST_SHOWN = 50


class NotBuilt(Exception):
    """One of the builds brought no wheel. The argument is a sentence."""


def check(
    server: Remote, name: str, version: str, target: str | None, *, sleep: Callable[[float], None] = time.sleep
) -> int:
    """Build what is not built yet, build it once more, and compare. Return the exit code. Raise `RemoteError`."""
    try:
        first = _built(server, name, version, target) or _build(server, name, version, target, sleep)
        second = _build(server, name, version, first.get("target") or target, sleep)
    except NotBuilt as why:
        sys.stderr.write(f"buildthrough: {escape(str(why))}\n")
        return 1
    if first["wheel_sha256"] == second["wheel_sha256"]:
        print(escape(f"identical: {text(first.get('wheel'))} (sha256 {first['wheel_sha256']})"))
        return 0
    print("different:")
    for number, build in enumerate((first, second), 1):
        print(escape(f"  {number}: {text(build.get('wheel'))} (sha256 {build['wheel_sha256']}), {build.get('url')}"))
    for line in _differences(server, first, second):
        print(escape(line))
    return DIFFERENT


def _built(server: Remote, name: str, version: str, target: str | None) -> dict[str, Any] | None:
    """Return the build whose wheel is served now, None where there is none."""
    if target is None:
        targets = server.get("targets").get("targets") or [{}]
        target = targets[0].get("target")
    answer = server.get("builds", {"project": name, "state": "SUCCEEDED", "limit": str(_MOST_BUILDS)})
    for build in answer.get("builds", []):
        is_meant = build.get("target") == target and _is_version(build.get("version"), version)
        if is_meant and not build.get("purged") and build.get("wheel_sha256"):
            return dict(build)
    return None


def _build(
    server: Remote, name: str, version: str, target: str | None, sleep: Callable[[float], None]
) -> dict[str, Any]:
    """Have it built, and wait for it. Raise `NotBuilt`."""
    build = ask(server, name, version, target, again=True)
    number = text(build.get("id"))
    print(escape(f"build {number} of {text(build.get('project'))} {text(build.get('version'))} ..."), flush=True)
    while build.get("state") in {"QUEUED", "RUNNING"}:
        sleep(_PAUSE_SECONDS)
        build = server.get(f"builds/{number}")
    if build.get("state") != "SUCCEEDED" or not build.get("wheel_sha256"):
        why = ": ".join(str(part) for part in (build.get("fault"), build.get("line")) if part)
        raise NotBuilt(f"Build {number} is {text(build.get('state'))} ({why or 'no reason given'}).")
    return build


def _differences(server: Remote, first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="buildthrough-check-") as folder:
        paths = []
        for number, build in enumerate((first, second), 1):
            paths.append(Path(folder, f"{number}.whl"))
            try:
                server.file(str(build.get("url")), paths[-1])
            except RemoteError as error:
                return [f"  what differs is not known: {error}"]
        try:
            found = [f"  {one.path}: {one.what}" for one in islice(compare(*paths), _MOST_SHOWN + 1)]
        except PackageFault as fault:
            return [f"  what differs is not known: {fault.line}"]
    if len(found) > _MOST_SHOWN:
        found[_MOST_SHOWN:] = ["  and more"]
    return found or ["  the files are the same; the archives are packed in other ways"]


def _is_version(found: object, version: str) -> bool:
    try:
        return Version(str(found)) == Version(version)
    except InvalidVersion:
        return False
