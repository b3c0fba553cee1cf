"""A shell round a real client: it sees the system's programs, files of its own, and of the network the server alone.

An installer runs what an sdist says, so none is run without it. Inside, the server is at ``http://127.0.0.1:8000``: a
small bridge hands each connection on to a socket in the file system, and a thread outside from there to the server.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.fakes import uids

from bench.process import Child

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

INDEX: Final = "http://127.0.0.1:8000"
_SIZE: Final = 4 << 30
_BRIDGE: Final = """
import os, socket, subprocess, sys, threading
def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
def serve():
    while True:
        client, _ = listener.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect("/server/socket")
        for pair in ((client, server), (server, client)):
            threading.Thread(target=pump, args=pair, daemon=True).start()
listener = socket.create_server(("127.0.0.1", 8000), backlog=64)
threading.Thread(target=serve, daemon=True).start()
os.mkdir("/build/out")
code = subprocess.run(sys.argv[1:], cwd="/build").returncode
print("\\n".join(["made:", *sorted(os.listdir("/build/out"))]))
sys.exit(code)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a client made, and how it ended."""

    code: int | None
    """None where it was ended for it took too long."""
    seconds: float
    output: str

    @property
    def made(self) -> tuple[str, ...]:
        """The files in its output folder."""
        return tuple(self.output.rpartition("made:\n")[2].split()) if "made:\n" in self.output else ()


class Shell:
    """Starts clients; ``pip`` is a folder that holds pip for the system's Python."""

    def __init__(self, folder: Path, pip: Path) -> None:
        self._folder = folder
        self._pip = pip

    def start(self, arguments: Sequence[str]) -> Child:
        """Start pip with these arguments; its wheels and sdists belong into ``/build/out``."""
        scratch = Path(tempfile.mkdtemp(prefix="client-", dir=self._folder))
        uid = uids.BASE + 250
        become = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs", "--")
        if os.geteuid() != 0:
            become = ()
        return Child.start(
            (
                *become, "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
                "--uid", "1000", "--gid", "1000", "--ro-bind", "/usr", "/usr",
                "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
                "--ro-bind-try", "/etc/alternatives", "/etc/alternatives",
                "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache",
                "--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", str(_SIZE), "--tmpfs", "/tmp",  # noqa: S108 # its own
                "--size", str(_SIZE), "--tmpfs", "/build", "--ro-bind", str(self._pip), "/pip",
                "--ro-bind", str(self._folder / "socket"), "/server/socket",
                "--clearenv", "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/build",
                "--setenv", "LC_ALL", "C.UTF-8", "--setenv", "PYTHONPATH", "/pip", "--chdir", "/build",
                "/usr/bin/python3", "-c", _BRIDGE, "/usr/bin/python3", "-m", "pip", *arguments,
            ),
            scratch,
        )  # fmt: skip

    def run(self, arguments: Sequence[str], *, seconds: float) -> Said:
        """Run pip to its end."""
        began = time.monotonic()
        child = self.start(arguments)
        code: int | None = None
        with suppress(subprocess.TimeoutExpired):
            code = child.process.wait(seconds)
        if code is None:
            child.stop()
        return Said(code=code, seconds=time.monotonic() - began, output=child.log.read_text(errors="replace"))


@contextmanager
def shell(folder: Path, pip: Path, port: int) -> Iterator[Shell]:
    """Open the way to the server on a port of this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    path = folder / "socket"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(64)
        threading.Thread(target=_serve, args=(listener, port), daemon=True).start()
        try:
            yield Shell(folder, pip)
        finally:
            path.unlink(missing_ok=True)


def _serve(listener: socket.socket, port: int) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:  # it was closed: the run is over
            return
        with suppress(OSError):
            server = socket.create_connection(("127.0.0.1", port))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
