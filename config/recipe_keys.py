"""The keys of a recipe: how each is read. Pure, but for the patches, which may lie in files beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidName, canonicalize_name

from buildthrough.builders.inside.patch import NotAPatch, parse_patch
from buildthrough.builders.recipe import Patch
from buildthrough.builders.sandbox import Limits
from buildthrough.config.values import read_size

_MAX_PATCH_BYTES = 1 << 20
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = re.compile(
    r"PATH|HOME|TMPDIR|TEMP|TMP|USER|LOGNAME|SHELL|TERM|LANG|LC_.*|TZ|SOURCE_DATE_EPOCH|ENV|BASH_ENV|SHELLOPTS|IFS"
    r"|LD_.*|GCONV_PATH|MALLOC_.*|PYTHON.*|VIRTUAL_ENV|PEP517_.*|_PYPROJECT_HOOKS_.*|UV_.*|PIP_.*|BUILDTHROUGH_.*"
)
"""Names of environment variables that no recipe sets: the sandbox and identical wheels rest on them."""
_DEBIAN_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")


def _line(written: object, _folder: Path) -> str:
    if not isinstance(written, str) or not written.isprintable():
        raise ValueError("must be one line of text")
    return written.strip()


def _flag(written: object, _folder: Path) -> bool:
    if not isinstance(written, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - all refusals are of one type
    return written


def _project(written: object, folder: Path) -> str:
    text = _line(written, folder)
    try:
        return canonicalize_name(text, validate=True)
    except InvalidName as error:
        raise ValueError(f"must be the name of a project, not {text!r}") from error


def _specifier(written: object, folder: Path) -> str:
    text = _line(written, folder)
    try:
        SpecifierSet(text)
    except InvalidSpecifier as error:
        raise ValueError(f'must be a version specifier such as ">=1.0,<2", not {text!r}') from error
    return text


def _texts(written: object, folder: Path) -> tuple[str, ...]:
    if not isinstance(written, list):
        raise ValueError("must be a list of texts")  # noqa: TRY004 - as above
    return tuple(_line(each, folder) for each in written)


def _requirements(written: object, folder: Path) -> tuple[str, ...]:
    for text in (texts := _texts(written, folder)):
        try:
            parsed = Requirement(text)
        except (InvalidRequirement, RecursionError) as error:
            raise ValueError(f"must be requirements such as 'numpy<2', not {text!r}") from error
        if parsed.url is not None:
            raise ValueError(f"must name versions of the index, not a place: {text!r}")
    return texts


def _projects(written: object, folder: Path) -> tuple[str, ...]:
    return tuple(_project(text, folder) for text in _texts(written, folder))


def _table(written: object) -> Mapping[str, object]:
    if not isinstance(written, Mapping):
        raise ValueError("must be a table")  # noqa: TRY004 - as above
    return written


def _config_settings(written: object, folder: Path) -> dict[str, str | tuple[str, ...]]:
    return {
        name: _texts(value, folder) if isinstance(value, list) else _line(value, folder)
        for name, value in _table(written).items()
    }


def _environment(written: object, folder: Path) -> dict[str, str]:
    for name in (table := _table(written)):
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"has no variable's name in {name!r}")
        if _OURS.fullmatch(name.upper()):
            raise ValueError(f"must not set {name}: the sandbox and identical wheels rest on it")
    return {name: _line(value, folder) for name, value in table.items()}


def _patches(written: object, folder: Path) -> tuple[Patch, ...]:
    if not isinstance(written, list) or not all(isinstance(each, str) for each in written):
        raise ValueError("must be a list of file names, or of unified diffs")
    return tuple(_patch(text, number, folder) for number, text in enumerate(written, start=1))


def _patch(text: str, number: int, folder: Path) -> Patch:
    name = f"its own number {number}"
    if "\n" not in text:
        name = text
        if PurePosixPath(text).name != text:
            raise ValueError(f"must name files beside the recipe, not {text!r}")
        try:
            content = (folder / text).read_bytes()
        except OSError as error:
            raise ValueError(f"names {text}, which cannot be read beside the recipe: {error.strerror}") from error
        if len(content) > _MAX_PATCH_BYTES:
            raise ValueError(f"names {text}, which has more than {_MAX_PATCH_BYTES} bytes")
        text = content.decode("utf-8", "surrogateescape")
    try:
        parse_patch(text.encode("utf-8", "surrogateescape"))
    except NotAPatch as error:
        raise ValueError(f"has a unified diff that cannot be used ({name}, {error})") from error
    return Patch(name=name, text=text)


def _paths(written: object, folder: Path) -> tuple[str, ...]:
    for text in (texts := _texts(written, folder)):
        path = PurePosixPath(text)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ValueError(f"must be patterns of files within the sources, not {text!r}")
    return texts


def _packages(written: object, folder: Path) -> tuple[str, ...]:
    for text in (texts := _texts(written, folder)):
        if not _DEBIAN_NAME.fullmatch(text):
            raise ValueError(f"must be names of Debian packages, not {text!r}")
    return texts


def _limits(written: object, _folder: Path) -> dict[str, float]:
    """Read limits by the names that `Limits` gives them; sizes may have a unit."""
    found: dict[str, Any] = {
        name: read_size(value) if name.endswith("_bytes") else value for name, value in _table(written).items()
    }
    try:
        Limits().overridden(**found)
    except ValueError as error:
        raise ValueError(f"cannot be used: {error}") from error
    return found


def _modules(written: object, folder: Path) -> tuple[str, ...]:
    for text in (texts := _texts(written, folder)):
        if not all(part.isidentifier() for part in text.split(".")):
            raise ValueError(f"must be names of modules, not {text!r}")
    return texts


KEYS: Mapping[str, Callable[[object, Path], Any]] = {
    "project": _project,
    "versions": _specifier,
    "python": _specifier,
    "target": _line,
    "why": _line,
    "replaces": _flag,
    "requires": _requirements,
    "without": _projects,
    "constraints": _requirements,
    "config_settings": _config_settings,
    "environment": _environment,
    "patches": _patches,
    "delete": _paths,
    "system_packages": _packages,
    "limits": _limits,
    "imports": _modules,
    "skip_import": _line,
    "skip": _line,
}
"""By name: what reads it, from what is written and the folder of the file. Each raises ValueError, whose text follows
the key's name."""
