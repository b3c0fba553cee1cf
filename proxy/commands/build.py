"""``buildthrough build NAME==VERSION``: have a wheel built, whatever failed or was purged before."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from buildthrough.proxy.commands import options
from buildthrough.proxy.commands.table import text
from buildthrough.proxy.logs import escape

if TYPE_CHECKING:
    from buildthrough.proxy.remote import Remote

SUMMARY = "have the wheel of one version built"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("pin", metavar="NAME==VERSION", type=exact, help="the version to build")
    parser.add_argument("--target", metavar="T", help="the target (default: the server's first; see `targets`)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--again", action="store_true", help="also where it is built already; other bytes get a file name of their own"
    )
    how.add_argument(
        "--check", action="store_true", help="build it twice, or once more, and say whether the bytes are the same"
    )
    options.add_server(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask for the build and say its number."""
    name, version = arguments.pin
    server = options.connect(arguments)
    if arguments.check:
        from buildthrough.proxy.commands.check import check  # noqa: PLC0415 - other commands start without it

        return check(server, name, version, arguments.target)
    build = ask(server, name, version, arguments.target, again=arguments.again)
    number, state = text(build.get("id")), text(build.get("state"))
    what = f"{text(build.get('project'))} {text(build.get('version'))} for {text(build.get('target'))}"
    print(escape(f"Build {number} of {what} is {state}. Its log, once it has ended: buildthrough log {number}"))
    return 0


def ask(server: Remote, name: str, version: str, target: str | None, *, again: bool) -> dict[str, Any]:
    """Ask a server for a build; return it as it is then. Raise `RemoteError`."""
    body: dict[str, object] = {"name": name, "version": version}
    if target:
        body["target"] = target
    if again:
        body["again"] = True
    return server.post("builds", body)


def pin(value: str) -> tuple[str, str | None]:
    """Read ``NAME`` or ``NAME==VERSION``."""
    from packaging.utils import InvalidName, canonicalize_name  # noqa: PLC0415 - other commands start without it
    from packaging.version import InvalidVersion, Version  # noqa: PLC0415 - as above

    name, equals, version = (part.strip() for part in value.partition("=="))
    try:
        return canonicalize_name(name, validate=True), str(Version(version)) if equals else None
    except InvalidName as error:
        raise argparse.ArgumentTypeError(f"{name!r} is not the name of a project") from error
    except InvalidVersion as error:
        raise argparse.ArgumentTypeError(f"{version!r} is not a version") from error


def exact(value: str) -> tuple[str, str]:
    """Read ``NAME==VERSION``."""
    name, version = pin(value)
    if version is None:
        raise argparse.ArgumentTypeError(f"{value!r} names no version; write {name}==VERSION")
    return name, version
