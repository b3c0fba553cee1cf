# ruff: noqa: E501 # the table reads best with few lines a row
"""The classes of failure: what each means, how long it is remembered, against what, and what a user can do.

One table. A failure's dotted class finds its row by the longest beginning: ``output.bad-record`` is in ``output``.
Which lines of a log are signs of which class is in `buildthrough.builders.diagnosis`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from buildthrough.builders.faults import Stage

MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

Scope = Literal["sdist", "sdist and Python", "sdist and platform", "machine", "index", "limits", "policy", "nobody"]
"""What the failure is held against: with another one of it the answer may be another one."""
Retry = Literal["no", "time-cut", "back-off"]
"""Whether it is tried again by itself: with the index of the sdist's day, or after a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureClass:
    """One row of the table."""

    name: str
    """Dotted class, or its beginning."""
    means: str
    """What happened, in plain words."""
    stages: tuple[Stage, ...] = ()
    """Where it is seen; empty where that may be anywhere."""
    remembered: float | None
    """Seconds that it answers for its request, None for ever (these very bytes will fail again)."""
    scope: Scope
    retry: Retry = "no"
    advice: str
    """One sentence: what the reader can do."""


FAILURES: Final[tuple[FailureClass, ...]] = (
    FailureClass(
        name="source.missing", means="upstream lists the sdist but does not deliver it", stages=("fetch",),
        remembered=10 * MINUTE, scope="index",
        advice="Wait some minutes: upstream's delivery network lags behind its pages.",
    ),
    FailureClass(
        name="source", means="the sdist is damaged, unsafe, or no sdist", stages=("fetch", "unpack", "plan"),
        remembered=None, scope="sdist",
        advice="Tell the project: its sdist cannot be unpacked or read; another version may do.",
    ),
    FailureClass(
        name="recipe", means="a recipe of this server does not fit the sdist", stages=("unpack", "plan", "requires"),
        remembered=DAY, scope="policy",
        advice="Mend or remove the recipe; `buildthrough recipes NAME==VERSION` shows which ones apply.",
    ),
    FailureClass(
        name="skipped", means="a rule of this server says that it is not built", remembered=DAY, scope="policy",
        advice="Ask the operator of this server, or use what the reason names instead.",
    ),
    FailureClass(
        name="refused", means="the package itself refuses to be built, and says so", stages=("requires", "metadata", "build"),
        remembered=None, scope="sdist",
        advice="Do what its message says; usually it names the project to use instead.",
    ),
    FailureClass(
        name="incompatible.python", means="the package is not for this Python", stages=("plan", "requires", "build"),
        remembered=None, scope="sdist and Python",
        advice="Use a version of the package that supports this Python, or a Python that the package supports.",
    ),
    FailureClass(
        name="incompatible.python2", means="the package is for Python 2 alone", stages=("plan", "requires", "build"),
        remembered=None, scope="sdist and Python",
        advice="Give it up: no Python 3 can run it; look for a successor or a newer version.",
    ),
    FailureClass(
        name="incompatible.platform", means="the package is for another operating system", remembered=None,
        scope="sdist and platform",
        advice="Make the requirement conditional, such as `; sys_platform == 'win32'`: it cannot be built for this system.",
    ),
    FailureClass(
        name="capi", means="its C code uses parts of Python's C API that this Python no longer has", stages=("build",),
        remembered=None, scope="sdist and Python", retry="time-cut",
        advice="Use a newer version of the package, or an older Python: this code cannot be compiled for this one.",
    ),
    FailureClass(
        name="rot.setuptools", means="the package is older than the setuptools that built it", remembered=7 * DAY,
        scope="index", retry="time-cut",
        advice="Use a newer version, or give it a recipe that pins setuptools to one of its time.",
    ),
    FailureClass(
        name="rot.cython", means="the package is older than the Cython that compiled it", remembered=7 * DAY,
        scope="index", retry="time-cut",
        advice="Use a newer version, or give it a recipe that asks for `Cython<3`.",
    ),
    FailureClass(
        name="rot", means="the package is older than the tools that built it", remembered=7 * DAY, scope="index",
        retry="time-cut", advice="Use a newer version, or give it a recipe that pins the tool to one of its time.",
    ),
    FailureClass(
        name="deps.undeclared", means="it needs a package to build that it does not ask for", remembered=30 * DAY,
        scope="sdist", advice="Give it a recipe that adds the missing build requirement.",
    ),
    FailureClass(
        name="deps.cycle", means="its build requirements need each other to be built", stages=("requires",),
        remembered=7 * DAY, scope="index",
        advice="Provide one of them as a wheel, in an index of your own.",
    ),
    FailureClass(
        name="deps.depth", means="too many packages would have to be built, one for the other", stages=("requires",),
        remembered=DAY, scope="index",
        advice="Build the innermost requirement first: `buildthrough build NAME==VERSION`.",
    ),
    FailureClass(
        name="deps.build-failed", means="a build requirement had to be built, and that failed", stages=("requires",),
        remembered=6 * HOUR, scope="index",
        advice="Look at the build of that requirement: its failure is the one to mend.",
    ),
    FailureClass(
        name="deps.denied", means="a build requirement is refused by this server's rules", stages=("requires",),
        remembered=6 * HOUR, scope="policy", advice="Ask the operator of this server to allow the requirement.",
    ),
    FailureClass(
        name="deps", means="its build requirements cannot be satisfied", stages=("requires", "install"),
        remembered=6 * HOUR, scope="index", retry="time-cut",
        advice="Try again when the index has changed, or give it a recipe that constrains the requirement.",
    ),
    FailureClass(
        name="requires.refused", means="a build requirement names a place or an option instead of a project",
        stages=("requires",), remembered=None, scope="sdist",
        advice="Only projects of the index can be required to build: give it a recipe that replaces the requirement.",
    ),
    FailureClass(
        name="syslib.header", means="a header file of a system library is missing", stages=("requires", "metadata", "build"),
        remembered=7 * DAY, scope="machine", advice="Install the library's development package on the building machine.",
    ),
    FailureClass(
        name="syslib.linker", means="a system library to link with is missing", stages=("build",),
        remembered=7 * DAY, scope="machine", advice="Install the library's development package on the building machine.",
    ),
    FailureClass(
        name="syslib.pkgconfig", means="a system library is missing, or its pkg-config file",
        stages=("requires", "metadata", "build"), remembered=7 * DAY, scope="machine",
        advice="Install the library's development package, and pkg-config, on the building machine.",
    ),
    FailureClass(
        name="syslib.version", means="a system library is there, but in another version than it needs",
        stages=("requires", "metadata", "build"), remembered=7 * DAY, scope="machine",
        advice="Use the version of the package that goes with the library, or build in a distribution that has the other.",
    ),
    FailureClass(
        name="syslib.tool", means="a program that it needs to build is missing", stages=("requires", "metadata", "build"),
        remembered=7 * DAY, scope="machine", advice="Install the program on the building machine.",
    ),
    FailureClass(
        name="network.crates", means="it needs crates of Rust that the sdist does not bring along",
        stages=("metadata", "build"), remembered=30 * DAY, scope="policy",
        advice="Ask the project for wheels, or for an sdist with its crates vendored: builds here have no network.",
    ),
    FailureClass(
        name="network", means="it wants the network, which no build gets", remembered=30 * DAY, scope="policy",
        advice="Give it a recipe that switches the download off, or put what it fetches where its build looks first.",
    ),
    FailureClass(
        name="compiler", means="the compiler refuses its code", stages=("build",), remembered=30 * DAY, scope="machine",
        retry="time-cut", advice="Use a newer version of the package; the log has the compiler's messages.",
    ),
    FailureClass(
        name="limit.budget", means="the build may use more than all builds together", stages=("plan",),
        remembered=HOUR, scope="limits",
        advice="Raise build.pool_memory_bytes or build.pool_cpus, or lower the limits of this project.",
    ),
    FailureClass(
        name="limit.time", means="the build took too long", remembered=7 * DAY, scope="limits",
        advice="Raise build.wall_seconds, or give it a recipe with a limit of its own.",
    ),
    FailureClass(
        name="limit.silence", means="the build printed nothing for too long", remembered=7 * DAY, scope="limits",
        advice="Raise build.silence_seconds, or give it a recipe with a limit of its own.",
    ),
    FailureClass(
        name="limit.memory", means="the build used too much memory", remembered=7 * DAY, scope="limits",
        advice="Raise build.memory_bytes, or give it a recipe with a limit of its own.",
    ),
    FailureClass(
        name="limit.cpu", means="the build used too much processor time", remembered=7 * DAY, scope="limits",
        advice="Raise build.cpu_seconds, or give it a recipe with a limit of its own.",
    ),
    FailureClass(
        name="limit.disk", means="the build filled a folder that it may write to", remembered=7 * DAY, scope="limits",
        advice="Raise build.disk_bytes, or give it a recipe with a limit of its own.",
    ),
    FailureClass(
        name="limit.inodes", means="the build made too many files", remembered=7 * DAY, scope="limits",
        advice="Raise build.inodes, or give it a recipe with a limit of its own.",
    ),
    FailureClass(
        name="limit.processes", means="the build failed after it was refused more processes or threads",
        remembered=7 * DAY, scope="limits",
        advice="Raise build.processes, or give it a recipe with a limit of its own.",
    ),
    FailureClass(
        name="limit.file-size", means="the build wrote a file that is too large", remembered=7 * DAY, scope="limits",
        advice="Raise build.file_bytes, or give it a recipe with a limit of its own.",
    ),
    FailureClass(
        name="limit.log", means="the build printed far more than a log can hold", remembered=7 * DAY, scope="limits",
        advice="Raise build.log_bytes, or give it a recipe that makes it print less.",
    ),
    FailureClass(
        name="limit.output", means="the wheel is too large", stages=("collect",), remembered=7 * DAY, scope="limits",
        advice="Raise build.max_wheel_bytes, or install from the sdist.",
    ),
    FailureClass(
        name="limit", means="the build reached one of its limits", remembered=7 * DAY, scope="limits",
        advice="Raise the limit in the settings, or give it a recipe with a limit of its own.",
    ),
    FailureClass(
        name="import", means="the wheel was built, but what it holds cannot be imported", stages=("check",),
        remembered=7 * DAY, scope="index",
        advice="Try another version; where the import cannot work on a building machine, give it a recipe with `skip_import`.",
    ),
    FailureClass(
        name="output.no-manylinux", means="the wheel runs on no other machine than the one that built it",
        stages=("repair",), remembered=7 * DAY, scope="machine",
        advice="Build it on an older system: a target with an older C library.",
    ),
    FailureClass(
        name="output.bad-requirement", means="its METADATA says requirements that pip refuses and uv guesses at",
        stages=("check",), remembered=None, scope="sdist",
        advice="Use another version, or give it a recipe that patches the requirement in its setup.py or pyproject.toml.",
    ),
    FailureClass(
        name="output", means="the build gave no wheel, or not a wheel of what was asked for",
        stages=("collect", "repair", "check"), remembered=None, scope="sdist",
        advice="Tell the project: no installer should take such a wheel; another version may do.",
    ),
    FailureClass(
        name="build.failed", means="the build failed, and nothing in its log is known", remembered=7 * DAY, scope="sdist",
        retry="time-cut",
        advice="Read the log: `buildthrough log ID`; where it tells a cause, that is worth a report to this project.",
    ),
    FailureClass(
        name="cancelled", means="there is nothing to build any more", remembered=0.0, scope="nobody",
        advice="Nothing is wrong; it is built again when it is asked for again.",
    ),
    FailureClass(
        name="infra", means="this server failed, not the package", remembered=0.0, scope="nobody", retry="back-off",
        advice="Nothing is held against the package: it is tried again by itself; `buildthrough doctor` tells what is wrong.",
    ),
)  # fmt: skip # a table reads best with few lines a row
"""All classes; the order is the one in which documentation shows them."""

_BY_NAME: Final = {row.name: row for row in FAILURES}
_OTHER: Final = FailureClass(
    name="other", means="the build ended in a way that has no class", remembered=7 * DAY, scope="sdist",
    advice="Read the log: `buildthrough log ID`.",
)  # fmt: skip


def classify(kind: str) -> FailureClass:
    """Return the row of a dotted class: the one with the longest beginning up to a dot."""
    beginning = kind
    while beginning:
        if beginning in _BY_NAME:
            return _BY_NAME[beginning]
        beginning = beginning.rpartition(".")[0]
    return _OTHER
