"""Where pip on this machine finds its index: so the address of PyPI, or of a company's mirror, is written nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from buildthrough.config.schema import SettingsError
from buildthrough.config.values import redact

_ANSWER_SECONDS = 60
_MARK = "buildthrough-index:"

# pip has no stable interface for this, and `pip config` leaves out its default; each part is asked for on its own.
_QUESTION = f"""
import json
from pip._internal.commands import create_command
from pip._internal.models.index import PyPI
options, _ = create_command("install").parse_args([])
print({_MARK!r} + json.dumps({{
    "index_url": options.index_url,
    "no_index": bool(options.no_index),
    "cert": getattr(options, "cert", None),
    "built_in": PyPI.simple_url,
}}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundIndex:
    """The index that pip uses."""

    url: str = field(repr=False)
    """May hold a name and a password."""
    ca_file: str | None
    """The certificate authorities that pip is told to use; None for the system's."""
    source: str
    """Where pip has it from, in words."""


def find_index(*, host: str, port: int) -> FoundIndex:
    """Ask pip for its index; blocks for a second or so. Raise `SettingsError` where pip does not answer.

    ``host`` and ``port`` are our own: where pip is told to use this very server, its built-in default is taken, PyPI.
    """
    answer = _ask_pip()
    configured, built_in, cert = answer.get("index_url"), answer.get("built_in"), answer.get("cert")
    if not isinstance(built_in, str) or not _is_web_address(built_in):
        raise SettingsError("pip does not say where PyPI is; set upstream.url to the address of an index.")
    ca_file = cert if isinstance(cert, str) and cert else _requests_ca_file()
    if answer.get("no_index") is True:
        raise SettingsError("pip is told to use no index (no-index); set upstream.url to the address of an index.")
    if not isinstance(configured, str) or not configured or configured == built_in:
        return FoundIndex(url=built_in, ca_file=ca_file, source="pip's built-in default")
    source = (
        "environment variable PIP_INDEX_URL" if os.environ.get("PIP_INDEX_URL") == configured else "pip's configuration"
    )
    if not _is_web_address(configured):
        raise SettingsError(
            f"The index of pip ({source}) is {redact(configured)!r}, which is no web address; set upstream.url."
        )
    if is_this_server(configured, host=host, port=port):
        return FoundIndex(
            url=built_in, ca_file=ca_file, source=f"pip's built-in default, since {source} names this server"
        )
    return FoundIndex(url=configured, ca_file=ca_file, source=source)


def is_this_server(url: str, *, host: str, port: int) -> bool:
    """Whether the URL leads to a server that listens on this host and port of this machine."""
    parts = urlsplit(url)
    default = 443 if parts.scheme == "https" else 80
    if (parts.port or default) != port or parts.hostname is None:
        return False
    named, listening = parts.hostname.lower(), host.lower().strip("[]")
    return named == listening or (_is_local(named) and _is_local(listening))


def _is_local(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _requests_ca_file() -> str | None:
    """Return what requests, the HTTP client of pip, reads where pip itself is told nothing."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or None


def _ask_pip() -> dict[str, object]:
    # -P: a pip.py in the working folder must not be taken for pip. PYTHONPATH stays: pip may have been put there.
    argv = [sys.executable, "-P", "-W", "ignore", "-c", _QUESTION]
    try:
        answered = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SettingsError(
            "pip cannot be asked where PyPI is; set upstream.url to the address of an index."
        ) from error
    lines = [line for line in answered.stdout.splitlines() if line.startswith(_MARK)]
    if answered.returncode != 0 or not lines:
        reason = next(
            (line.strip() for line in reversed(answered.stderr.splitlines()) if line.strip()), "it printed nothing"
        )
        raise SettingsError(
            f"pip does not say where PyPI is ({redact(reason)[:200]}); set upstream.url to the address of an index."
        )
    answer = json.loads(lines[-1].removeprefix(_MARK))
    if not isinstance(answer, dict):
        raise SettingsError("pip does not say where PyPI is; set upstream.url to the address of an index.")
    return answer
