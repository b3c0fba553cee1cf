"""Pid 1 of the sandbox in which a wheel is installed beside its dependencies, and its modules are imported.

What is imported may do all that it likes, to the process in which it is imported and to the environment, so it can
say of itself what it likes. It cannot speak for the driver, nor outlive its turn.
Arguments: a JSON object (see `Plan`), the file descriptor of the answers, the one of the messages.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, TypedDict

from buildthrough.builders.inside.dialogue import Fault, HostLine
from buildthrough.builders.inside.places import place
from buildthrough.builders.inside.processes import TooLate, hide, run

_ENV = place("/build/env")
_FOLDER = place("/build/run")
"""Where modules are imported; empty, so that nothing is imported from there."""
_MOST_SAID = 16 << 10
"""Of one module, in bytes; less than a pipe holds, so nobody waits for a reader."""
_LONGEST = 400
_IMPORT = """
import sys
name, pipe = sys.argv.pop(1), int(sys.argv.pop(1))
import importlib, json, os, traceback
os.set_inheritable(pipe, False)
said = {}
try:
    importlib.import_module(name)
except BaseException as problem:
    traceback.print_exc()
    try:
        line = str(problem)
    except Exception:
        line = "it cannot even say why"
    last = problem.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    code = last.tb_frame.f_code if last is not None else None
    environ = code is not None and code.co_name == "__getitem__" and "os" in (code.co_filename.replace("<frozen ", "")
        .rstrip(">").replace(".py", "").rpartition("/")[2],)
    missing = getattr(problem, "name", None)
    said = {"type": type(problem).__name__, "line": line[:2000], "environ": environ,
        "missing": missing if isinstance(missing, str) and isinstance(problem, ImportError) else ""}
for stream in (sys.stdout, sys.stderr):
    try:
        stream.flush()
    except Exception:
        pass
os.write(pipe, json.dumps(said).encode())
os._exit(0)
"""


class Plan(TypedDict):
    """What the host tells in the first argument."""

    wheel: str
    dependencies: str
    """Folder of the wheels that it requires."""
    python: str
    uv: str
    modules: list[str]
    seconds: float
    """For each."""


def main() -> None:
    """Hold the whole dialogue; the exit code is 0 where each module's import was tried."""
    plan: Plan = json.loads(sys.argv[1])
    host = HostLine(int(sys.argv[2]), int(sys.argv[3]))
    os.umask(0o022)
    with host.told_of_faults():
        hide()
        host.enter("check", f"installing {Path(plan['wheel']).name}")
        _make_environment(plan)
        dependencies = sorted(str(path) for path in Path(plan["dependencies"]).glob("*.whl"))
        if dependencies and not _install(plan, dependencies):
            host.say("imports", unchecked="its dependencies cannot be installed", results=[])
            return
        if not _install(plan, [plan["wheel"]]):
            raise Fault("output.not-installable", "uv does not install the wheel; the log says why")
        os.mkdir(_FOLDER)  # noqa: PTH102 # one call, as below
        results = []
        for module in plan["modules"]:
            host.enter("check", f"importing {module}")
            results.append({"module": module, **_import(module, plan["seconds"])})
        host.say("imports", unchecked="", results=results)


def _make_environment(plan: Plan) -> None:
    argv = (plan["uv"], "venv", "--quiet", "--no-cache", "--no-config", "--no-project", "--offline")
    if run(
        (*argv, "--no-python-downloads", "--python", plan["python"], _ENV),
        folder=place("/build"),
        environment=os.environ,
    ):
        raise RuntimeError("uv cannot make a virtual environment")


def _install(plan: Plan, wheels: list[str]) -> bool:
    argv = (
        *(plan["uv"], "pip", "install", "--offline", "--no-index", "--no-config", "--no-cache", "--no-build"),
        *("--no-deps", "--no-progress", "--link-mode", "copy", "--python", f"{_ENV}/bin/python", "--", *wheels),
    )
    return run(argv, folder=place("/build"), environment=os.environ) == 0


def _import(module: str, seconds: float) -> dict[str, Any]:
    """Import one module in a process of its own and return what came of it."""
    reading, writing = os.pipe()
    try:
        environment = {**os.environ, "PATH": f"{_ENV}/bin:{os.environ['PATH']}", "VIRTUAL_ENV": _ENV}
        argv = (f"{_ENV}/bin/python", "-I", "-c", _IMPORT, module, str(writing))
        code = run(argv, folder=_FOLDER, environment=environment, seconds=seconds, inherited=(writing,))
    except TooLate:
        return {"late": True}
    else:
        os.set_blocking(reading, False)
        return _said(reading) or {"ended": code}
    finally:
        os.close(writing)
        os.close(reading)


def _said(pipe: int) -> dict[str, Any]:
    """Return what the process said of the import. Everybody who could write is dead."""
    try:
        said = json.loads(os.read(pipe, _MOST_SAID))
        if not said:
            return {"imported": True}
        return {
            "type": str(said["type"])[:_LONGEST],
            "line": str(said["line"])[:_LONGEST],
            "missing": str(said["missing"])[:_LONGEST],
            "environ": said["environ"] is True,
        }
    except (BlockingIOError, ValueError, LookupError, TypeError, RecursionError):
        return {}
