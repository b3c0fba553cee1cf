"""JSON as text: find out where values stand without taking the text apart.

Values are read by the standard library's own scanner, one small value a call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

Scan = Callable[[str, int], tuple[object, int]]
"""Reads the value at a place of a text and returns it with the place behind it; raises `Malformed`."""

_space = re.compile(r"[ \t\n\r]*+").match


class Malformed(ValueError):
    """The text is not JSON, or not of the shape that was asked for."""


def scanner() -> Scan:
    """Return a function that reads the value at a place and returns it with the place behind it.

    The standard decoder keeps a memo of keys while it works, so each thread takes a scanner of its own.
    """
    decode = json.JSONDecoder().raw_decode

    def scan(text: str, at: int) -> tuple[object, int]:
        try:
            return decode(text, at)
        except (ValueError, RecursionError) as error:
            raise Malformed(str(error)) from error

    return scan


def skip_space(text: str, at: int) -> int:
    """Return the place of the next character that is no white space."""
    match = _space(text, at)
    return match.end() if match else at


def walk_object(text: str, at: int, scan: Scan, value: Callable[[str, int], int]) -> int:
    """Call ``value(key, place)`` for each value of the object at ``at``; it returns the place behind the value."""
    at = _enter(text, at, "{", "an object")
    if text.startswith("}", at):
        return at + 1
    while True:
        if not text.startswith('"', at):
            raise _expected("a key", at)
        key, at = scan(text, at)
        at = skip_space(text, at)
        if not text.startswith(":", at):
            raise _expected("a colon", at)
        at = skip_space(text, value(str(key), skip_space(text, at + 1)))
        if text.startswith("}", at):
            return at + 1
        at = _next(text, at)


def walk_array(text: str, at: int, element: Callable[[int], int]) -> int:
    """Call ``element(place)`` for each element of the array at ``at``; it returns the place behind the element."""
    at = _enter(text, at, "[", "an array")
    if text.startswith("]", at):
        return at + 1
    while True:
        at = skip_space(text, element(at))
        if text.startswith("]", at):
            return at + 1
        at = _next(text, at)


def _enter(text: str, at: int, bracket: str, what: str) -> int:
    if not text.startswith(bracket, at):
        raise _expected(what, at)
    return skip_space(text, at + 1)


def _next(text: str, at: int) -> int:
    if not text.startswith(",", at):
        raise _expected("a comma or the end", at)
    return skip_space(text, at + 1)


def _expected(what: str, at: int) -> Malformed:
    return Malformed(f"{what} was expected at character {at}")
