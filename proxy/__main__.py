"""The command line, ``buildthrough``. It exits with 0 when done, 1 when that failed, 2 when it was asked wrongly."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol

from buildthrough.config.schema import SettingsError
from buildthrough.proxy.commands import build, builds, config, doctor, log, purge, serve, targets
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
    "build": build,
    "builds": builds,
    "log": log,
    "targets": targets,
    "purge": purge,
    "config": config,
    "doctor": doctor,
}
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code. No traceback reaches a user for what is foreseen."""
    arguments = parser().parse_args(argv)
    try:
        code = COMMANDS[arguments.command].run(arguments)
        sys.stdout.flush()
    except SettingsError as error:
        return _fail(str(error), 2)
    except RemoteError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough. The rest goes nowhere, or the interpreter complains at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


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
