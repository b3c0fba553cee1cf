"""Pid 1 of a build's sandbox: unpacks the sdist, asks for its build requirements, installs them, has the wheel built.

Runs on the server's own interpreter with the kit's libraries; the hooks run in a virtual environment of the target's
interpreter. Arguments: a JSON object (see `Plan`), the file descriptor of the answers, the one of the messages.
"""

from __future__ import annotations

import email.parser
import json
import os
import shutil
import stat
import sys
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar

from build import BuildBackendException, BuildException, ProjectBuilder
from packaging.specifiers import SpecifierSet

from buildthrough.builders.inside import compilers
from buildthrough.builders.inside.dialogue import Fault, HostLine, blamed_on
from buildthrough.builders.inside.lookups import TRACE, Lookups
from buildthrough.builders.inside.places import place
from buildthrough.builders.inside.processes import hide, run
from buildthrough.builders.inside.recipe import Instructions, read_instructions
from buildthrough.builders.inside.reproducible import epoch_of, steady_names
from buildthrough.builders.inside.room import shortage
from buildthrough.builders.inside.toolchain import versions
from buildthrough.builders.inside.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import BinaryIO

T = TypeVar("T")
_ROOT = Path(place("/build"))
_ENV = _ROOT / "env"
_COMPILERS = _ROOT / "compilers"
_OUT = _ROOT / "out"
_OFFLINE = {"CARGO_HOME": str(_ROOT / "cargo"), "CARGO_NET_OFFLINE": "true"}
"""What makes tools use what is there, and say what is not, where they would wait for the network."""
_LARGEST_PYPROJECT = 1 << 20
_MOST_ROUNDS = 3
"""How often the wheel is built, where the backend asks for more each time that it failed."""
_SIGNALLED = 128
"""Exit codes of programs that a signal ended are above."""
_LARGEST_ANSWER = 4 << 20
"""Of a hook, in bytes."""
_MOST_NAMES = 1000


class Plan(TypedDict):
    """What the host tells in the first argument."""

    sdist: str
    python: str
    python_version: str
    wheels: str
    uv: str
    most_bytes: int
    recipe: str | None
    """The file that `buildthrough.builders.inside.recipe` reads."""
    hosts: str
    """What the sandbox's own /etc/hosts holds."""


class HookFailed(Exception):
    """A hook ended badly; the log says why."""

    def __init__(self, exit_code: int = 1) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code

    @property
    def was_killed(self) -> bool:
        """Whether a signal ended it: it ran into a limit, most of all that of memory."""
        return self.exit_code > _SIGNALLED


def main() -> None:
    """Hold the whole dialogue; the exit code is 0 where a wheel was handed out."""
    plan: Plan = json.loads(sys.argv[1])
    host = HostLine(int(sys.argv[2]), int(sys.argv[3]))
    os.umask(0o022)
    with host.told_of_faults():
        hide()
        try:
            _build(plan, host)
        except HookFailed as failure:
            raise Fault(*(shortage(failure.exit_code) or ("hook", ""))) from failure


def _build(plan: Plan, host: HostLine) -> None:
    host.enter("unpack", Path(plan["sdist"]).name)
    source = unpack(Path(plan["sdist"]), _ROOT / "src", plan["most_bytes"])
    epoch = epoch_of(source)
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch)
    host.enter("plan", "reading the build system")
    recipe = read_instructions(plan["recipe"])
    recipe.change(source)
    _check_python(source, plan["python_version"])
    builder = _read_build_system(source, partial(_run_hook, recipe, Lookups(plan["hosts"])))
    required = recipe.required(builder.build_system_requires)
    host.enter("requires", ", ".join(required) or "nothing is required")
    host.ask_for(required)
    host.enter("install", "making the build environment")
    _make_environment(plan)
    _install(plan, required)
    backend = _Backend(builder, recipe, plan, host, set(required))
    host.enter("requires", "asking the backend what else it requires")
    backend.take_more()
    host.enter("build", "building the wheel")
    backend.build()
    host.enter("collect", "looking at what was built")
    _hand_out(host, epoch)


class _Backend:
    """Asks the backend what it requires, and has the wheel built."""

    def __init__(
        self, builder: ProjectBuilder, recipe: Instructions, plan: Plan, host: HostLine, installed: set[str]
    ) -> None:
        self._builder = builder
        self._recipe = recipe
        self._plan = plan
        self._host = host
        self._installed = installed

    def take_more(self) -> bool:
        """Install what the backend requires now and did not before. Return whether there was anything."""
        asked = _call(lambda: self._builder.get_requires_for_build("wheel", self._recipe.config_settings))
        more = sorted(set(self._recipe.required(asked)) - self._installed, key=str)
        if more:
            self._host.ask_for(more)
            self._host.enter("install", ", ".join(more))
            _install(self._plan, more)
            self._installed |= set(more)
        return bool(more)

    def build(self) -> None:
        """Build. Where that fails, and the backend now asks for what it had no use for before, build once more.

        Frontends ask once (PEP 517), and so does this where it does: some backends learn what they require from what
        they required first.
        """
        for left in reversed(range(_MOST_ROUNDS)):
            _OUT.mkdir()
            try:
                _call(lambda: self._builder.build("wheel", str(_OUT), self._recipe.config_settings))
            except HookFailed as failure:
                if not left or failure.was_killed or shortage(failure.exit_code) or not self._asks_again():
                    self._host.stage = "build"
                    raise
                shutil.rmtree(_OUT)
                self._host.enter("build", "building the wheel once more")
            else:
                return

    def _asks_again(self) -> bool:
        self._host.enter("requires", "it failed; asking the backend what it requires now")
        try:
            return self.take_more()
        except HookFailed:
            return False


def _read_build_system(source: Path, runner: Callable[..., None]) -> ProjectBuilder:
    for name, largest in (("pyproject.toml", _LARGEST_PYPROJECT), ("setup.py", None)):
        try:
            found = (source / name).lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(found.st_mode):
            raise Fault("source.unsafe", f"{name} is no regular file")
        if largest is not None and found.st_size > largest:
            raise Fault("source.invalid", f"{name} has {found.st_size} bytes, more than {largest}")
    with blamed_on("source.invalid", "the build system cannot be read"):
        return ProjectBuilder(str(source), str(_ENV / "bin" / "python"), runner)
    raise AssertionError("nothing is swallowed there")


def _check_python(source: Path, version: str) -> None:
    """Refuse early what says itself that it does not work with the target's Python."""
    try:
        with (source / "PKG-INFO").open("rb") as file:
            headers = email.parser.BytesHeaderParser().parsebytes(file.read(_LARGEST_PYPROJECT))
    except (OSError, ValueError):
        return  # older sdists have none
    wanted = str(headers.get("Requires-Python") or "").strip()
    try:
        fits = SpecifierSet(wanted).contains(version, prereleases=True)
    except ValueError:  # InvalidSpecifier, or a number of thousands of digits
        return  # installers ignore one that they cannot read as well
    if not fits:
        raise Fault("incompatible.python", f"requires Python {wanted}, the target has {version}")


def _make_environment(plan: Plan) -> None:
    argv = (plan["uv"], "venv", "--quiet", "--no-cache", "--no-config", "--no-project", "--offline")
    if run(
        (*argv, "--no-python-downloads", "--python", plan["python"], str(_ENV)),
        folder=str(_ROOT),
        environment=_environ(),
    ):
        if short := shortage():
            raise Fault(*short)
        raise RuntimeError("uv cannot make a virtual environment")
    compilers.place(_COMPILERS, Path("/usr/bin"))
    steady_names(_ENV)


def _install(plan: Plan, requirements: Sequence[str]) -> None:
    if not requirements:
        return
    argv = (
        *(plan["uv"], "pip", "install", "--offline", "--no-index", "--no-config", "--no-cache", "--no-build"),
        *("--no-progress", "--link-mode", "copy", "--find-links", plan["wheels"]),
        *("--python", str(_ENV / "bin" / "python"), "--", *requirements),
    )
    if code := run(argv, folder=str(_ROOT), environment=_environ()):
        raise HookFailed(code)


def _run_hook(
    recipe: Instructions,
    lookups: Lookups,
    cmd: Sequence[str],
    cwd: str | None = None,
    extra_environ: Mapping[str, str] | None = None,
) -> None:
    """Run a hook, as pyproject_hooks wants it; nothing that it started is alive when its answer is read."""
    environment = {**recipe.surround(_environ()), **(extra_environ or {})}
    lookups.happened()  # what came before is not this hook's
    if code := run(cmd, folder=cwd or str(_ROOT), environment=environment):
        if lookups.happened():
            print(TRACE, flush=True)
        raise HookFailed(code)
    answer = Path(cmd[-1], "output.json")
    found = answer.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST_ANSWER:
        print("error: the backend's answer is no regular file, or too large", flush=True)
        raise HookFailed


def _call(hook: Callable[[], T]) -> T:
    """Call a hook and make every way in which it can fail one, told in the log."""
    try:
        return hook()
    except HookFailed:
        raise
    except BuildBackendException as problem:
        if isinstance(problem.exception, HookFailed):
            raise problem.exception from None
        print(getattr(problem.exception, "traceback", ""), f"error: {problem}", sep="\n", flush=True)
    except (
        BuildException,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        OSError,
    ) as problem:
        print(f"error: the backend's answer cannot be read: {type(problem).__name__}: {problem}", flush=True)
    raise HookFailed


def _environ() -> dict[str, str]:
    return {**_OFFLINE, **os.environ, "PATH": f"{_ENV}/bin:{_COMPILERS}:{os.environ['PATH']}"}


def _hand_out(host: HostLine, epoch: int) -> None:
    """Send the one regular file in the output folder."""
    with blamed_on("output.unsafe", "the backend's output cannot be read"), _output() as (name, file):
        # What is for any platform was not compiled.
        tools = {} if name.endswith("-any.whl") else versions(os.environ)
        host.tell(source_date_epoch=epoch, toolchain=tools)
        host.hand_out(name, file)


@contextmanager
def _output() -> Iterator[tuple[str, BinaryIO]]:
    if not stat.S_ISDIR(_OUT.lstat().st_mode):
        raise Fault("output.unsafe", "the output folder was replaced")
    names = [path.name for path in islice(_OUT.iterdir(), _MOST_NAMES)]
    if not names:
        raise Fault("output.none", "the backend reports success, but there is no wheel")
    if len(names) > 1:
        raise Fault("output.many", f"the backend made {len(names)} files or more, not one wheel")
    path = _OUT / names[0]
    if not stat.S_ISREG(path.lstat().st_mode):
        raise Fault("output.unsafe", "the backend's output is no regular file")
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        yield names[0], file
