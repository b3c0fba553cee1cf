"""The project list on the disk: what upstream sent, and what was made of it. It may be lost and is asked for again.

Forty megabytes are too many to be kept in memory for a page that hardly anybody asks for. They are sent from here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from buildthrough.proxy import logs
from buildthrough.proxy.errors import StorageFault
from buildthrough.proxy.project_list import PIECE, ListSource, render_project_list, source_of
from buildthrough.proxy.rendered import compressor, etag_of
from buildthrough.proxy.stored_page import StoredHead

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from buildthrough.proxy.negotiation import Coding, Form
    from buildthrough.proxy.page_answer import PageAnswer

log = logs.logger("list_folder")

_HEAD = "head.json"
_NAME = 32
"""Digits of the list's digest that the names of its files begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """The list in one form and coding, ready to be sent."""

    path: Path
    size: int
    etag: str


class ListFolder:
    """A folder for one list. One process may use it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def load(self) -> StoredHead | None:
        """Return what is known of the list that was taken last."""
        return await asyncio.to_thread(self._load)

    async def drop(self) -> None:
        """Forget the list: it is of other upstreams. Its files go when the next one is taken."""
        await asyncio.to_thread((self._folder / _HEAD).unlink, missing_ok=True)

    async def take(self, answer: PageAnswer, at: float, form: Form, coding: Coding) -> StoredHead:
        """Keep a list that was fetched at that time (Unix seconds), once it could be rendered as wanted.

        Raise `UpstreamInvalid` where it is none: then the one before is still there; `StorageFault`.
        """
        return await asyncio.to_thread(self._take, answer, at, form, coding)

    async def renew(self, head: StoredHead, at: float) -> StoredHead:
        """Note that upstream said at that time that the list is unchanged. Raise `StorageFault`."""
        renewed = replace(head, fetched=at)
        await asyncio.to_thread(self._note, renewed)
        return renewed

    async def rendition(self, head: StoredHead, form: Form, coding: Coding) -> Rendition | None:
        """Return the list as it is to be sent, made now if need be; None where it was lost. Raise as `take` does."""
        return await asyncio.to_thread(self._rendition, head, form, coding)

    def _load(self) -> StoredHead | None:
        try:
            return StoredHead(**json.loads((self._folder / _HEAD).read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError):
            log.warning("the stored project list is damaged and is asked for again")
            return None

    def _take(self, answer: PageAnswer, at: float, form: Form, coding: Coding) -> StoredHead:
        digest = answer.digest()
        head = StoredHead(
            content_type=answer.content_type,
            url=answer.url,
            etag=answer.etag,
            last_serial=answer.last_serial,
            upstream=answer.upstream,
            digest=digest,
            fetched=at,
        )
        with _storage_faults():
            self._folder.mkdir(parents=True, exist_ok=True)
        self._render(source_of(answer), digest, form, coding)
        self._write_source(answer, digest)
        self._note(head)
        self._sweep(digest)
        return head

    def _write_source(self, answer: PageAnswer, digest: str) -> None:
        with _storage_faults(), self._writing(self._source(digest)) as file:
            packed = zstd.ZstdFile(file, "w", level=3)
            for piece in source_of(answer).pieces():
                packed.write(piece)
            packed.close()

    def _note(self, head: StoredHead) -> None:
        with _storage_faults(), self._writing(self._folder / _HEAD) as file:
            file.write(json.dumps(asdict(head)).encode())

    def _rendition(self, head: StoredHead, form: Form, coding: Coding) -> Rendition | None:
        beginning = f"{head.digest[:_NAME]}.{form}.{coding}."
        for path in self._folder.glob(f"{beginning}*"):
            with suppress(OSError):
                return Rendition(
                    path=path, size=path.stat().st_size, etag=etag_of(path.name.removeprefix(beginning), coding)
                )
        if not self._source(head.digest).exists():
            return None
        source = ListSource(
            content_type=head.content_type,
            url=head.url,
            last_serial=head.last_serial,
            pieces=lambda: self._pieces(head.digest),
        )
        return self._render(source, head.digest, form, coding)

    def _render(self, source: ListSource, digest: str, form: Form, coding: Coding) -> Rendition:
        compress, flush = compressor(coding)
        seen = hashlib.sha256()
        beginning = f"{digest[:_NAME]}.{form}.{coding}."
        with _storage_faults(), self._writing(None) as file:
            for piece in render_project_list(source, form):
                seen.update(piece)
                file.write(compress(piece))
            file.write(flush())
            size = file.tell()
            path = self._folder / f"{beginning}{seen.hexdigest()[:_NAME]}"
            Path(file.name).replace(path)
        return Rendition(path=path, size=size, etag=etag_of(seen.hexdigest(), coding))

    def _pieces(self, digest: str) -> Iterator[bytes]:
        with zstd.ZstdFile(self._source(digest)) as packed:
            while piece := packed.read(PIECE):
                yield piece

    def _source(self, digest: str) -> Path:
        return self._folder / f"{digest[:_NAME]}.source"

    def _sweep(self, digest: str) -> None:
        """Remove what is of another list; whoever sends it has it open."""
        for path in self._folder.iterdir():
            if path.name != _HEAD and not path.name.startswith(digest[:_NAME]):
                with suppress(OSError):
                    path.unlink()

    @contextmanager
    def _writing(self, path: Path | None) -> Iterator[IO[bytes]]:
        """Write a file that appears under its name when it is whole; without a name, whoever writes gives it one."""
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix="new-", delete=False) as file:
            try:
                yield file
                file.flush()
                if path is not None:
                    Path(file.name).replace(path)
            except BaseException:
                with suppress(OSError):
                    Path(file.name).unlink()
                raise


@contextmanager
def _storage_faults() -> Iterator[None]:
    try:
        yield
    except (OSError, zstd.ZstdError) as error:
        raise StorageFault(f"The project list cannot be kept in the data folder: {error}.") from error
