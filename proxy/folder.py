"""The data folder: one server at a time, the operator's token, and where the server listens."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN_BYTES = 32
_WORK_PREFIX = "buildthrough-"


class StartError(Exception):
    """The server cannot start. The argument is one sentence: what is wrong, and what to do."""


class DataFolder:
    """A folder that is this server's while it is open."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def token_file(self) -> Path:
        """Where the operator's token is, if none is configured."""
        return self.path / "admin.token"

    @property
    def address_file(self) -> Path:
        """Where the running server says its address."""
        return self.path / "server.json"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, and keep every other server out of it. Raise `StartError`."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError(
                f"The data folder {self.path} cannot be written ({_reason(error)}); name another with --data-dir."
            ) from error
        try:
            self._lock(handle)
            yield
        finally:
            os.close(handle)

    def is_held(self) -> bool:
        """Whether a server uses the folder now. Raise OSError where that cannot be found out."""
        try:
            handle = os.open(self.path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def token(self, configured: str) -> str:
        """Return the operator's token: the configured one, or the one that the first start made. Raise `StartError`."""
        if configured:
            return configured
        try:
            return self._kept_token() or self._new_token()
        except (OSError, UnicodeDecodeError) as error:
            raise StartError(f"The operator's token {self.token_file} cannot be used ({_reason(error)}).") from error

    @contextmanager
    def announced(self, url: str) -> Iterator[None]:
        """Say where the server listens, for the command line and for tests, as long as it does."""
        temporary = self.address_file.with_suffix(".tmp")
        try:
            temporary.write_text(json.dumps({"url": url, "pid": os.getpid()}) + "\n")
            temporary.replace(self.address_file)
        except OSError as error:
            raise StartError(f"{self.address_file} cannot be written ({_reason(error)}).") from error
        try:
            yield
        finally:
            self.address_file.unlink(missing_ok=True)

    @contextmanager
    def work(self, parent: str) -> Iterator[Path]:
        """Make the folder that builds work in: outside the data folder, since other users must be able to enter it."""
        note = self.path / "work"
        try:
            left = Path(note.read_text().strip()) if note.exists() else None
            if left is not None and left.name.startswith(_WORK_PREFIX):
                shutil.rmtree(left, ignore_errors=True)  # of a server that was killed
        except (OSError, ValueError) as error:
            raise StartError(f"{note} cannot be read ({_reason(error)}); remove it.") from error
        with temporary_work(parent) as folder:
            try:
                note.write_text(f"{folder}\n")
            except OSError as error:
                raise StartError(f"{note} cannot be written ({_reason(error)}).") from error
            try:
                yield folder
            finally:
                note.unlink(missing_ok=True)

    def _kept_token(self) -> str:
        with suppress(FileNotFoundError):
            return self.token_file.read_text().strip()
        return ""

    def _new_token(self) -> str:
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        self.token_file.unlink(missing_ok=True)
        handle = os.open(self.token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(token + "\n")
        return token

    def _lock(self, handle: int) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartError(
                f"Another buildthrough server uses the data folder {self.path}; stop it, or name another (--data-dir)."
            ) from error


@contextmanager
def temporary_work(parent: str) -> Iterator[Path]:
    """Make a folder that every user may enter, in ``parent`` or the system's place for such. Raise `StartError`."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=_WORK_PREFIX, dir=parent or None))
    except OSError as error:
        where = parent or tempfile.gettempdir()
        raise StartError(
            f"No folder for builds can be made in {where} ({_reason(error)}); set build.work_dir."
        ) from error
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "it is no text"
