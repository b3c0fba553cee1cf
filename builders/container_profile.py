"""The system call profile for a container in which builds run, as Docker, Podman, runc and Kubernetes read it. Pure.

Made from our own table: what a build may call, and what bubblewrap needs to make its namespaces before the build's own,
stricter filter is in force. What the table refuses is refused here as well; what it does not know does not exist.
"""

from __future__ import annotations

import json
from typing import Any, Final

from buildthrough.builders import syscalls

NAMESPACE_CALLS: Final = ("clone", "mount", "pivot_root", "sethostname", "umount2", "unshare")
"""What bubblewrap calls beyond a build: Docker's default profile refuses these to a container without capabilities."""
_ARCHITECTURES = ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64")
_EPERM, _ENOSYS = 1, 38
_FAMILIES = {"local": 1, "IPv4": 2, "IPv6": 10, "netlink": 16}
"""For the server's connections, and netlink, by which bubblewrap and libc look at network interfaces."""
_PERSONALITIES = (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)
"""As in `buildthrough.builders.seccomp`."""


def profile() -> dict[str, Any]:
    """Return the profile."""
    refused = sorted({*_names(syscalls.REFUSED)} - {*NAMESPACE_CALLS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _ENOSYS,
        "architectures": list(_ARCHITECTURES),
        "syscalls": [
            _rule(sorted({*_names(syscalls.ALLOWED + syscalls.PRETENDED), *NAMESPACE_CALLS, "ioctl", "socketpair"})),
            *(_rule(["socket"], value) for value in _FAMILIES.values()),
            *(_rule(["personality"], value) for value in _PERSONALITIES),
            {"names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": _EPERM},
        ],
    }


def text() -> str:
    """Return the file."""
    return json.dumps(profile(), indent=2) + "\n"


def _rule(names: list[str], first_argument: int | None = None) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": names, "action": "SCMP_ACT_ALLOW"}
    if first_argument is not None:
        rule["args"] = [{"index": 0, "value": first_argument, "op": "SCMP_CMP_EQ"}]
    return rule


def _names(table: str) -> list[str]:
    return [entry.partition(":")[0] for entry in table.split()]
