"""A signed document: the Dead Simple Signing Envelope (DSSE v1), which in-toto, cosign and others read. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_SIGNATURES = 32


class MalformedEnvelope(ValueError):
    """What was read is no such envelope. The argument says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature over payload and type."""

    keyid: str
    """A hint only: which key it may be."""
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A payload and who signed it; nothing is verified yet."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]

    @property
    def signed(self) -> bytes:
        """The bytes that a signature is over: DSSE's pre-authentication encoding."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)


def seal(payload: bytes, payload_type: str, *, keyid: str, sign: Callable[[bytes], bytes]) -> bytes:
    """Return the JSON text of an envelope with one signature."""
    bare = Envelope(payload=payload, payload_type=payload_type, signatures=())
    document = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": keyid, "sig": base64.b64encode(sign(bare.signed)).decode()}],
    }
    return json.dumps(document).encode() + b"\n"


def read_envelope(document: object) -> Envelope:
    """Read an envelope from a JSON value. Raise `MalformedEnvelope`."""
    match document:
        case {"payload": str() as payload, "payloadType": str() as kind, "signatures": list() as signatures}:
            if not 0 < len(signatures) <= _MOST_SIGNATURES:
                raise MalformedEnvelope(f"the envelope has {len(signatures)} signatures")
            return Envelope(
                payload=_decoded(payload),
                payload_type=kind,
                signatures=tuple(_signature(one) for one in signatures),
            )
        case _:
            raise MalformedEnvelope("an envelope has payload, payloadType and signatures")


def _signature(document: object) -> Signature:
    match document:
        case {"sig": str() as text, **rest}:
            keyid = rest.get("keyid")
            return Signature(keyid=keyid if isinstance(keyid, str) else "", data=_decoded(text))
        case _:
            raise MalformedEnvelope("a signature of the envelope has no sig")


def _decoded(text: str) -> bytes:
    """Decode base64 of either alphabet, as DSSE demands."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedEnvelope("the envelope holds what is not base64") from error
