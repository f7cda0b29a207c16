"""Certificates that nobody vouches for, made when they are needed.

Invariant: no private key lies in the repository.
"""

from __future__ import annotations

import http.server
import ssl
import subprocess
from pathlib import Path


def self_signed(folder: Path) -> Path:
    """Return a file in `folder` with a key and a certificate for 127.0.0.1; needs openssl."""
    path = folder / "server.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")),
        ],
        check=True,
        capture_output=True,
    )
    parts = [(folder / name).read_text("ascii") for name in ("key.pem", "certificate.pem")]
    path.write_text("".join(parts), "ascii")
    return path


def speak_tls(server: http.server.HTTPServer, folder: Path) -> None:
    """Let `server` speak TLS with such a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(folder))
    server.socket = context.wrap_socket(server.socket, server_side=True)
