"""One row: a real client misses, the server builds, a client takes the wheel, the server builds again; pip alone."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from bench.yields.outcome import Ours, Outcome, Plain
from bench.yields.shell import INDEX

if TYPE_CHECKING:
    from tests.e2e.server import Server

    from bench.process import Child
    from bench.yields.corpus import Row
    from bench.yields.shell import Shell

SECONDS: Final = 900
"""Bound of one build, here and there."""
_MISS_SECONDS: Final = 240
_ENDED: Final = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
_TELLING = re.compile(r"(?i)error|fatal|not found|no such file|cannot|unable")
_NOISE = re.compile(
    r"subprocess-exited-with-error|did not run successfully|exit code|See above|note:|hint:"
    r"|^[^\x00-\x7f]|\[notice\]|^ERROR: Fail"
)


def measure(row: Row, server: Server, shell: Shell, *, plain: bool, twice: bool) -> Outcome:
    """Return what came of a row."""
    ours = _ours(row, server, shell, twice=twice)
    return Outcome(
        name=row.name,
        version=row.version,
        category=row.category,
        possible=row.is_possible,
        plain=_plain(row, shell) if plain else None,
        ours=ours,
    )


def _ours(row: Row, server: Server, shell: Shell, *, twice: bool) -> Ours:
    requirement = f"{row.name}=={row.version}"
    client = shell.start((
        "download", "--no-deps", "--no-binary", ":all:", "--no-cache-dir", "--index-url", f"{INDEX}/simple/",
        "--dest", "/build/out", requirement,
    ))  # fmt: skip
    try:
        asked = _miss(row, server, client)
    finally:
        client.stop()
    if asked is None:
        return Ours(wheel=None, seconds=0, fault="nothing was asked for", line=client.tail()[-200:])
    build = _ended(server, asked)
    if build["state"] != "SUCCEEDED":
        return Ours(wheel=None, seconds=_seconds(build), fault=build["fault"] or build["state"], line=build["line"])
    taken = shell.run(
        (
            "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--index-url", f"{INDEX}/simple/",
            "--dest", "/build/out", requirement,
        ),
        seconds=120,
    )  # fmt: skip
    again = _again(build, server) if twice else None
    return Ours(
        wheel=build["wheel"],
        seconds=_seconds(build),
        identical=None if again is None else again["wheel_sha256"] == build["wheel_sha256"],
        installs=build["wheel"] in taken.made,
        time_cut=build.get("time_cut"),
        recipe=build.get("recipe"),
    )


def _miss(row: Row, server: Server, client: Child) -> int | None:
    """Wait until the client's miss is a build of the server's; None where the client ends and there is none."""
    end = time.monotonic() + _MISS_SECONDS
    while time.monotonic() < end:
        over = client.process.poll() is not None
        found = [build for build in server.builds(_normal(row.name)) if build["version"] == row.version]
        if found:
            return int(found[-1]["id"])
        if over:
            return None
        time.sleep(0.3)
    return None


def _ended(server: Server, number: int) -> dict[str, Any]:
    """Wait until a build has ended; what it waits for counts as well."""
    end = time.monotonic() + 3 * SECONDS
    while time.monotonic() < end:
        build: dict[str, Any] = server.ask(f"/api/v1/builds/{number}").json
        if build["state"] in _ENDED:
            return build
        time.sleep(0.3)
    return build


def _again(build: dict[str, Any], server: Server) -> dict[str, Any] | None:
    """Build it a second time; None where that is not allowed or fails."""
    asked = server.operate(
        "/api/v1/builds", name=build["project"], version=build["version"], target=build["target"], again=True
    )
    if asked.status != 202:  # accepted
        return None
    found = asked.json.get("builds") or [asked.json]
    second = _ended(server, int(found[0]["id"]))
    return second if second["state"] == "SUCCEEDED" else None


def _plain(row: Row, shell: Shell) -> Plain:
    said = shell.run(
        (
            "wheel", "--no-deps", "--no-binary", row.name, "--no-cache-dir", "--index-url",
            f"{INDEX}/upstream/simple/", "--wheel-dir", "/build/out", f"{row.name}=={row.version}",
        ),
        seconds=SECONDS,
    )  # fmt: skip
    wheels = [name for name in said.made if name.endswith(".whl")]
    if said.code == 0 and wheels:
        return Plain(wheel=wheels[0], seconds=said.seconds, line="")
    return Plain(wheel=None, seconds=said.seconds, line="took too long" if said.code is None else _telling(said.output))


def _telling(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    told = [line for line in lines if _TELLING.search(line) and not _NOISE.search(line)]
    return (told or lines or [""])[-1][:200]


def _seconds(build: dict[str, Any]) -> float:
    if not build["started"] or not build["finished"]:
        return 0.0
    return (datetime.fromisoformat(build["finished"]) - datetime.fromisoformat(build["started"])).total_seconds()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
