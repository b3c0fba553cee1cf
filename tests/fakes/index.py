"""An index in memory that holds real, small wheels: a legal implementation of the `Index` port."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from buildthrough.builders.faults import InfrastructureFault
from buildthrough.builders.requirements import ListedFile
from tests.fakes.wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    listed: ListedFile
    content: bytes
    metadata: bytes


class FakeIndex:
    """Files by project. ``asked`` says what was asked for; with ``down`` set, nothing is answered."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, _Held]] = {}
        self._uploaded: dict[str, datetime] = {}
        self.asked: list[str] = []
        self.down = False

    def add_wheel(
        self,
        name: str,
        version: str,
        *,
        tag: str = "py3-none-any",
        requires: Iterable[str] = (),
        requires_python: str | None = None,
        metadata_extra: str = "",
        build: str | None = None,
        yanked: bool = False,
        listed_python: str | None = None,
        uploaded: str | None = None,
    ) -> ListedFile:
        """Hold a wheel. ``listed_python`` is what the page says where it differs from the wheel."""
        with tempfile.TemporaryDirectory() as folder:
            path = make_wheel(
                Path(folder),
                name=name,
                version=version,
                tag=tag,
                requires=requires,
                requires_python=requires_python,
                metadata_extra=metadata_extra,
                build=build,
            )
            with zipfile.ZipFile(path) as archive:
                metadata = next(archive.read(each) for each in archive.namelist() if each.endswith("/METADATA"))
            python = listed_python if listed_python is not None else requires_python
            held = self._add(path.name, name, path.read_bytes(), metadata, requires_python=python, yanked=yanked)
            return self._dated(held, uploaded)

    def add_sdist(
        self,
        name: str,
        version: str,
        *,
        requires_python: str | None = None,
        yanked: bool = False,
        uploaded: str | None = None,
    ) -> ListedFile:
        """Hold something that is named as an sdist; resolvers never look into one."""
        filename = f"{name.replace('-', '_')}-{version}.tar.gz"
        held = self._add(filename, name, b"", b"", requires_python=requires_python, yanked=yanked)
        return self._dated(held, uploaded)

    async def files(self, project: str, *, dated: bool = False) -> Sequence[ListedFile]:
        self._ask(f"files {project}")
        listed = [held.listed for held in self._held.get(project, {}).values()]
        return [replace(one, uploaded=self._uploaded.get(one.filename)) for one in listed] if dated else listed

    async def core_metadata(self, project: str, file: ListedFile) -> bytes:
        self._ask(f"metadata {file.filename}")
        return self._held[project][file.filename].metadata

    async def fetch(self, project: str, file: ListedFile, folder: Path) -> Path:
        self._ask(f"fetch {file.filename}")
        path = folder / file.filename
        path.write_bytes(self._held[project][file.filename].content)
        return path

    def _dated(self, held: ListedFile, uploaded: str | None) -> ListedFile:
        if uploaded is not None:
            self._uploaded[held.filename] = datetime.fromisoformat(uploaded).replace(tzinfo=UTC)
        return held

    def _ask(self, question: str) -> None:
        self.asked.append(question)
        if self.down:
            raise InfrastructureFault("infra.upstream", "upstream does not answer")

    def _add(
        self, filename: str, name: str, content: bytes, metadata: bytes, *, requires_python: str | None, yanked: bool
    ) -> ListedFile:
        project = canonicalize_name(name)
        listed = ListedFile(
            filename=filename,
            path=f"/files/{project}/{filename}",
            sha256=hashlib.sha256(content).hexdigest(),
            requires_python=requires_python,
            yanked=yanked,
            has_core_metadata=filename.endswith(".whl"),
        )
        self._held.setdefault(project, {})[filename] = _Held(listed=listed, content=content, metadata=metadata)
        return listed
