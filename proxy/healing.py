"""Damage in the data folder, looked at again and put right: what is damaged is dropped, and fetched or built again.

Nobody's word is taken for it: the bytes are read here before anything is removed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from buildthrough.proxy import list_check, logs
from buildthrough.proxy.errors import BadRequest
from buildthrough.proxy.loss import lose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from buildthrough.proxy.blobs import LocalBlobs
    from buildthrough.proxy.catalog import Catalog
    from buildthrough.proxy.pages import PageStore

log = logs.logger("healing")

_TRIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Healing:
    """What can be put right, by kind."""

    files: LocalBlobs
    logs: LocalBlobs
    built: LocalBlobs
    pages: PageStore
    lists: Path
    """The folder of the project list."""
    catalog: Catalog
    observe: Callable[[str], None] = lambda _kind: None
    """Told the kind of what was damaged."""

    async def heal(self, kind: str, name: str) -> bool:
        """Look at bytes by their sha256, or at a page by its key; drop what is damaged. Return whether it was.

        Raise `BadRequest` for a kind or a name that there cannot be, `StorageFault` where the disk fails.
        """
        if kind == "pages" and name.startswith("list/"):
            damaged = await asyncio.to_thread(self._heal_list, name.removeprefix("list/"))
        elif kind == "pages":
            damaged = await self.pages.heal(name)
        else:
            damaged = await self._heal_blob(kind, name)
        if damaged:
            self.observe(kind)
            log.warning("something in the data folder was damaged and is dropped", kind=kind, name=name)
        return damaged

    def _heal_list(self, name: str) -> bool:
        """Remove a rendition of the project list where it is damaged: it is made again."""
        path = self.lists / name
        try:
            if list_check.is_sound(path):
                return False
        except ValueError as error:
            raise BadRequest(f"The name is wrong: {error}.") from error
        path.unlink(missing_ok=True)
        return True

    async def _heal_blob(self, kind: str, sha256: str) -> bool:
        stores: Mapping[str, LocalBlobs] = {"files": self.files, "logs": self.logs, "built": self.built}
        if kind not in stores:
            raise BadRequest(f"There is no kind {kind[:40]!r} here; there are {', '.join((*stores, 'pages'))}.")
        folder = stores[kind].folder
        try:
            folder.place(sha256)
        except ValueError as error:
            raise BadRequest(f"The name is wrong: {error}.") from error
        missing = False
        for _ in range(_TRIES):
            found = await asyncio.to_thread(folder.look, sha256)
            missing = found is None
            if found is None or found.is_sound:
                break
            # Of what was written anew meanwhile nothing is removed, but looked at again.
            if await asyncio.to_thread(folder.remove, sha256, found.used) is not None:
                missing = True
                if kind != "built":
                    return True
        return kind == "built" and missing and bool(await lose(self.catalog, self.built, sha256))
