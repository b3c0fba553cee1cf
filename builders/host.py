"""Finds out what the sandbox's profile has to know of this machine."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

from buildthrough.builders.faults import InfrastructureFault
from buildthrough.builders.profile import Host, Root

SEARCH_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
_PACKAGES = {"sh": "dash", "setpriv": "util-linux", "prlimit": "util-linux", "nice": "coreutils", "bwrap": "bubblewrap"}
_ROOT_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_PROC_FOLDERS = ("sys", "irq", "bus", "fs", "acpi", "tty", "pressure")
_PROC_FILES = (
    "keys", "key-users", "timer_list", "sched_debug", "kallsyms", "cmdline", "sysrq-trigger", "kcore", "kmsg",
    "modules", "config.gz",
)  # fmt: skip
_RLIMITS = {
    "as": resource.RLIMIT_AS,
    "core": resource.RLIMIT_CORE,
    "fsize": resource.RLIMIT_FSIZE,
    "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC,
    "cpu": resource.RLIMIT_CPU,
    "memlock": resource.RLIMIT_MEMLOCK,
    "msgqueue": resource.RLIMIT_MSGQUEUE,
    "sigpending": resource.RLIMIT_SIGPENDING,
    "rtprio": resource.RLIMIT_RTPRIO,
    "nice": resource.RLIMIT_NICE,
}


def survey_host() -> Host:
    """Look at this machine. Blocking. Raise `InfrastructureFault` where a program is missing."""
    found = {program: shutil.which(program, path=SEARCH_PATH) for program in _PACKAGES}
    missing = sorted({_PACKAGES[program] for program, path in found.items() if path is None})
    if missing:
        raise InfrastructureFault("infra.sandbox", f"to build packages, run: apt-get install {' '.join(missing)}")
    ceilings = {name: resource.getrlimit(number)[1] for name, number in _RLIMITS.items()}
    return Host(
        **{program: path for program, path in found.items() if path is not None},
        proc_folders=tuple(name for name in _PROC_FOLDERS if Path("/proc", name).is_dir()),
        proc_files=tuple(name for name in _PROC_FILES if Path("/proc", name).exists()),
        ceilings={name: value for name, value in ceilings.items() if value != resource.RLIM_INFINITY},
    )


def survey_root(folder: Path = Path("/")) -> Root:
    """Look at a root file system: this machine's, or another in a folder. Blocking."""
    links, folders = [], []
    for name in _ROOT_FOLDERS:
        place = folder / name
        if place.is_symlink():
            links.append((str(place.readlink()).lstrip("/"), f"/{name}"))
        elif place.is_dir():
            folders.append(f"/{name}")
    return Root(folder=str(folder), links=tuple(links), folders=tuple(folders))


def count_tasks(uid: int) -> int:
    """Count the processes and threads that a user has now: RLIMIT_NPROC counts them all. Blocking."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == uid:
                count += sum(1 for _ in (process / "task").iterdir())
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return count
