"""Certificates for this machine, made for one test."""

from __future__ import annotations

import ssl
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_CURVE = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2"


def make_certificate(folder: Path, name: str, *, password: str = "") -> tuple[Path, Path]:
    """Make a certificate that vouches for itself, for ``localhost``, and its key; return both files."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    alternatives = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    hidden = f"-passout pass:{password}" if password else "-nodes"
    command = f"openssl req -x509 {_CURVE} {hidden} -subj /CN={name} -addext {alternatives}"
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def server_context(folder: Path, *, clients: Path | None = None) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server for ``localhost`` needs, and what a client needs that trusts it; ``folder`` keeps both.

    The certificate is ``folder / "certificate.pem"``. With ``clients``, clients must show a certificate of that file.
    """
    certificate, key = make_certificate(folder, "certificate")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key)
    if clients is not None:
        serving.verify_mode = ssl.CERT_REQUIRED
        serving.load_verify_locations(cafile=clients)
    return serving, ssl.create_default_context(cafile=certificate)
