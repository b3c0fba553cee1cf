"""The dial guard: tests reach nothing but this machine.

In this process connecting, sending and name resolution are refused for every address that is not a loopback or a unix
one. A subprocess gets an environment in which tools that reach out fail at once (`offline_environment`).
"""

from __future__ import annotations

import ipaddress
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.fakes import uids

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LOCAL_NAMES = frozenset({"localhost", "", "ip6-localhost"})


class DialledOutError(OSError):
    """A test tried to reach another machine."""

    def __init__(self, address: object) -> None:
        super().__init__(f"a test may not reach {address!r}: only this machine; mark it `network` if it must")
        self.address = address


def is_local(host: object) -> bool:
    """Whether a host, as it is given to `socket`, is this machine. A name other than localhost is not."""
    if host is None:
        return True
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if not isinstance(name, str):
        return False
    if name.lower() in LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _check(family: int, address: object) -> None:
    if family not in {socket.AF_INET, socket.AF_INET6}:
        return
    if not (isinstance(address, tuple) and address and is_local(address[0])):
        raise DialledOutError(address)


class _GuardedSocket(socket.socket):
    """A socket that checks where it is told to go."""

    def connect(self, address: Any, /) -> None:
        _check(self.family, address)
        super().connect(address)

    def connect_ex(self, address: Any, /) -> int:
        _check(self.family, address)
        return super().connect_ex(address)

    def sendto(self, *args: Any) -> int:
        _check(self.family, args[-1])
        return super().sendto(*args)

    def sendmsg(self, *args: Any) -> int:
        if len(args) > 3 and args[3] is not None:
            _check(self.family, args[3])
        return super().sendmsg(*args)


@contextmanager
def guard() -> Iterator[None]:
    """Refuse outward calls of this process while the block runs."""
    real_socket, real_resolve = socket.socket, socket.getaddrinfo

    def resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_local(host):
            raise DialledOutError(host)
        return real_resolve(host, *args, **kwargs)

    socket.socket = _GuardedSocket  # type: ignore[misc] # that is the point
    socket.getaddrinfo = resolve
    try:
        yield
    finally:
        socket.socket = real_socket  # type: ignore[misc] # and back
        socket.getaddrinfo = real_resolve


def closed_port() -> int:
    """Return a loopback port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def offline_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment for subprocesses: outward calls fail at once, no configuration of pip or uv is read."""
    kept = {
        key: value
        for key, value in (os.environ if base is None else base).items()
        if not key.upper().startswith(("PIP_", "UV_", "BUILDTHROUGH_")) and not key.lower().endswith("_proxy")
    }
    for name in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME"):
        kept.pop(name, None)
    nowhere = f"http://127.0.0.1:{closed_port()}"
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        kept[name] = nowhere
    kept["no_proxy"] = kept["NO_PROXY"] = "127.0.0.1,localhost"
    kept["PIP_CONFIG_FILE"] = os.devnull
    kept["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    kept["PIP_NO_INPUT"] = "1"
    kept["UV_NO_CONFIG"] = "1"
    kept["UV_PYTHON_DOWNLOADS"] = "never"
    kept["BUILDTHROUGH_BUILD__SLOT_UID_BASE"] = str(uids.SERVER)
    kept["BUILDTHROUGH_BUILD__VERSION_MANAGERS"] = "false"  # each would be asked, and lent
    return kept
