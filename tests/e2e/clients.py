"""Real pip and real uv, each run in a fresh virtual environment, without caches."""

from __future__ import annotations

import ensurepip
import shutil
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTALL_SECONDS = 300
PATIENT = {
    name: str(INSTALL_SECONDS)
    for name in ("PIP_DEFAULT_TIMEOUT", "UV_HTTP_TIMEOUT", "POETRY_REQUESTS_TIMEOUT", "PDM_REQUEST_TIMEOUT")
}
"""Clients ask again after 15 seconds by themselves, which are no sign of a fault on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An environment to install into, and the environment variables to do it with."""

    folder: Path
    variables: Mapping[str, str]
    cwd: Path | None = None
    """Where commands run; the environment's folder, if None."""

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def pip(self, *arguments: str, index: str) -> subprocess.CompletedProcess[str]:
        """Run ``pip`` inside the environment: its User-Agent names the environment's interpreter."""
        return self.run(*pip_of(self.python), *arguments, "--index-url", index)

    def uv(self, *arguments: str, index: str) -> subprocess.CompletedProcess[str]:
        """Run ``uv pip install`` and the like for the environment."""
        uv = Path(sys.executable).with_name("uv")
        return self.run(str(uv), "pip", *arguments, "--python", self.python, "--no-cache", "--default-index", index)

    def uv_project(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``uv lock``, ``uv sync`` for the project in the environment's folder, without a cache."""
        uv = Path(sys.executable).with_name("uv")
        return self.run(str(uv), *arguments, "--no-cache", "--python", self.python)

    def check(self, module: str, expression: str = "answer()") -> str:
        """Import a module in the environment and return what an expression of it gives."""
        done = self.run(self.python, "-I", "-c", f"import {module}; print({module}.{expression})")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def run(self, *command: str, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command with the environment's variables, or with others."""
        return subprocess.run(
            command,
            env=dict(self.variables if variables is None else variables),
            cwd=self.cwd or self.folder,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
        )


def make_client(folder: Path, variables: Mapping[str, str], *, interpreter: str = sys.executable) -> Client:
    """Create an empty virtual environment, without pip in it: pip is run from where it is."""
    home = folder / "home"
    home.mkdir(parents=True)
    subprocess.run([interpreter, "-m", "venv", "--without-pip", str(folder / "venv")], check=True, capture_output=True)
    own = {**variables, **PATIENT, "HOME": str(home), "TMPDIR": str(home), "PIP_NO_CACHE_DIR": "1"}
    return Client(folder=folder / "venv", variables=own)


def pip_of(python: str) -> list[str]:
    """Return the argv that runs pip in an interpreter that has none: the newest, or for old Pythons the bundled one."""
    version = subprocess.run(
        [python, "-c", "import sys; print(sys.version_info >= (3, 10))"], capture_output=True, text=True, check=True
    )
    if version.stdout.strip() == "True":
        return [sys.executable, "-m", "pip", "--python", python]
    return [python, f"{bundled_pip()}/pip"]


def bundled_pip() -> Path:
    """Return the pip wheel that this Python (or Debian) ships for new environments; it runs on Python 3.7 and newer."""
    folders = (Path(ensurepip.__file__).parent / "_bundled", Path("/usr/share/python-wheels"))
    return next(wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl")))


def user_agent(command: list[str], variables: Mapping[str, str]) -> str:
    """Return what a client that is told to use a loopback index sends as its User-Agent: it is asked, not guessed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        heard: list[bytes] = []
        listening = threading.Thread(target=_hear, args=(listener, heard), daemon=True)
        listening.start()
        index = f"http://127.0.0.1:{listener.getsockname()[1]}/simple/"
        subprocess.run([*command, index], env=dict(variables), capture_output=True, timeout=INSTALL_SECONDS)
        listening.join()
    head = b"".join(heard).decode("latin-1")
    return next(line.partition(":")[2].strip() for line in head.splitlines() if line.lower().startswith("user-agent:"))


def _hear(listener: socket.socket, heard: list[bytes]) -> None:
    connection, _ = listener.accept()
    with connection:
        while b"\r\n\r\n" not in b"".join(heard):
            piece = connection.recv(65536)
            if not piece:
                return
            heard.append(piece)
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def pip_user_agent(variables: Mapping[str, str], python: str = sys.executable) -> str:
    """Return the User-Agent of pip in an interpreter."""
    wanted = ["download", "--no-cache-dir", "--retries", "0", "--no-deps", "nothing", "--index-url"]
    own = [python, "-m", "pip"] if python == sys.executable else pip_of(python)
    return user_agent([*own, *wanted], variables)


def find_pypy() -> str | None:
    """Return the PyPy that serves as the second interpreter, None where it is not installed."""
    return shutil.which("pypy3")
