"""Every setting, with its type and its bounds. What each is for stands in ``defaults.toml``, with its default."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from pathlib import Path  # noqa: TC003 - read at run time, by `keys`
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit


class SettingsError(Exception):
    """A setting that cannot be used. The argument is one sentence that names the setting, the place and what to do."""


@dataclass(frozen=True, slots=True)
class Between:
    """The bounds of a number, both included."""

    low: float
    high: float = math.inf

    def check(self, value: float) -> None:
        """Raise ValueError where the number is out of bounds."""
        if not self.low <= value <= self.high:
            wanted = f"at least {self.low:g}" if math.isinf(self.high) else f"from {self.low:g} to {self.high:g}"
            raise ValueError(f"must be {wanted}")


@dataclass(frozen=True, slots=True)
class Size:
    """The number counts bytes: it may be written with a unit, as in ``"128 MiB"``."""


@dataclass(frozen=True, slots=True)
class WebAddress:
    """The text is an ``http`` or ``https`` URL, or empty."""

    def check(self, value: str) -> None:
        """Raise ValueError where the text is no such URL."""
        if not value:
            return
        sentence = "must be a URL such as https://example.org/simple/"
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError as error:
            raise ValueError(sentence) from error
        if parts.scheme not in {"http", "https"} or not parts.hostname or any(letter.isspace() for letter in value):
            raise ValueError(sentence)
        if "?" in value or "#" in value:
            raise ValueError("must be a URL without a query")


@dataclass(frozen=True, slots=True)
class Line:
    """The text is one line that can stand in a header or in a log: no control characters, and not empty if so said."""

    may_be_empty: bool = True

    def check(self, value: str) -> None:
        """Raise ValueError where the text is not."""
        if not value and not self.may_be_empty:
            raise ValueError("must not be empty")
        if value and not (value.isascii() and value.isprintable()):
            raise ValueError("must be one line of printable ASCII characters")


@dataclass(frozen=True, slots=True)
class ProjectPatterns:
    """The texts are names of projects, in which ``*`` and ``?`` may stand."""

    def check(self, value: tuple[str, ...]) -> None:
        """Raise ValueError where one of them is not."""
        if not all(re.fullmatch(r"[A-Za-z0-9._*?-]+", one) for one in value):
            raise ValueError('must be names of projects, or patterns such as "acme-*"')


Check = Between | WebAddress | Line | ProjectPatterns
Seconds = Annotated[float, Between(0.001, 1e9)]
Bytes = Annotated[int, Size(), Between(0, 1 << 62)]
Count = Annotated[int, Between(1, 1_000_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The index that we stand in front of."""

    url: Annotated[str, WebAddress()] = field(repr=False)
    username: str = field(repr=False)
    password: str = field(repr=False)
    token: Annotated[str, Line()] = field(repr=False)
    client_cert: str
    client_key: str
    page_ttl: Annotated[float, Between(0, 1e9)]
    max_stale: Annotated[float, Between(0, 1e9)]
    patience_seconds: Seconds
    stale_after_seconds: Seconds
    connect_seconds: Seconds
    read_seconds: Seconds
    retries: Annotated[int, Between(0, 20)]
    max_page_bytes: Bytes
    ca_file: str
    user_agent_contact: Annotated[str, Line()]
    accept_older_serial: bool
    exclude_newer: Annotated[str, Line()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is served at all."""

    allow: tuple[str, ...]
    deny: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedUpstream:
    """One of the indexes that we stand in front of, as `Settings.upstreams` has them: ``[upstreams.<name>]``."""

    url: Annotated[str, WebAddress()] = field(default="", repr=False)
    projects: Annotated[tuple[str, ...], ProjectPatterns()] = ()
    pinned_only: bool = False
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: Annotated[str, Line()] = field(default="", repr=False)
    client_cert: str = ""
    client_key: str = ""
    # From here on the defaults are what [upstream] says.
    ca_file: str
    connect_seconds: Seconds
    read_seconds: Seconds
    retries: Annotated[int, Between(0, 20)]
    max_page_bytes: Bytes
    user_agent_contact: Annotated[str, Line()]
    exclude_newer: Annotated[str, Line()]
    name: str = ""
    """Empty where there is no ``[upstreams.<name>]``, so that ``[upstream]`` is the only one."""

    @property
    def wants_credentials(self) -> bool:
        """Whether we show any to it, so that not everybody may have what it has."""
        return bool(self.username or self.password or self.token or self.client_cert or "@" in self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where we listen, and how we stop."""

    host: Annotated[str, Line(may_be_empty=False)]
    port: Annotated[int, Between(0, 65535)]
    shutdown_seconds: Annotated[float, Between(0, 3600)]
    public_url: Annotated[str, WebAddress()]
    max_connections: Annotated[int, Between(16, 1_000_000)]
    header_seconds: Seconds
    keepalive_seconds: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What is kept, where, and how much of it."""

    dir: Path
    max_size: Bytes
    min_free: Bytes
    memory_bytes: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What is built, and the bounds of one build."""

    enabled: bool
    socket: str
    min_isolation: Literal["full", "unprivileged", "container", "landlock"]
    slots: Annotated[int, Between(1, 1024)]
    wall_seconds: Seconds
    silence_seconds: Seconds
    cpu_seconds: Annotated[int, Between(1, 1 << 31)]
    memory_bytes: Annotated[int, Size(), Between(1 << 20, 1 << 62)]
    cpus: Annotated[int, Between(0, 4096)]
    pool_memory_bytes: Bytes
    pool_cpus: Annotated[int, Between(0, 4096)]
    hold_seconds: Annotated[float, Between(0, 1e9)]
    lock_after: Annotated[int, Between(2, 1000)]
    disk_bytes: Annotated[int, Size(), Between(1 << 20, 1 << 62)]
    file_bytes: Annotated[int, Size(), Between(1 << 20, 1 << 62)]
    inodes: Annotated[int, Between(1000, 1 << 31)]
    processes: Annotated[int, Between(8, 1 << 22)]
    log_bytes: Annotated[int, Size(), Between(1 << 10, 1 << 30)]
    max_wheel_bytes: Annotated[int, Size(), Between(1, 1 << 62)]
    import_check: bool
    import_seconds: Seconds
    interpreters: tuple[str, ...]
    version_managers: bool
    roots: tuple[str, ...]
    recipes: tuple[str, ...]
    toolchains: tuple[str, ...]
    failure_days: Annotated[float, Between(0, 36500)]
    max_attempts: Annotated[int, Between(1, 1000)]
    queue_size: Count
    slot_uid_base: Annotated[int, Between(1, (1 << 31) - 1025)]
    work_dir: str
    signing_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """Who may change things."""

    token: Annotated[str, Line()] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"]
    format: Literal["text", "json"]
    access: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings. A value: nothing reads the environment after it was made."""

    upstream: Upstream
    upstreams: tuple[NamedUpstream, ...]
    """In the order in which they are asked; at least one."""
    policy: Policy
    server: Server
    storage: Storage
    build: Build
    admin: Admin
    log: Log


@dataclass(frozen=True, slots=True)
class Key:
    """One setting."""

    section: str
    name: str
    kind: type
    """``str``, ``int``, ``float``, ``bool``, ``Path`` or ``tuple`` (of texts)."""
    choices: tuple[str, ...] = ()
    is_size: bool = False
    checks: tuple[Check, ...] = ()

    @property
    def path(self) -> str:
        """The dotted name: ``server.port``."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable: ``BUILDTHROUGH_SERVER__PORT``."""
        section = self.section.replace(".", "__").replace("-", "_")
        return f"{ENVIRONMENT_PREFIX}{section}__{self.name}".upper()

    @property
    def is_secret(self) -> bool:
        """Whether its value is shown to nobody."""
        return self.name in {"token", "password", "username"}


ENVIRONMENT_PREFIX = "BUILDTHROUGH_"

SECTIONS: dict[str, type] = {
    "upstream": Upstream,
    "policy": Policy,
    "server": Server,
    "storage": Storage,
    "build": Build,
    "admin": Admin,
    "log": Log,
}


def _keys(section: str, holder: type) -> dict[str, Key]:
    hints = get_type_hints(holder, include_extras=True)
    keys = [_key(section, item.name, hints[item.name]) for item in fields(holder)]
    return {key.path: key for key in keys}


def _key(section: str, name: str, hint: Any) -> Key:  # noqa: ANN401 - typing's forms have no type of their own
    kind, notes = (get_args(hint)[0], get_args(hint)[1:]) if get_origin(hint) is Annotated else (hint, ())
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    return Key(
        section=section,
        name=name,
        kind=str if choices else (get_origin(kind) or kind),
        choices=choices,
        is_size=any(isinstance(note, Size) for note in notes),
        checks=tuple(note for note in notes if isinstance(note, Check)),
    )


KEYS: dict[str, Key] = {
    path: key for section, holder in SECTIONS.items() for path, key in _keys(section, holder).items()
}
"""Every setting by its dotted name, in the order of the schema, except those of `named_keys`."""


def named_keys(name: str) -> dict[str, Key]:
    """Return the settings of one ``[upstreams.<name>]``, by their dotted names."""
    keys = _keys(f"upstreams.{name}", NamedUpstream)
    del keys[f"upstreams.{name}.name"]
    return keys
