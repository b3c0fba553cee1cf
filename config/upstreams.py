"""Several upstreams: the tables ``[upstreams.<name>]``, in their order, and what of ``[upstream]`` they take over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from buildthrough.config.schema import NamedUpstream, SettingsError, named_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from buildthrough.config.schema import Key
    from buildthrough.config.values import Value

TABLE = "upstreams"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_FIELDS = tuple(item for item in fields(NamedUpstream) if item.name != "name")
_OF_ONE = ("url", "username", "password", "token", "client_cert", "client_key")
"""What belongs to one index and is never taken over by another: it would be shown to it."""


class Found(Protocol):
    """A value, and where it was found."""

    @property
    def value(self) -> Value:
        """The typed value."""
        ...

    @property
    def source(self) -> str:
        """The place, in words."""
        ...


def names_in(table: Mapping[str, object], place: str) -> tuple[str, ...]:
    """Return the names of the upstreams in a settings file. Raise `SettingsError` for one that cannot be a name."""
    content = table.get(TABLE, {})
    if not isinstance(content, Mapping):
        raise SettingsError(f"{TABLE} holds tables, written [{TABLE}.<name>], and is not a value ({place}).")
    for name in content:
        if not _NAME.fullmatch(name):
            raise SettingsError(
                f"[{TABLE}.{name[:60]}] has no usable name ({place}): lower-case letters, digits and - between them."
            )
    return tuple(content)


def keys_of(names: tuple[str, ...]) -> dict[str, Key]:
    """Return the settings of these upstreams by their dotted names."""
    return {path: key for name in names for path, key in named_keys(name).items()}


def assemble(names: tuple[str, ...], found: Mapping[str, Found]) -> tuple[NamedUpstream, ...]:
    """Return the upstreams in order; without names the one that ``[upstream]`` is. Raise `SettingsError`."""
    for name in _OF_ONE if names else ():
        item = found[f"upstream.{name}"]
        if item.value:
            raise SettingsError(
                f"upstream.{name} ({item.source}) and [{TABLE}.{names[0]}] cannot both be: "
                f"with several upstreams each has its own {name}, in [{TABLE}.<name>]."
            )
    for name in names:
        if f"{TABLE}.{name}.url" not in found:  # left out by mistake, it would be PyPI in a private index's place
            raise SettingsError(f'[{TABLE}.{name}] has no url: write its address, or url = "" for PyPI.')
    made = tuple(_one(name, found) for name in names or ("",))
    for upstream in made:
        _check(upstream)
    return made


def sources(names: tuple[str, ...], found: Mapping[str, Found]) -> Iterator[tuple[str, str]]:
    """Go through the settings of these upstreams: the dotted name, and where the value is from."""
    for name in names:
        for item in _FIELDS:
            path = f"{TABLE}.{name}.{item.name}"
            held = found.get(path) or (None if _has_default(item.name) else found[f"upstream.{item.name}"])
            yield path, "default" if held is None else held.source


def _one(name: str, found: Mapping[str, Found]) -> NamedUpstream:
    values: dict[str, Value] = {"name": name}
    for item in _FIELDS:
        own = found.get(f"{TABLE}.{name}.{item.name}") if name else None
        if own is None and not (name and _has_default(item.name)):
            own = found.get(f"upstream.{item.name}")
        if own is not None:
            values[item.name] = own.value
    return NamedUpstream(**values)  # type: ignore[arg-type] # each was parsed by its own type


def _has_default(name: str) -> bool:
    return next(item for item in _FIELDS if item.name == name).default is not MISSING


def _check(upstream: NamedUpstream) -> None:
    """Raise `SettingsError` for what contradicts itself. No value is quoted: they are credentials."""
    table = f"{TABLE}.{upstream.name}" if upstream.name else "upstream"
    has_login = bool(upstream.username or upstream.password)
    if upstream.token and has_login:
        raise SettingsError(f"{table}.token stands for {table}.username and {table}.password: set one or the other.")
    if (upstream.token or has_login) and "@" in urlsplit(upstream.url).netloc:
        raise SettingsError(f"{table}.url holds credentials, and others are set beside it: leave one of them out.")
    if upstream.password and not upstream.username:
        raise SettingsError(f"{table}.password is set without {table}.username.")
    if ":" in upstream.username:
        raise SettingsError(f"{table}.username must not hold a colon (RFC 7617).")
    if upstream.client_key and not upstream.client_cert:
        raise SettingsError(f"{table}.client_key is set without {table}.client_cert.")
    if upstream.pinned_only and not upstream.projects:
        raise SettingsError(f"{table}.pinned_only is set without {table}.projects: nothing would be asked there.")
