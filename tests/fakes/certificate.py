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


def unfit_contexts(folder: Path) -> dict[str, tuple[ssl.SSLContext, Path]]:
    """Return servers' contexts by what is wrong with their certificates, each with a file that trusts their maker."""
    made = {
        "nobody vouches for it": (_issue(folder, "stranger"), _issue(folder, "somebody")),
        "it is another host's": (_issue(folder, "elsewhere", host="DNS:example.org"),) * 2,
        "it has expired": (_issue(folder, "expired", is_expired=True),) * 2,
    }
    contexts = {}
    for what, ((certificate, key), (trusted, _)) in made.items():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        contexts[what] = context, trusted
    return contexts


def _issue(folder: Path, name: str, *, host: str = "IP:127.0.0.1", is_expired: bool = False) -> tuple[Path, Path]:
    """Make a certificate that vouches for itself. `openssl req` alone makes none that has expired."""
    certificate, key, request = folder / f"{name}.pem", folder / f"{name}-key.pem", folder / f"{name}.csr"
    made = f"openssl req -new {_CURVE.partition(' -days')[0]} -nodes -subj /CN={name} -addext subjectAltName={host}"
    subprocess.run([*made.split(), "-keyout", key, "-out", request], check=True, capture_output=True)
    signed = [
        "openssl",
        "x509",
        "-req",
        "-in",
        request,
        "-signkey",
        key,
        "-copy_extensions",
        "copy",
        "-out",
        certificate,
    ]
    in_2020 = ["-not_before", "20200101000000Z", "-not_after", "20200102000000Z"]  # since OpenSSL 3.4
    for days in (in_2020, ["-days", "-1"]) if is_expired else (["-days", "2"],):
        if subprocess.run([*signed, *days], check=False, capture_output=True).returncode == 0:
            return certificate, key
    raise AssertionError("openssl made no certificate")


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
