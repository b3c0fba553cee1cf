"""Sdists for tests, the same bytes each time.

Most carry their own build backend (``tests/packages/intree``), so that pip and uv can build them on a machine without
network: only `needy_sdist` and `legacy_sdist` want something from an index.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INTREE = Path(__file__).parents[1] / "packages" / "intree"
MTIME = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdist:
    """An sdist in memory."""

    project: str
    version: str
    filename: str
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def make_sdist(name: str, version: str, files: Mapping[str, bytes | str], *, archive: str = ".tar.gz") -> Sdist:
    """Pack files below ``<name>-<version>/``, with a PKG-INFO unless one is given; as ``.tar.gz`` or ``.zip``."""
    stem = f"{re.sub(r'[-_.]+', '_', name).lower()}-{version}"
    content = {"PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", **files}
    packed = {
        f"{stem}/{path}": data.encode() if isinstance(data, str) else data for path, data in sorted(content.items())
    }
    pack = {".tar.gz": tar_gz, ".zip": zipped}[archive]
    return Sdist(project=name, version=version, filename=stem + archive, data=pack(packed))


def tar_gz(files: Mapping[str, bytes]) -> bytes:
    """Return a gzipped tar of the files, under exactly these names."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mtime, entry.mode = len(data), MTIME, 0o644
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(packed.getvalue(), mtime=0)


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a zip of the files, under exactly these names."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path, (2001, 9, 9, 1, 46, 40))
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return packed.getvalue()


def intree_sdist(
    name: str,
    version: str,
    *,
    archive: str = ".tar.gz",
    requires: Sequence[str] = (),
    dynamic_requires: Sequence[str] = (),
    imports: Sequence[str] = (),
    dependencies: Sequence[str] = (),
    requires_python: str | None = None,
    c_extension: bool = False,
    c_functions: int = 0,
    chatter: str = "",
    sleep: float = 0,
    sleep_at: str = "build",
    until: str | None = None,
    fail: str | None = None,
    fail_at: str = "build",
    differs: bool = False,
    extra_files: Mapping[str, bytes | str] | None = None,
) -> Sdist:
    """Return an sdist that carries its backend.

    ``imports`` are imported by each hook, which proves that ``requires`` are installed. ``sleep`` is in seconds, and
    goes on ``until`` there is such a file; ``sleep_at`` and ``fail_at`` name a hook: ``requires``, ``metadata`` or
    ``build``. ``c_functions`` more functions in the C file keep the compiler busy. With ``differs``, each build has a
    ``BUILD`` of its own.
    """
    module = re.sub(r"[-_.]+", "_", name).lower()
    modules = {} if c_extension else {f"{module}.py": f'VERSION = "{version}"\n\n\ndef answer():\n    return 42\n'}
    spec = {
        "name": name,
        "normalized": module,
        "version": version,
        "module": module,
        "modules": list(modules),
        "c_source": "extension.c" if c_extension else None,
        "requires_python": requires_python,
        "dependencies": list(dependencies),
        "dynamic_requires": list(dynamic_requires),
        "imports": list(imports),
        "chatter": chatter,
        "sleep": sleep,
        "sleep_at": sleep_at,
        "fail": fail,
        "fail_at": fail_at if fail is not None else None,
        "differs": differs,
        **({} if until is None else {"until": until}),
    }
    files: dict[str, bytes | str] = {
        "pyproject.toml": "[build-system]\n"
        f"requires = {json.dumps(list(requires))}\n"
        'build-backend = "backend"\nbackend-path = ["_intree"]\n',
        "spec.json": json.dumps(spec, indent=1) + "\n",
        "_intree/backend.py": (INTREE / "backend.py").read_bytes(),
        **modules,
        **(extra_files or {}),
    }
    if c_extension:
        more = "".join(
            f"double f{n}(double x) {{ return x * {n}.5 + f{n - 1}(x / 3); }}\n" for n in range(1, c_functions)
        )
        source = (INTREE / "extension.c").read_text().replace("MODULE", module)
        files["extension.c"] = source + ("double f0(double x) { return x; }\n" + more if c_functions else "")
    return make_sdist(name, version, files, archive=archive)


def pure_sdist(name: str = "pure", version: str = "1.0", *, archive: str = ".tar.gz") -> Sdist:
    """Return one that builds a ``py3-none-any`` wheel; the module's ``answer()`` returns 42."""
    return intree_sdist(name, version, archive=archive)


def c_sdist(name: str = "cext", version: str = "1.0") -> Sdist:
    """Return one that compiles a C file with gcc: ``cpXY-cpXY-linux_<machine>``, on PyPy ``ppXY-pypyXY_ppAB-…``."""
    return intree_sdist(name, version, c_extension=True)


def slow_sdist(seconds: float, name: str = "slow", version: str = "1.0") -> Sdist:
    """Return one that sleeps in its build hook; its metadata is there at once."""
    return intree_sdist(name, version, sleep=seconds)


def held_sdist(name: str) -> Sdist:
    """Return one whose build hook waits for a file ``go`` beside its build requirements: see `Server.let_go`."""
    return intree_sdist(name, "1.0", until="/wheels/go")


def broken_sdist(message: str, name: str = "broken", version: str = "1.0", *, at: str = "build") -> Sdist:
    """Return one that writes the message to standard error in one hook and exits with 1."""
    return intree_sdist(name, version, fail=message, fail_at=at)


def needy_sdist(
    requires: Sequence[str],
    name: str = "needy",
    version: str = "1.0",
    *,
    imports: Sequence[str] = (),
    dynamic_requires: Sequence[str] = (),
) -> Sdist:
    """Return one that wants build requirements, and imports some of them in its hooks."""
    return intree_sdist(name, version, requires=requires, imports=imports, dynamic_requires=dynamic_requires)


def legacy_sdist(name: str = "legacy", version: str = "1.0") -> Sdist:
    """Return one that has a ``setup.py`` and no pyproject.toml: setuptools is implied (PEP 518)."""
    module = re.sub(r"[-_.]+", "_", name).lower()
    return make_sdist(
        name,
        version,
        {
            "setup.py": "from setuptools import setup\n\n"
            f"setup(name={name!r}, version={version!r}, py_modules=[{module!r}])\n",
            f"{module}.py": "def answer():\n    return 42\n",
        },
    )
