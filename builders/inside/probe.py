"""Run by an interpreter to describe itself: prints one JSON object. Serves every Python since 3.7."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
from pathlib import Path


def libc() -> tuple[str, list[int]] | None:
    """Return the kind and the version of the C library; None for an unknown one."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, OSError, ValueError):
        name = version = ""
    if name == "glibc":
        return "manylinux", [int(part) for part in version.split(".")[:2]]
    loader = None
    with Path("/proc/self/maps").open(encoding="utf-8", errors="replace") as maps:
        for line in maps:
            match = re.search(r"(/\S*/ld-musl-[^/\s]+\.so\.1)\s*$", line)
            loader = match.group(1) if match else loader
    if loader is None:
        return None
    told = subprocess.run([loader], stderr=subprocess.PIPE, check=False).stderr.decode("utf-8", "replace")
    match = re.search(r"Version (\d+)\.(\d+)", told)
    return ("musllinux", [int(match.group(1)), int(match.group(2))]) if match else None


def markers() -> dict[str, str]:
    """Return the environment markers of the dependency specifiers specification."""
    info = sys.implementation.version
    level = "" if info.releaselevel == "final" else info.releaselevel[0] + str(info.serial)
    return {
        "implementation_name": sys.implementation.name,
        "implementation_version": f"{info.major}.{info.minor}.{info.micro}{level}",
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform,
    }


def main() -> None:
    """Print the facts."""
    paths = sysconfig.get_paths()
    include = [paths["include"], paths["platinclude"]]
    base = getattr(sys, "_base_executable", None) or sys.executable
    facts = {
        "implementation": sys.implementation.name,
        "version": list(sys.version_info[:2]),
        "soabi": sysconfig.get_config_var("SOABI"),
        "ext_suffix": sysconfig.get_config_var("EXT_SUFFIX"),
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "debug": hasattr(sys, "gettotalrefcount"),
        "machine": platform.machine(),
        "bits": 64 if sys.maxsize > 2**32 else 32,
        "libc": libc() if sys.platform.startswith("linux") else None,
        "executable": os.path.realpath(base),
        "folders": [sys.base_prefix, sys.base_exec_prefix, paths["stdlib"], paths["platstdlib"], *include],
        "include": include,
        "markers": markers(),
    }
    # In a virtual environment the platform's standard library is said to be in it; it belongs to the base.
    own = sys.prefix + os.sep
    if sys.prefix != sys.base_prefix:
        facts["folders"] = [folder for folder in facts["folders"] if not folder.startswith(own)]
    print(json.dumps(facts))


main()
