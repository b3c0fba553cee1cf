"""Toolchains: the compilers and build tools that builds have, beside what comes as a wheel. None needs the network.

What lies under /usr is in every sandbox. What lies elsewhere, as Rust's own installer has it, is lent read-only, at
paths of our own; see `buildthrough.builders.kit`.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from buildthrough.builders.build_log import plain_line
from buildthrough.builders.faults import InfrastructureFault
from buildthrough.builders.messages import Told, read_message
from buildthrough.builders.sandbox import DialogueError, Limits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from buildthrough.builders.kit import Kit
    from buildthrough.builders.sandbox import Channel, Sandbox
    from buildthrough.builders.target import Target

TOOLS = (*("gcc", "g++", "gfortran", "clang", "ld", "make", "cmake", "ninja", "meson", "pkg-config", "rustc", "cargo"),)
"""What is looked for."""
PACKAGES: Mapping[str, str] = {
    "gcc": "gcc",
    "g++": "g++",
    "gfortran": "gfortran",
    "make": "make",
    "cmake": "cmake",
    "ninja": "ninja-build",
    "pkg-config": "pkg-config",
    "rustc": "rustc",
    "cargo": "cargo",
}
"""The Debian package of each that is missed where it is not there."""
_LIMITS = Limits(wall_seconds=30, memory_bytes=512 << 20, disk_bytes=16 << 20)
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_RUST_SECONDS = 20


async def find_toolchains(named: Sequence[Path], search_path: str) -> tuple[Path, ...]:
    """Return the folders of toolchains outside /usr: those that are named, and that of the Rust on the search path."""
    found = await asyncio.to_thread(lambda: [path.expanduser().resolve() for path in named])
    rust = await _rust_folder(search_path)
    if rust is not None and not rust.is_relative_to("/usr") and rust not in found:
        found.append(rust)
    return tuple(found)


async def _rust_folder(search_path: str) -> Path | None:
    """Return where Rust is; what is on the path may be but a launcher that chooses among several."""
    rustc = shutil.which("rustc", path=search_path)
    if rustc is None:
        return None
    process = await asyncio.create_subprocess_exec(
        rustc, "--print", "sysroot",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        told, _ = await asyncio.wait_for(process.communicate(), _RUST_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    folder = Path(told.decode("utf-8", "replace").strip())
    return await asyncio.to_thread(_real, folder) if process.returncode == 0 else None


def _real(folder: Path) -> Path | None:
    return folder.resolve() if (folder / "bin" / "rustc").is_file() else None


async def survey_tools(sandbox: Sandbox, kit: Kit, target: Target) -> Mapping[str, str]:
    """Return the versions of the `TOOLS` that work in a target's builds.

    Raise `InfrastructureFault` where that cannot be tried.
    """

    async def hear(channel: Channel) -> Mapping[str, str]:
        match read_message(await channel.receive() or {}):
            case Told(toolchain=toolchain):
                return toolchain
            case _:
                raise DialogueError("the tools are not told")

    command = kit.command(
        "tools", {"tools": TOOLS}, target=target, limits=_LIMITS, environment={"PATH": kit.build_path(target)}
    )
    told, ending = await sandbox.run(command, hear)
    if told is None:
        line = plain_line(ending.log.decode("utf-8", "replace").strip().rpartition("\n")[2], 200)
        raise InfrastructureFault("infra.kit", f"the tools of builds cannot be looked at: {line or ending.overrun}")
    return {name: _version(said) for name, said in told.items()}


def _version(said: str) -> str:
    """Return the number in what a tool says of its version: what stands last in brackets is the packager's."""
    numbers = _VERSION.findall(said.partition("(")[0]) or _VERSION.findall(said)
    return numbers[-1] if numbers else said
