"""``buildthrough config``: each setting as it is, and where that comes from. What it prints is a settings file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildthrough.config.pip import find_index
from buildthrough.config.schema import SettingsError
from buildthrough.config.values import redact, show
from buildthrough.proxy.commands import options

if TYPE_CHECKING:
    import argparse

    from buildthrough.config.load import Loaded

SUMMARY = "print the settings and where each comes from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    options.add_settings(parser)
    parser.add_argument("--host", help="address to listen on (server.host)")
    parser.add_argument("--port", help="port to listen on (server.port)")
    parser.add_argument("--upstream", metavar="URL", help="the index to stand in front of (upstream.url)")


def run(arguments: argparse.Namespace) -> int:
    """Print the settings."""
    loaded = options.settings_of(arguments)
    for line in lines(loaded):
        print(line)
    for upstream in loaded.settings.upstreams:
        if not upstream.url:
            table = f"upstreams.{upstream.name}" if upstream.name else "upstream"
            print(f"\n# {table}.url is not set: {_found(loaded)}")
    return 0


def lines(loaded: Loaded) -> list[str]:
    """Return one line a setting, in their sections, without secrets."""
    written: list[tuple[str, str]] = []
    section = ""
    for key in loaded.keys.values():
        if key.section != section:
            section = key.section
            written += [("", ""), (f"[{section}]", "")]
        value = getattr(_holder(loaded, section), key.name)
        hidden = "# " if (key.is_secret and value) or redact(str(value)) != str(value) else ""
        written.append((f"{hidden}{key.name} = {show(key, value)}", loaded.sources[key.path]))
    width = max(len(left) for left, right in written if right)
    return [f"{left.ljust(width)}  # {right}" if right else left for left, right in written[1:]]


def _holder(loaded: Loaded, section: str) -> object:
    name = section.partition(".")[2]
    if name:
        return next(one for one in loaded.settings.upstreams if one.name == name)
    return getattr(loaded.settings, section)


def _found(loaded: Loaded) -> str:
    server = loaded.settings.server
    try:
        found = find_index(host=server.host, port=server.port)
    except SettingsError as error:
        return str(error)
    return f"{redact(found.url)} is used, from {found.source}"
