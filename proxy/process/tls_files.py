"""Certificates, keys and authorities in files: what is wrong with each, and what to do about it.

OpenSSL decides, and says little more than "no": what it refuses is looked at once more, so that
whoever reads the message at night knows which file it is. Nothing of a file's content is part of a
message.
"""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from proxy.errors import ConfigError, Diagnostic

_Loaded = TypeVar("_Loaded")

SOON: Final = 14 * 86400.0
"""Seconds before its end from which a certificate is warned of."""

_MOST: Final = 1024 * 1024
"""Bytes of a file that is read; the authorities of a whole operating system are a fifth of it."""

_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_KEY: Final = b"PRIVATE KEY-----"
_ENCRYPTED: Final = (b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED")
_DER: Final = b"\x30"


@dataclass(frozen=True, slots=True)
class ServedCertificate:
    """A certificate that a listener shows.

    Attributes:
        path: the setting that names its file.
        file: the file.
        fingerprint: SHA-256 of it; tells one from the next.
        not_before, not_after: when it is valid, in seconds since 1970.
    """

    path: str
    file: str
    fingerprint: bytes
    not_before: float
    not_after: float

    def fault(self, now: float) -> Diagnostic | None:
        """What is wrong with its time; None where it is valid."""
        if now >= self.not_after:
            text = f"expired on {_day(self.not_after)}: clients refuse it; put a renewed one there"
        elif now < self.not_before:
            text = (
                f"not valid before {_day(self.not_before)}: clients refuse it until then; is this"
                " machine's clock right?"
            )
        else:
            return None
        return Diagnostic(self.file, 0, 0, self.path, text)

    def warning(self, now: float) -> Diagnostic | None:
        """That it ends soon; None where it does not, or has."""
        if not now < self.not_after <= now + SOON:
            return None
        days = int((self.not_after - now) // 86400)
        text = (
            f"expires on {_day(self.not_after)}, in {days} day{'' if days == 1 else 's'}: renew it"
        )
        return Diagnostic(self.file, 0, 0, self.path, text)


def served_certificate(path: str, file: str) -> ServedCertificate | None:
    """The certificate that a listener shows: the first of its file.

    Args:
        path: the setting that names the file.
        file: the certificates, in PEM, as a TLS context has read them.

    Returns:
        None where that cannot be told.
    """
    try:
        own = x509.load_pem_x509_certificate(_read(file, path))
        return ServedCertificate(
            path,
            file,
            own.fingerprint(hashes.SHA256()),
            own.not_valid_before_utc.timestamp(),
            own.not_valid_after_utc.timestamp(),
        )
    except (ConfigError, ValueError):
        return None


def load_pair(context: ssl.SSLContext, path: str, certificate: str, key: str) -> None:
    """Have a listener show a certificate.

    Args:
        context: of the listener.
        path: the section that names the files, `listen.tls` or `admin.tls`.
        certificate, key: the files.

    Raises:
        ConfigError: with what is wrong with either of them.
    """
    problems: list[Diagnostic] = []
    contents: list[bytes] = []
    for file, name in ((certificate, "certificate"), (key, "key")):
        try:
            contents.append(_read(file, f"{path}.{name}"))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    try:
        # Nobody is there to be asked for a password.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ssl.SSLError) as error:
        chain: list[x509.Certificate] = []
        own: PublicKeyTypes | None = None
        try:
            chain = _certificates(contents[0], certificate, f"{path}.certificate")
        except ConfigError as found:
            problems += found.problems
        try:
            own = _public_key(contents[1], key, f"{path}.key")
        except ConfigError as found:
            problems += found.problems
        if chain and own is not None and not _is_of(own, chain[0]):
            text = _mismatch(own, chain, certificate)
            problems.append(Diagnostic(key, 0, 0, f"{path}.key", text))
        raise ConfigError(problems or [_refused(error, path, certificate)]) from None


def load_authorities(load: Callable[[str], _Loaded], path: str, file: str) -> _Loaded:
    """Have a side trust what the authorities in a file have signed.

    Args:
        load: has a context read the file.
        path: the setting that names it.
        file: the certificates, in PEM.

    Raises:
        ConfigError: with what is wrong with it.
    """
    content = _read(file, path)
    try:
        return load(file)
    except (OSError, ssl.SSLError) as error:
        _certificates(content, file, path)
        raise ConfigError([_refused(error, path, file)]) from None


def trusting(file: str) -> ssl.SSLContext:
    """Return the context of a client that trusts these authorities alone."""
    return ssl.create_default_context(cafile=file)


def _refused(error: Exception, path: str, file: str) -> Diagnostic:
    reason = str(getattr(error, "reason", None) or "it changed while it was read")
    text = f"refused by OpenSSL: {reason.lower().replace('_', ' ')}"
    return Diagnostic(file, 0, 0, path, text)


def _certificates(data: bytes, file: str, path: str) -> list[x509.Certificate]:
    """The certificates of a file, at least one."""
    if _CERTIFICATE not in data:
        if _KEY in data:
            text = "holds a private key and no certificate: are the two files exchanged?"
        else:
            text = _no_pem(data, "CERTIFICATE", "openssl x509 -inform der -in FILE -out NEW")
        raise _problem(file, path, text)
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        text = "a certificate in it is damaged: copy the file again, whole"
        raise _problem(file, path, text) from None


def _public_key(data: bytes, file: str, path: str) -> PublicKeyTypes:
    """The public half of a key."""
    if any(mark in data for mark in _ENCRYPTED):
        raise _problem(
            file,
            path,
            "encrypted, and nobody is there to type its password: decrypt it (openssl pkey -in FILE"
            " -out NEW), and let only segue's user read it",
        )
    if _KEY not in data:
        if _CERTIFICATE in data:
            text = "holds a certificate and no private key: are the two files exchanged?"
        else:
            text = _no_pem(data, "PRIVATE KEY", "openssl pkey -inform der -in FILE -out NEW")
        raise _problem(file, path, text)
    try:
        return serialization.load_pem_private_key(data, None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if b"OPENSSH" in data:
            text = "a key of OpenSSH's own form: make one for TLS (ssh-keygen -p -m PEM -f FILE)"
        else:
            text = "the key in it is damaged, or of a kind that is not known: copy it again, whole"
        raise _problem(file, path, text) from None


def _no_pem(data: bytes, kind: str, conversion: str) -> str:
    if not data.strip():
        return "empty"
    if data.startswith(_DER):
        return f"binary (DER or PKCS #12), and not PEM: convert it, as by {conversion}"
    return f"not PEM: there is no line -----BEGIN {kind}----- in it"


def _is_of(own: PublicKeyTypes, certificate: x509.Certificate) -> bool:
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    try:
        return certificate.public_key().public_bytes(*form) == own.public_bytes(*form)
    except (ValueError, UnsupportedAlgorithm):
        return True  # OpenSSL will say.


def _mismatch(own: PublicKeyTypes, chain: list[x509.Certificate], certificate: str) -> str:
    for number, each in enumerate(chain[1:], 2):
        if _is_of(own, each):
            return (
                f"belongs to certificate {number} of {certificate}: the listener's own certificate"
                " has to be the first there, its authorities behind it"
            )
    return f"does not belong to {certificate}: one of the two is of another renewal; put both there"


def _read(file: str, path: str) -> bytes:
    try:
        # Without waiting: nobody may ever write to a FIFO.
        with open(file, "rb", opener=_open_at_once) as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise _problem(file, path, "not a file")
            data = opened.read(_MOST + 1)
    except PermissionError:
        text = f"permission denied: let the user that runs segue (uid {os.geteuid()} here) read it"
        raise _problem(file, path, text) from None
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise _problem(file, path, f"{reason}: put it there, or mend {path}") from None
    if len(data) > _MOST:
        raise _problem(file, path, f"larger than {_MOST} bytes: is it the right file?")
    return data


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _problem(file: str, path: str, text: str) -> ConfigError:
    return ConfigError([Diagnostic(file, 0, 0, path, text)])


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
