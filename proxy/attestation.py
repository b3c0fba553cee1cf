"""The record beside each built wheel: its statement, in an envelope where the server has a key to sign with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from buildthrough.builders.provenance import PAYLOAD_TYPE, PREDICATE, STATEMENT, statement
from buildthrough.proxy.envelope import Envelope, MalformedEnvelope, read_envelope, seal

if TYPE_CHECKING:
    from datetime import datetime

    from buildthrough.builders.artifact import CheckedWheel
    from buildthrough.builders.facts import BuildFacts
    from buildthrough.builders.provenance import Builder
    from buildthrough.builders.request import Build
    from buildthrough.proxy.signing import SigningKey, VerifyingKey

MAX_BYTES: Final = 16 << 20
"""A record that is longer is not read."""


class MalformedRecord(ValueError):
    """What was read is no record of a wheel. The argument says why."""


class Attester:
    """Writes records, and signs them where there is a key."""

    def __init__(self, *, builder: Builder, key: SigningKey | None) -> None:
        self._builder = builder
        self._key = key

    @property
    def public(self) -> VerifyingKey | None:
        """What its signatures can be checked with."""
        return None if self._key is None else self._key.public

    def record(
        self, build: Build, wheel: CheckedWheel, facts: BuildFacts, *, log_sha256: str | None, finished: datetime
    ) -> bytes:
        """Return the record of a wheel under the name and digest that it is published with."""
        said = statement(build, wheel, facts, builder=self._builder, log_sha256=log_sha256, finished=finished)
        if self._key is None:
            return json.dumps(said, indent=1).encode() + b"\n"
        payload = json.dumps(said, separators=(",", ":")).encode()
        return seal(payload, PAYLOAD_TYPE, keyid=self._key.public.keyid, sign=self._key.sign)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """A record as it was read. What it says is true of ``sha256`` only if somebody vouches for it."""

    statement: dict[str, Any]
    sha256: str
    """Of the wheel that it speaks of."""
    envelope: Envelope | None
    """None where it is not signed."""

    def is_signed_by(self, key: VerifyingKey) -> bool:
        """Whether one of the signatures is the key's."""
        if self.envelope is None:
            return False
        return any(key.verifies(one.data, self.envelope.signed) for one in self.envelope.signatures)


def read_record(data: bytes) -> Attestation:
    """Read a record, signed or not. Raise `MalformedRecord`."""
    if len(data) > MAX_BYTES:
        raise MalformedRecord(f"it has more than {MAX_BYTES} bytes")
    document, envelope = _json(data), None
    if isinstance(document, dict) and "payload" in document:
        try:
            envelope = read_envelope(document)
        except MalformedEnvelope as error:
            raise MalformedRecord(str(error)) from error
        if envelope.payload_type != PAYLOAD_TYPE:
            raise MalformedRecord(f"its payload is not of the type {PAYLOAD_TYPE}")
        document = _json(envelope.payload)
    match document:
        case {
            "_type": str(kind),
            "predicateType": str(predicate),
            "predicate": dict(),
            "subject": [{"digest": {"sha256": str(sha256)}}],
        } if (kind, predicate) == (STATEMENT, PREDICATE):
            return Attestation(statement=document, sha256=sha256.lower(), envelope=envelope)
        case _:
            raise MalformedRecord("it is no statement of SLSA provenance v1 about one file")


def _json(data: bytes) -> Any:  # noqa: ANN401 - anything
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedRecord("it is no JSON") from error
