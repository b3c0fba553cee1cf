"""Values as JSON and back, by the types of their fields: what goes between the server and a builder. Pure.

Frozen dataclasses, tuples, mappings, paths, bytes (base64) and what JSON has itself.
"""

from __future__ import annotations

import base64
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from buildthrough.builders import kit, roots, sandbox, target

V = TypeVar("V")
_NAMES: dict[str, Any] = {
    **{name: value for module in (sandbox, target, roots, kit) for name, value in vars(module).items()},
    "Path": Path,
    "Mapping": Mapping,
    "Sequence": Sequence,
}
"""What the annotations of the dataclasses name, though some of it is imported for type checkers alone."""


class NotAsExpected(ValueError):
    """What came is not the value that was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a builder has: what a server has to know to send it commands."""

    isolation: sandbox.Isolation
    kit: kit.Kit | None
    slots: int
    sentences: tuple[str, ...]


def encode(value: object) -> Any:  # noqa: ANN401 - JSON has no type of its own
    """Return the value as JSON's own types."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: encode(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): encode(one) for key, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(one) for one in value]
    return value


def decode(kind: type[V], raw: object) -> V:
    """Return the value of a type. Raise `NotAsExpected` where the JSON is none."""
    try:
        value: V = _decoded(kind, raw)
    except (TypeError, KeyError, AttributeError, ValueError) as problem:
        raise NotAsExpected(f"this is no {getattr(kind, '__name__', kind)}: {problem}") from problem
    return value


def _decoded(kind: Any, raw: Any) -> Any:  # noqa: ANN401 - any type, any JSON
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        return None if raw is None else _decoded(next(one for one in arguments if one is not type(None)), raw)
    if origin is Literal:
        if raw not in arguments:
            raise NotAsExpected(f"{raw!r} is none of {arguments}")
        return raw
    if origin is not None:
        return _collection(origin, arguments, raw)
    if is_dataclass(kind):
        hints = get_type_hints(kind, localns=_NAMES)
        make: Callable[..., Any] = kind  # type: ignore[assignment] # a class, not one of its instances
        return make(**{name: _decoded(hints[name], one) for name, one in _expected(dict, raw).items()})
    return _SCALARS.get(kind, lambda value: _expected(kind, value))(raw)


def _collection(origin: object, arguments: tuple[Any, ...], raw: Any) -> Any:  # noqa: ANN401 - any type, any JSON
    if origin is Mapping:
        return {_decoded(arguments[0], key): _decoded(arguments[1], one) for key, one in _expected(dict, raw).items()}
    if origin is not tuple:
        raise NotAsExpected(f"{origin} does not go over the wire")
    items = [arguments[0]] * len(raw) if arguments[1:] == (...,) else arguments
    return tuple(_decoded(one, each) for one, each in zip(items, _expected(list, raw), strict=True))


def _expected(kind: type, raw: Any) -> Any:  # noqa: ANN401 - any JSON
    if not isinstance(raw, kind) or (kind is int and isinstance(raw, bool)):
        raise NotAsExpected(f"{str(raw)[:60]!r} is no {kind.__name__}")
    return raw


_SCALARS: dict[type, Callable[[Any], Any]] = {
    bytes: lambda raw: base64.b64decode(_expected(str, raw), validate=True),
    Path: lambda raw: Path(_expected(str, raw)),
    float: float,
}
