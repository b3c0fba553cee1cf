"""The command line that isolates a command: a pure function from values to argv.

The order of the mounts matters: base, temporary file systems, the command's own mounts, then ``--remount-ro /``.
Every piece is there because of something that was seen to go wrong without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from buildthrough.builders.sandbox import Command, Limits

_JOIN = 'for group; do [ "$group" != -- ] || break; echo 0 >"$group" || exit; shift; done; shift; exec "$@"'
"""Joins the cgroups named before ``--`` and becomes the rest of its arguments."""
_WAIT = 'echo && read -r go && exec "$@" </dev/null >&2'
"""Inside: tells the supervisor that it is there, and becomes the command when it is told to.

Only from here on is the supervisor's death sure to be the sandbox's too: a command whose supervisor died before
that never begins.
"""
DEVICES = ("null", "zero", "full", "random", "urandom")
TEMPORARY = ("/build", "/tmp", "/home/build", "/dev/shm")  # noqa: S108 # the sandbox's own
"""All that can be written to inside; each is a file system in memory, with nothing on the host's disk."""
_STANDARD_STREAMS = (("", "fd"), ("/0", "stdin"), ("/1", "stdout"), ("/2", "stderr"))
_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives")
_MEBIBYTE = 1 << 20

ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/home/build",
    "TMPDIR": "/tmp",  # noqa: S108 # the sandbox's own
    "LC_ALL": "C.UTF-8",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "TERM": "dumb",
    "SOURCE_DATE_EPOCH": "315532800",  # 1980, which a zip archive can hold; the driver knows better what the sdist says
    "ZERO_AR_DATE": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "USER": "build",
    "LOGNAME": "build",
    "PIP_NO_INDEX": "1",
    "MAKEFLAGS": "-j2",
    "UV_PYTHON_DOWNLOADS": "never",
}
"""All that is set inside, but for what a command adds."""

ETC_FILES: Mapping[str, bytes] = {
    "/etc/passwd": (
        b"root:x:0:0:root:/:/usr/sbin/nologin\n"
        b"build:x:1000:1000:build:/home/build:/bin/sh\n"
        b"nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
    ),
    "/etc/group": b"root:x:0:\nbuild:x:1000:\nnogroup:x:65534:\n",
    "/etc/hosts": b"127.0.0.1 localhost\n::1 localhost\n",
    "/etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files\n",
}
"""Made-up accounts and hosts: the real ones are nobody's business inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """The root file system that is seen inside: this machine's, or a folder's; `builders.host` looks at it."""

    folder: str = "/"
    """Its folder; programs, libraries and linker settings are taken from there."""
    links: tuple[tuple[str, str], ...]
    """Links at the root into /usr, where /usr is merged: (``usr/bin``, ``/bin``)."""
    folders: tuple[str, ...]
    """The same as real folders, where it is not."""

    def path(self, inside: str) -> str:
        """Return where a path that is seen inside is outside."""
        return self.folder.rstrip("/") + inside


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the profile has to know of this machine; `builders.host` finds it out."""

    sh: str
    setpriv: str
    prlimit: str
    nice: str
    bwrap: str
    proc_folders: tuple[str, ...]
    """Which folders of /proc that are to be hidden exist."""
    proc_files: tuple[str, ...]
    ceilings: Mapping[str, int] = field(default_factory=dict)
    """Hard limits that this process has already, by prlimit's option; they cannot be raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptors:
    """Numbers of the inherited file descriptors."""

    etc: Mapping[str, int]
    """Of each of the `ETC_FILES`."""
    seccomp: int
    status: int
    answers: int
    messages: int

    @property
    def numbers(self) -> tuple[int, ...]:
        """All of them."""
        return (*self.etc.values(), self.seccomp, self.status, self.answers, self.messages)


def command_line(
    command: Command,
    *,
    host: Host,
    root: Root,
    descriptors: Descriptors,
    user: tuple[int, int] | None,
    cgroups: tuple[Path, ...],
    processes: int,
    own_proc: bool = True,
) -> tuple[str, ...]:
    """Return the whole argv.

    ``user`` is the (uid, gid) to become first, None to stay the one that we are. ``cgroups`` are the files
    ``cgroup.procs`` to join. ``processes`` is the limit per uid. Without ``own_proc`` there is no /proc inside, as
    it has to be in a container whose own is masked. Raise ValueError for root: bwrap
    started by root leaves the host's /proc/sys writable.
    """
    return (
        *preamble(host, command.limits, user=user, cgroups=cgroups, processes=processes),
        host.bwrap,
        *_namespaces(own_proc=own_proc),
        *_base(host, root, descriptors, own_proc=own_proc),
        *_temporary(command.limits),
        *(word for mount in command.mounts for word in ("--ro-bind", str(mount.source), mount.target)),
        "--remount-ro", "/",
        *_surroundings(command.environment),
        "--seccomp", str(descriptors.seccomp),
        "--json-status-fd", str(descriptors.status),
        "--",
        "/bin/sh", "-c", _WAIT, "sh",
        *command.argv,
        str(descriptors.answers), str(descriptors.messages),
    )  # fmt: skip


def preamble(
    host: Host, limits: Limits, *, user: tuple[int, int] | None, cgroups: tuple[Path, ...], processes: int
) -> tuple[str, ...]:
    """Return the programs that bound whatever is started behind them, at every level; see `command_line`."""
    return (*_join(host, cgroups), *_become(host, user), *_bounds(host, limits, processes), host.nice, "-n", "10")


def _join(host: Host, cgroups: tuple[Path, ...]) -> Iterator[str]:
    if cgroups:
        yield from (host.sh, "-c", _JOIN, "sh", *map(str, cgroups), "--")


def _become(host: Host, user: tuple[int, int] | None) -> Iterator[str]:
    if user is None:
        return
    uid, gid = user
    if not uid or not gid:
        msg = "a sandbox is never started as root"
        raise ValueError(msg)
    yield from (host.setpriv, f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--inh-caps=-all")
    yield from ("--bounding-set=-all", "--no-new-privs", "--")


def _bounds(host: Host, limits: Limits, processes: int) -> Iterator[str]:
    wanted = {
        "as": limits.address_space_bytes,
        "core": 0,
        "fsize": limits.file_bytes,
        "nofile": 4096,
        "nproc": processes,
        "cpu": limits.cpu_seconds,
        "memlock": 65536,
        "msgqueue": 0,
        "sigpending": 1024,
        "rtprio": 0,
        "nice": 0,
    }
    yield host.prlimit
    for name, value in wanted.items():
        yield f"--{name}={min(value, host.ceilings.get(name, value))}"
    yield "--"


def _namespaces(*, own_proc: bool) -> tuple[str, ...]:
    """Separate flags, since ``--unshare-all`` goes without a user namespace where it gets none.

    ``--disable-userns`` writes to /proc/sys, which containers mask; the filter refuses further namespaces as well.
    """
    return (
        "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try", "--unshare-net",
        *(("--disable-userns",) if own_proc else ()),
        "--uid", "1000", "--gid", "1000", "--hostname", "localhost", "--cap-drop", "ALL",
        "--new-session", "--die-with-parent", "--as-pid-1",
    )  # fmt: skip


def _base(host: Host, root: Root, descriptors: Descriptors, *, own_proc: bool) -> Iterator[str]:
    yield from ("--ro-bind", root.path("/usr"), "/usr")
    for target, link in root.links:
        yield from ("--symlink", target, link)
    for folder in root.folders:
        yield from ("--ro-bind", root.path(folder), folder)
    for name in _ETC:
        yield from ("--ro-bind-try", root.path(f"/etc/{name}"), f"/etc/{name}")
    for path, descriptor in descriptors.etc.items():
        yield from ("--ro-bind-data", str(descriptor), path)
    if not own_proc:  # the container's own shows the server's processes
        return
    yield from ("--proc", "/proc")
    for name in host.proc_folders:
        yield from ("--size", "4096", "--tmpfs", f"/proc/{name}", "--remount-ro", f"/proc/{name}")
    for name in host.proc_files:
        yield from ("--ro-bind", "/dev/null", f"/proc/{name}")


def _temporary(limits: Limits) -> Iterator[str]:
    """All that can be written to, each of a bounded size; bwrap's own defaults take half of the memory each."""
    yield from ("--size", "65536", "--tmpfs", "/dev")
    for name in DEVICES:
        yield from ("--dev-bind", f"/dev/{name}", f"/dev/{name}")
    for source, name in _STANDARD_STREAMS:
        yield from ("--symlink", f"/proc/self/fd{source}", f"/dev/{name}")
    yield from ("--size", str(64 * _MEBIBYTE), "--perms", "1777", "--tmpfs", "/dev/shm", "--remount-ro", "/dev")  # noqa: S108 # the sandbox's own
    yield from ("--perms", "1777", "--size", str(256 * _MEBIBYTE), "--tmpfs", "/tmp")  # noqa: S108 # the sandbox's own
    yield from ("--perms", "0700", "--size", str(64 * _MEBIBYTE), "--tmpfs", "/home/build")
    yield from ("--perms", "0755", "--size", str(limits.disk_bytes), "--tmpfs", "/build")


def _surroundings(environment: Mapping[str, str]) -> Iterator[str]:
    yield from ("--chdir", "/build", "--clearenv")
    for name, value in {**ENVIRONMENT, **environment}.items():
        yield from ("--setenv", name, value)
