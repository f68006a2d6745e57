"""Until when the certificates of the listeners are valid."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509


def not_after(file: str) -> float | None:
    """Return the Unix time at which a listener's certificate ends.

    The first of its file is the listener's own; those behind it are its authorities'.

    Args:
        file: the certificates, in PEM, as a TLS context has read them.

    Returns:
        None where that cannot be told.
    """
    try:
        certificate = x509.load_pem_x509_certificate(Path(file).read_bytes())
        return certificate.not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return None
