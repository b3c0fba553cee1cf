"""The command line, ``buildthrough``. It exits with 0 when done, 1 when that failed, 2 when it was asked wrongly."""

from __future__ import annotations

import argparse
import io
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from buildthrough.config.schema import SettingsError
from buildthrough.proxy.commands import (
    build,
    builder,
    builds,
    cancel,
    config,
    doctor,
    drain,
    forget,
    log,
    provenance,
    purge,
    recipes,
    resume,
    seccomp,
    serve,
    target,
    targets,
    upstreams,
    verify,
)
from buildthrough.proxy.logs import escape
from buildthrough.proxy.remote import RemoteError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Command(Protocol):
    """What each module of a command offers."""

    SUMMARY: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it, and return the exit code."""
        ...


COMMANDS: dict[str, Command] = {
    "serve": serve,
    "builder": builder,
    "build": build,
    "builds": builds,
    "log": log,
    "cancel": cancel,
    "drain": drain,
    "resume": resume,
    "targets": targets,
    "target": target,
    "recipes": recipes,
    "purge": purge,
    "provenance": provenance,
    "upstreams": upstreams,
    "forget": forget,
    "config": config,
    "verify": verify,
    "doctor": doctor,
    "seccomp": seccomp,
}
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code. No traceback reaches a user for what is foreseen."""
    if sys.stdout is None:  # closed by whoever started us
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the process
    arguments = parser().parse_args(argv)
    try:
        return _run(arguments)
    except SettingsError as error:
        return _fail(str(error), 2)
    except RemoteError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "serve":
        return COMMANDS["serve"].run(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a log may hold what the terminal's encoding lacks
    try:
        code = COMMANDS[arguments.command].run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_output()
        return 0  # whoever read our output has seen enough
    except OSError as error:
        if arguments.command == "doctor":
            raise  # it may be the machine's
        # The others touch nothing else that could fail so: settings and server have errors of their own.
        _abandon_output()
        return _fail(f"The output cannot be written ({error.strerror or error}).", 1)
    return code


def _abandon_output() -> None:
    """Send what is left in the buffer nowhere, or the interpreter complains at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    whole = argparse.ArgumentParser(
        prog="buildthrough", description="A build-through cache for Python packages.", allow_abbrev=False
    )
    whole.add_argument("--version", action="version", version=f"buildthrough {version('buildthrough')}")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        one = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=f"{module.SUMMARY[0].upper()}{module.SUMMARY[1:]}.",
            allow_abbrev=False,
        )
        module.add_arguments(one)
    return whole


def _fail(sentence: str, code: int) -> int:
    sys.stderr.write(f"buildthrough: {escape(sentence)}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
