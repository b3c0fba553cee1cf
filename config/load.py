"""Load the settings: the defaults, a file, the environment, flags. Later places win, one setting at a time."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from buildthrough.config import upstreams
from buildthrough.config.schema import ENVIRONMENT_PREFIX, KEYS, SECTIONS, Key, Settings, SettingsError
from buildthrough.config.values import parse, quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from buildthrough.config.values import Value

FILE_NAME = "buildthrough.toml"
"""Looked for in the working folder where no file is named."""
DEFAULT_SOURCE = "default"
_MAX_FILE_BYTES = 1 << 20
_SYSTEM_FOLDER = Path("/var/lib/buildthrough")
_ADDRESS = re.compile(r"(tcp|udp|sctp)://")
_HEADER = re.compile(r"\s*\[\s*([\w.-]+)\s*\]")
_ASSIGNED = re.compile(r"\s*([\w.\"'-]+)\s*=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The settings, and for each by its dotted name the place where its value was found."""

    settings: Settings
    sources: Mapping[str, str]
    keys: Mapping[str, Key]
    """Every setting, those of the upstreams that have names too."""


@dataclass(frozen=True, slots=True)
class _Found:
    value: Value
    source: str


def load(
    *,
    file: Path | None = None,
    flags: Mapping[str, tuple[str, str]] | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Loaded:
    """Return the settings. Raise `SettingsError`, whose one sentence names the setting, the place and what to do.

    ``flags`` holds, for each dotted name, the flag and its text: ``{"server.port": ("--port", "9000")}``.
    ``environment`` and ``folder`` (where `FILE_NAME` is looked for) are those of the process if not given.
    """
    environment = os.environ if environment is None else environment
    found = _defaults()
    path = _find_file(file, folder or Path.cwd())
    table, text = ({}, "") if path is None else _read(path)
    names = upstreams.names_in(table, str(path))
    keys = KEYS | upstreams.keys_of(names)
    found |= _from_table(table, text, str(path), keys)
    found |= _from_environment(environment, keys)
    for name, (flag, text) in (flags or {}).items():
        found[name] = _parse(KEYS[name], text, f"flag {flag}", is_text=True)
    _resolve_paths(found, environment)
    sections = {
        section: holder(**{key.name: found[key.path].value for key in KEYS.values() if key.section == section})
        for section, holder in SECTIONS.items()
    }
    return Loaded(
        settings=Settings(upstreams=upstreams.assemble(names, found), **sections),
        sources={name: item.source for name, item in found.items()} | dict(upstreams.sources(names, found)),
        keys=keys,
    )


def defaults_text() -> str:
    """Return ``defaults.toml``, as shipped."""
    return files("buildthrough.config").joinpath("defaults.toml").read_text(encoding="utf-8")


def _defaults() -> dict[str, _Found]:
    text = defaults_text()
    found = _from_table(tomllib.loads(text), text, "defaults.toml", KEYS)
    return {name: _Found(item.value, DEFAULT_SOURCE) for name, item in found.items()}


def _find_file(named: Path | None, folder: Path) -> Path | None:
    if named is not None:
        return named
    path = folder / FILE_NAME
    return path if path.exists() else None


def _read(path: Path) -> tuple[dict[str, object], str]:
    """Return a settings file, read and as it was written."""
    try:
        with path.open("rb") as handle:
            content = handle.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error.strerror or error}.") from error
    if len(content) > _MAX_FILE_BYTES:
        raise SettingsError(f"The settings file {path} is longer than {_MAX_FILE_BYTES} bytes: it is something else.")
    try:
        text = content.decode()
        return tomllib.loads(text), text
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        reason = str(error) or "it is nested too deeply"
        raise SettingsError(f"The settings file {path} is no TOML: {reason}.") from error


def _from_table(table: Mapping[str, object], text: str, place: str, keys: Mapping[str, Key]) -> dict[str, _Found]:
    found: dict[str, _Found] = {}
    known = {key.section for key in keys.values()}
    places = _places(place, text)
    for section, content in _sections(table):
        where = places.get(f"[{section}]") or places.get(section, place)
        if section not in known and section not in SECTIONS:
            hint = _hint(section, SECTIONS, keys)
            raise SettingsError(f"There is no section {section!r} in the settings ({where}){hint}.")
        if not isinstance(content, Mapping):
            raise SettingsError(f"{section} is a section, written [{section}], and not a value ({where}).")
        for name, written in content.items():
            path = f"{section}.{name}"
            where = places.get(path, place)
            if path not in keys:
                raise SettingsError(f"There is no setting {path!r} ({where}){_hint(path, keys, ())}.")
            found[path] = _parse(keys[path], written, where, is_text=False)
    return found


def _sections(table: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Go through a file's sections, those of the upstreams one by one."""
    for section, content in table.items():
        if section == upstreams.TABLE and isinstance(content, Mapping):
            yield from ((f"{section}.{name}", held) for name, held in content.items())
        else:
            yield section, content


def _from_environment(environment: Mapping[str, str], keys: Mapping[str, Key]) -> dict[str, _Found]:
    known = {key.variable: key for key in keys.values()}
    nearly = {variable.replace("__", "_"): variable for variable in known}
    found: dict[str, _Found] = {}
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        if variable in known:
            found[known[variable].path] = _parse(
                known[variable], text, f"environment variable {variable}", is_text=True
            )
        elif variable.startswith(f"{ENVIRONMENT_PREFIX}UPSTREAMS__") and not keys.keys() > KEYS.keys():
            raise SettingsError(
                f"The environment variable {variable} names an upstream that no settings file has: "
                "write [upstreams.<name>] into one, for the order in which they are asked."
            )
        elif "__" in variable:
            hint = _hint(variable, known, ())
            raise SettingsError(f"There is no setting behind the environment variable {variable}{hint}.")
        elif variable in nearly and not _ADDRESS.match(text):
            # Kubernetes sets such variables for a service of our name, to addresses: those are not meant for us.
            raise SettingsError(f"The environment variable {variable} is not read; did you mean {nearly[variable]}?")
    return found


def _parse(key: Key, written: object, where: str, *, is_text: bool) -> _Found:
    try:
        return _Found(parse(key, written, is_text=is_text), where)
    except ValueError as error:
        raise SettingsError(f"{key.path} {error}, and is {quote(key, written)} ({where}).") from error


def _hint(name: str, likely: Iterable[str], others: Iterable[str]) -> str:
    """Name the nearest known name; that of another section too, where only the last part was written."""
    tail = name.rpartition(".")[2]
    last = {path.rpartition(".")[2]: path for path in (*likely, *others)}
    near = get_close_matches(name, list(likely), n=1) or [last[one] for one in get_close_matches(tail, list(last), n=1)]
    return f"; did you mean {near[0]}" if near else f"; there are {', '.join(likely)}"


def _places(place: str, text: str) -> dict[str, str]:
    """Return the place with the line for each ``[section]`` and each ``section.setting`` that is plainly written."""
    found: dict[str, str] = {}
    current = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            current = header[1]
            found.setdefault(f"[{current}]", f"{place}:{number}")
        elif assigned := _ASSIGNED.match(line):
            dotted = ".".join(part for part in (current, assigned[1].strip("\"'")) if part)
            found.setdefault(dotted, f"{place}:{number}")
    return found


def _resolve_paths(found: dict[str, _Found], environment: Mapping[str, str]) -> None:
    """Make the data folder absolute, or choose it where none is written."""
    item = found["storage.dir"]
    try:
        chosen = _data_folder(environment) if item.value == Path() else Path(str(item.value)).expanduser()
        found["storage.dir"] = _Found(chosen.absolute(), item.source)
    except RuntimeError as error:
        raise SettingsError(
            f"storage.dir ({item.source}) needs a home folder and this user has none; set it to an absolute path."
        ) from error


def _data_folder(environment: Mapping[str, str]) -> Path:
    if os.geteuid() == 0:
        return _SYSTEM_FOLDER
    data = Path(environment.get("XDG_DATA_HOME", ""))
    # The XDG base directory specification: a path that is not absolute is ignored.
    return (data if data.is_absolute() else Path.home() / ".local" / "share") / "buildthrough"
