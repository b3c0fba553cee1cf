"""``buildthrough provenance FILE``: what a wheel was built from, and whether that is proven."""

from __future__ import annotations

import hashlib
import json
import sys
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

from buildthrough.proxy.commands import options
from buildthrough.proxy.logs import escape
from buildthrough.proxy.remote import Absent

if TYPE_CHECKING:
    import argparse

    from buildthrough.proxy.attestation import Attestation
    from buildthrough.proxy.signing import VerifyingKey

SUMMARY = "say what a wheel was built from, and check the signature"


class Verdict(IntEnum):
    """The exit codes; 1 is for what cannot be read or reached, 2 for a wrong command or key."""

    PROVEN = 0
    UNREADABLE = 1
    WRONG = 2
    NO_RECORD = 3
    MALFORMED = 4
    OTHER_FILE = 5
    NOT_SIGNED = 6
    OTHER_KEY = 7


class _End(Exception):
    """It goes no further: the verdict, and a sentence."""

    def __init__(self, verdict: Verdict, sentence: str) -> None:
        super().__init__(sentence)
        self.verdict = verdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("file", metavar="FILE", type=Path, help="a wheel")
    parser.add_argument(
        "--key", metavar="PUB", type=Path, help="the public key that must have signed it (default: ask the server)"
    )
    parser.add_argument("--json", action="store_true", help="print the statement as JSON")
    options.add_server(parser)


def run(arguments: argparse.Namespace) -> int:
    """Find the record, check it, and print what it says. Raise `RemoteError`."""
    try:
        sha256 = _digest(arguments.file)
        key = _given_key(arguments)
        found, origin = _record(arguments, sha256)
        _check_digest(found, origin, sha256)
        _print(arguments, found, sha256)
        _check_signature(arguments, found, key)
    except _End as end:
        sys.stderr.write(f"buildthrough: {escape(str(end))}\n")
        return end.verdict
    return Verdict.PROVEN


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise _End(Verdict.UNREADABLE, f"{file} cannot be read ({error.strerror or error}).") from error


def _given_key(arguments: argparse.Namespace) -> VerifyingKey | None:
    from buildthrough.proxy.signing import (  # noqa: PLC0415 - other commands start without it
        SigningUnavailable,
        UnusableKey,
        read_verifying_key,
    )

    if arguments.key is None:
        return None
    try:
        return read_verifying_key(arguments.key)
    except (SigningUnavailable, UnusableKey) as error:
        raise _End(Verdict.WRONG, str(error)) from error


def _record(arguments: argparse.Namespace, sha256: str) -> tuple[Attestation, str]:
    """Return the record, and where it is from."""
    from buildthrough.proxy.attestation import MAX_BYTES, MalformedRecord, read_record  # noqa: PLC0415 - as above
    from buildthrough.proxy.resource import PROVENANCE  # noqa: PLC0415 - as above

    beside = arguments.file.with_name(arguments.file.name + PROVENANCE)
    try:
        with beside.open("rb") as opened:
            data, origin = opened.read(MAX_BYTES + 1), f"The record {beside}"
    except FileNotFoundError:
        server = options.connect(arguments)
        origin = f"The record of {server.url}"
        try:
            data = json.dumps(server.get(f"provenance/{sha256}")).encode()
        except Absent as answer:
            raise _End(Verdict.NO_RECORD, f"There is no record {beside}, and {server.url} says: {answer}") from answer
    except OSError as error:
        raise _End(Verdict.UNREADABLE, f"{beside} cannot be read ({error.strerror or error}).") from error
    try:
        return read_record(data), origin
    except MalformedRecord as error:
        raise _End(Verdict.MALFORMED, f"{origin} is none: {error}.") from error


def _check_digest(found: Attestation, origin: str, sha256: str) -> None:
    if found.sha256 != sha256:
        sentence = f"{origin} is of a file with the sha256 {found.sha256}, that of this one is {sha256}."
        raise _End(Verdict.OTHER_FILE, sentence)


def _check_signature(arguments: argparse.Namespace, found: Attestation, key: VerifyingKey | None) -> None:
    if found.envelope is None:
        raise _End(Verdict.NOT_SIGNED, "The record is not signed: anybody may have written it.")
    whose = f"the key {arguments.key}"
    if key is None:
        key, whose = _servers_key(arguments)
    if not found.is_signed_by(key):
        raise _End(Verdict.OTHER_KEY, f"The record is not signed with {whose} (sha256 {key.keyid}).")
    print(escape(f"The record is signed with {whose} (sha256 {key.keyid})."))


def _servers_key(arguments: argparse.Namespace) -> tuple[VerifyingKey, str]:
    """Ask the server for its key. It vouches for itself then, and it is said so."""
    from buildthrough.proxy.signing import SigningUnavailable, UnusableKey, verifying_key  # noqa: PLC0415 - as above

    server = options.connect(arguments)
    try:
        key = verifying_key(str(server.get("key").get("pem")), f"The answer of {server.url}")
    except Absent as answer:
        raise _End(Verdict.WRONG, f"No key to check with: {answer} Name one with --key.") from answer
    except (SigningUnavailable, UnusableKey) as error:
        raise _End(Verdict.WRONG, str(error)) from error
    return key, f"the key that {server.url} says is its own; to trust nobody's word, give it with --key"


def _print(arguments: argparse.Namespace, found: Attestation, sha256: str) -> None:
    from buildthrough.proxy.commands.story import story  # noqa: PLC0415 - as above

    if arguments.json:
        print(json.dumps(found.statement, indent=2))
        return
    print(escape(f"{arguments.file.name} (sha256 {sha256})"))
    for line in story(found.statement):
        print(escape(line))
