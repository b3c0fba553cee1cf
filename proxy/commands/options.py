"""The options that commands share, and what they lead to: settings, and the server to talk to."""

from __future__ import annotations

import argparse
import json
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from buildthrough.config.load import load
from buildthrough.proxy.remote import Remote, Token

if TYPE_CHECKING:
    from buildthrough.config.load import Loaded
    from buildthrough.config.schema import Server, Settings

FLAGS = {
    "server.host": ("--host", "host"),
    "server.port": ("--port", "port"),
    "storage.dir": ("--data-dir", "data_dir"),
    "upstream.url": ("--upstream", "upstream"),
}
"""The settings that have a flag: the flag, and where argparse keeps it."""
_MAX_ADDRESS_BYTES = 64 << 10


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where settings are."""
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="settings file (default: buildthrough.toml in the working folder)"
    )
    parser.add_argument("--data-dir", metavar="DIR", help="data folder (storage.dir)")


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that talks to a running server."""
    add_settings(parser)
    parser.add_argument(
        "--server", metavar="URL", type=_server_url, help="the server to ask (default: the one of the data folder)"
    )


def settings_of(arguments: argparse.Namespace) -> Loaded:
    """Load the settings. Raise `SettingsError`."""
    given = {name: (flag, getattr(arguments, kept, None)) for name, (flag, kept) in FLAGS.items()}
    flags = {name: (flag, text) for name, (flag, text) in given.items() if text is not None}
    return load(file=arguments.config, flags=flags)


def connect(arguments: argparse.Namespace) -> Remote:
    """Return the server that the arguments and settings mean. Raise `SettingsError`."""
    settings = settings_of(arguments).settings
    url = arguments.server or _announced(settings.storage.dir) or address(settings.server)
    # The server of our own settings or data folder is on this machine, whatever address it listens on.
    is_here = arguments.server is None or _is_this_machine(url, settings.server)
    return Remote(url, lambda: find_token(settings, is_here=is_here))


def running(settings: Settings) -> Remote | None:
    """Return the server that runs on the data folder now, if one says so."""
    url = _announced(settings.storage.dir)
    return None if url is None else Remote(url, lambda: find_token(settings, is_here=True))


def address(server: Server) -> str:
    """Return the URL under which this machine reaches a server that listens so."""
    host = server.host.strip("[]")
    try:
        parsed = ip_address(host)
    except ValueError:
        return f"http://{host}:{server.port}"
    if parsed.is_unspecified:
        host = "127.0.0.1" if parsed.version == 4 else "::1"  # noqa: PLR2004 - IPv4
    return f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}"


def find_token(settings: Settings, *, is_here: bool) -> Token:
    """Find the operator's token: the configured one, or the one that the server on this machine made."""
    if settings.admin.token:
        return Token(text=settings.admin.token, place="the setting admin.token")
    file = settings.storage.dir / "admin.token"
    if not is_here:
        # The token of the server here is not told to a server elsewhere.
        return Token(text="", place="admin.token is not set, and the server is on another machine")
    try:
        return Token(text=file.read_text(encoding="ascii").strip(), place=f"the file {file}")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        return Token(text="", place=f"admin.token is not set, and the file {file} cannot be read ({reason})")


def _is_this_machine(url: str, server: Server) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        parsed = ip_address(host)
    except ValueError:
        return host in {"localhost", server.host.lower()}
    return parsed.is_loopback or parsed.is_unspecified or host == server.host


def _announced(folder: Path) -> str | None:
    """Return the address that the running server wrote into its data folder; it may not be the one of the settings."""
    try:
        with (folder / "server.json").open("rb") as file:
            written = json.loads(file.read(_MAX_ADDRESS_BYTES))
        url = written["url"]
        return _server_url(url) if isinstance(url, str) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, argparse.ArgumentTypeError):
        return None  # none runs there, or not one whose folder we may read: the settings say where


def _server_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or not text.isascii() or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL such as http://127.0.0.1:8018")
    return text.partition("#")[0].partition("?")[0]
