"""Read everything in a data folder and say what is wrong with it. It changes nothing, and may run beside a server.

What changes meanwhile is no damage: what seems wrong is looked at once more before it is told. Memory is bounded by the
number of built wheels.
"""

from __future__ import annotations

import re
import sqlite3
import time
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from sqlalchemy import create_engine
from sqlalchemy.exc import DatabaseError

from buildthrough.proxy import list_check, page_check, wheel_records
from buildthrough.proxy.blob_folder import SHELVES, BlobFolder
from buildthrough.proxy.errors import StorageFault
from buildthrough.proxy.resource import METADATA, PROVENANCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from buildthrough.proxy.built import BuiltWheel

_METADATA: Final = re.compile(r"[^/]+\.dist-info/METADATA")
STALE_SECONDS: Final = 3600.0
"""A file that arrives is written to more often: one that was not for so long was left behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something wrong."""

    kind: str
    """``records``, ``built``, ``files``, ``logs`` or ``pages``."""
    name: str
    """A digest, a key, a path."""
    what: str
    remedy: Literal["heal", "start", "operator"] = "heal"
    """What puts it right: `Healing.heal`, the next start of the server, or nobody but the operator."""

    def __str__(self) -> str:
        """Return the line for people."""
        return f"{self.kind}: {self.name}: {self.what}"


class Verification:
    """One reading of a data folder."""

    def __init__(self, root: Path, *, is_served: bool, note: Callable[[str, int], None]) -> None:
        """``is_served``: a server uses the folder. ``note`` is told the kind and the size of what is read."""
        self._root = root
        self._is_served = is_served
        self._note = note

    def run(self) -> Iterator[Finding]:
        """Read everything. Raise `StorageFault` where the folder cannot be read at all."""
        wheels: Mapping[int, BuiltWheel] | None
        try:
            wheels = self._records()
        except (DatabaseError, sqlite3.Error) as error:
            told = str(getattr(error, "orig", error)).strip().splitlines()[-1]
            yield Finding(
                kind="records",
                name="catalog.sqlite3",
                what=f"the database is damaged ({told}): restore it",
                remedy="operator",
            )
            wheels = None
        yield from self._built(wheels)
        for kind in ("files", "logs"):
            yield from self._left(kind)
            for _, finding in self._blobs(kind):
                if finding is not None:
                    yield finding
        yield from self._pages()
        yield from self._list()

    def _records(self) -> dict[int, BuiltWheel]:
        """Return the built wheels on record, by their builds. Raise where the database is damaged."""
        place = self._root / "catalog.sqlite3"
        if not place.exists():
            return {}
        engine = create_engine(f"sqlite:///file:{place}?mode=ro&uri=true")
        try:
            with engine.connect() as connection:
                finding = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
                if finding != "ok":
                    raise sqlite3.DatabaseError(str(finding))
                return {wheel.build: wheel for wheel in wheel_records.kept(connection)}
        finally:
            engine.dispose()

    def _built(self, wheels: Mapping[int, BuiltWheel] | None) -> Iterator[Finding]:
        """Look at built wheels, their core metadata, and what the records say of both."""
        yield from self._left("built")
        needed = {sha256 for one in (wheels or {}).values() for sha256 in one.digests}
        sound: set[str] = set()
        for sha256, finding in self._blobs("built"):
            if finding is not None:
                yield finding
            elif sha256 in needed or wheels is None:
                sound.add(sha256)
            elif not self._is_served:
                yield Finding(kind="built", name=sha256, what="no record needs it", remedy="start")
        seen: set[str] = set()
        for wheel in (wheels or {}).values():
            for suffix, sha256 in zip(("", METADATA, PROVENANCE), wheel.digests, strict=False):
                what = f"{wheel.filename}{suffix}"
                if sha256 not in sound and sha256 not in seen and self._is_missing(wheel, sha256):
                    yield Finding(kind="built", name=sha256, what=f"the bytes of {what} are missing")
                seen.add(sha256)
            if {wheel.sha256, wheel.metadata_sha256} <= sound and not self._agrees(wheel):
                what = f"what is kept of {wheel.filename} is not what its record says: purge it"
                yield Finding(kind="records", name=f"build {wheel.build}", what=what, remedy="operator")

    def _is_missing(self, wheel: BuiltWheel, sha256: str) -> bool:
        """Whether bytes are still missing, and still on record."""
        if self._folder("built").place(sha256).exists():
            return False
        return not self._is_served or wheel.build in self._records()

    def _agrees(self, wheel: BuiltWheel) -> bool:
        """Whether wheel, core metadata and record say the same."""
        folder = self._folder("built")
        try:
            with zipfile.ZipFile(folder.place(wheel.sha256)) as archive:
                names = [one for one in archive.namelist() if _METADATA.fullmatch(one)]
                inside = archive.read(names[0]) if len(names) == 1 else None
            size = folder.place(wheel.sha256).stat().st_size
            return size == wheel.size and inside == folder.place(wheel.metadata_sha256).read_bytes()
        except FileNotFoundError:
            return True  # purged meanwhile
        except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError):
            return False

    def _blobs(self, kind: str) -> Iterator[tuple[str, Finding | None]]:
        """Read all blobs of a store; give each digest, and what is wrong with it."""
        folder = self._folder(kind)
        for name in SHELVES:
            for foreign in folder.foreign(name):
                yield "", Finding(kind=kind, name=str(foreign), what="it is not ours: move it away", remedy="operator")
            for file in folder.shelf(name):
                what = self._look(folder, kind, file.sha256)
                yield file.sha256, Finding(kind=kind, name=file.sha256, what=what) if what else None

    def _look(self, folder: BlobFolder, kind: str, sha256: str) -> str:
        """Read a blob; return what is wrong with it, twice, or nothing."""
        try:
            found = folder.look(sha256, lambda size: self._note(kind, size))
            if found is not None and not found.is_sound:
                found = folder.look(sha256)
        except StorageFault as fault:
            return fault.sentence
        if found is None or found.is_sound:
            return ""
        return f"its {found.size} bytes have another sha256"

    def _left(self, kind: str) -> Iterator[Finding]:
        """Look for files that never arrived whole, and that nobody writes to any more."""
        try:
            left = sorted(self._folder(kind).incoming.iterdir())
        except FileNotFoundError:
            return
        for path in left:
            try:
                age = time.time() - path.stat().st_mtime
            except FileNotFoundError:
                continue
            if not self._is_served or age > STALE_SECONDS:
                yield Finding(kind=kind, name=str(path), what="left half written by a dead server", remedy="start")

    def _pages(self) -> Iterator[Finding]:
        try:
            for key, value in page_check.stored(self._root / "pages"):
                self._note("pages", len(value) if isinstance(value, bytes | str) else 0)
                if not page_check.is_sound(key, value):
                    yield Finding(kind="pages", name=key, what="the stored page is damaged")
        except (sqlite3.Error, OSError) as error:
            what = f"the database of pages is damaged ({error})"
            yield Finding(kind="pages", name="cache.db", what=what, remedy="start")

    def _list(self) -> Iterator[Finding]:
        for path in list_check.renditions(self._root / "list"):
            self._note("pages", path.stat().st_size)
            if not list_check.is_sound(path):
                yield Finding(kind="pages", name=f"list/{path.name}", what="the project list is damaged")

    def _folder(self, kind: str) -> BlobFolder:
        return BlobFolder(self._root / kind)
