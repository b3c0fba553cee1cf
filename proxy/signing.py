"""The server's Ed25519 key, and the check of what it signed. Needs ``cryptography``, the extra ``sign``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MOST_BYTES = 64 << 10


class SigningUnavailable(Exception):
    """``cryptography`` is not installed. The argument is a sentence that says what to do."""


class UnusableKey(Exception):
    """A file does not hold the key that it should. The argument is a sentence: what is wrong, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key that signs."""

    public: VerifyingKey
    sign: Callable[[bytes], bytes]
    """Return the signature of a message, 64 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyingKey:
    """A key that tells whether a signature is its own."""

    pem: str
    """SubjectPublicKeyInfo."""
    keyid: str
    """sha256 of the key in DER form."""
    verifies: Callable[[bytes, bytes], bool]
    """Whether a signature is of a message: ``verifies(signature, message)``."""


def read_signing_key(file: Path) -> SigningKey:
    """Read a private key: PEM, PKCS 8, not encrypted. Blocking. Raise `UnusableKey` or `SigningUnavailable`."""
    data = _read(file)
    try:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - as above
            Encoding,
            PublicFormat,
            load_pem_private_key,
        )
    except ImportError as error:
        raise SigningUnavailable(_unavailable("sign records")) from error
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKey(_no_key(file, "private key, in PEM form and not encrypted")) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UnusableKey(_no_key(file, "Ed25519 private key"))
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return SigningKey(public=_verifying(pem, str(file)), sign=key.sign)


def read_verifying_key(file: Path) -> VerifyingKey:
    """Read a public key: PEM, SubjectPublicKeyInfo. Blocking. Raise `UnusableKey` or `SigningUnavailable`."""
    return _verifying(_read(file), str(file))


def verifying_key(pem: str, origin: str) -> VerifyingKey:
    """Return the key of a text; ``origin`` says where it is from. Raise `UnusableKey` or `SigningUnavailable`."""
    return _verifying(pem.encode(), origin)


def _verifying(data: bytes, origin: str) -> VerifyingKey:
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - as above
            Encoding,
            PublicFormat,
            load_pem_public_key,
        )
    except ImportError as error:
        raise SigningUnavailable(_unavailable("check a signature")) from error
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnusableKey(_no_key(origin, "public key in PEM form")) from error
    if not isinstance(key, Ed25519PublicKey):
        raise UnusableKey(_no_key(origin, "Ed25519 public key"))

    def verifies(signature: bytes, message: bytes) -> bool:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return VerifyingKey(pem=pem, keyid=hashlib.sha256(der).hexdigest(), verifies=verifies)


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(_MOST_BYTES)
    except OSError as error:
        raise UnusableKey(f"The key {file} cannot be read ({error.strerror or error}).") from error


def _no_key(origin: object, wanted: str) -> str:
    return f"{origin} holds no {wanted}; docs/provenance.md says how to make one."


def _unavailable(what: str) -> str:
    return f"This installation cannot {what}: install buildthrough[sign], which brings the package cryptography."
