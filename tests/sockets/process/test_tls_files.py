"""What is said of certificates, keys and authorities that cannot be used, and of those that end."""

from __future__ import annotations

import datetime as dt
import os
import pty
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from proxy.cli.main import main
from tests.support.administered import OPERATOR, TOKENS, Administered, administered, bearer
from tests.support.checkout import ROOT
from tests.support.waiting import PATIENCE

AUTHORITY = trustme.CA()
NOW = dt.datetime.now(dt.UTC)


def issue(directory: Path, *, start: float = -1, end: float = 60, key: str = "key.pem") -> None:
    """Write `certificate.pem`, with its authority behind it, and its key."""
    issued = AUTHORITY.issue_cert(
        "localhost", not_before=NOW + dt.timedelta(start), not_after=NOW + dt.timedelta(end)
    )
    chain = b"".join(each.bytes() for each in (*issued.cert_chain_pems, AUTHORITY.cert_pem))
    (directory / "certificate.pem").write_bytes(chain)
    (directory / key).write_bytes(issued.private_key_pem.bytes())


def encrypt(key: Path, form: serialization.PrivateFormat) -> None:
    opened = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    key.write_bytes(opened.private_bytes(serialization.Encoding.PEM, form, locked))


def validate(directory: Path) -> int:
    config = directory / "config.yaml"
    config.write_text(
        "upstream: {url: 'http://127.0.0.1:9'}\n"
        "listen: {tls: {certificate: certificate.pem, key: key.pem}}\n"
    )
    return main(["validate", "--config", str(config), "--state-dir", str(directory / "state")])


def take_another_key(directory: Path) -> None:
    other = directory / "other"
    other.mkdir()
    issue(other)
    (other / "key.pem").replace(directory / "key.pem")


def replaced(file: Path) -> Path:
    file.unlink()
    return file


def exchange(directory: Path) -> None:
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    kept = certificate.read_bytes()
    certificate.write_bytes(key.read_bytes())
    key.write_bytes(kept)


def reverse(directory: Path) -> None:
    certificate = directory / "certificate.pem"
    own, authority = certificate.read_bytes().split(b"-----BEGIN", 2)[1:]
    certificate.write_bytes(b"-----BEGIN" + authority + b"-----BEGIN" + own)


def damage(file: Path) -> None:
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:3], *lines[5:]]))


def as_der(directory: Path) -> None:
    file = directory / "certificate.pem"
    opened = x509.load_pem_x509_certificate(file.read_bytes())
    file.write_bytes(opened.public_bytes(serialization.Encoding.DER))


FAULTS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "missing": (
        lambda d: (d / "certificate.pem").unlink(),
        "certificate",
        "no such file or directory: put it there, or mend listen.tls.certificate",
    ),
    "missing key": (lambda d: (d / "key.pem").unlink(), "key", "no such file or directory: put"),
    "directory": (
        lambda d: replaced(d / "key.pem").mkdir(),
        "key",
        "is a directory: put it there, or mend listen.tls.key",
    ),
    "fifo": (
        lambda d: os.mkfifo(replaced(d / "key.pem")),
        "key",
        "not a file",
    ),
    "huge": (
        lambda d: (d / "key.pem").write_bytes(b"x" * (1024 * 1024 + 1)),
        "key",
        "larger than 1048576 bytes: is it the right file?",
    ),
    "empty": (lambda d: (d / "certificate.pem").write_bytes(b""), "certificate", "empty"),
    "garbage": (
        lambda d: (d / "key.pem").write_bytes(b"secret words"),
        "key",
        "not PEM: there is no line -----BEGIN PRIVATE KEY----- in it",
    ),
    "binary": (
        as_der,
        "certificate",
        "binary (DER or PKCS #12), and not PEM: convert it, as by openssl x509 -inform der",
    ),
    "damaged": (
        lambda d: damage(d / "certificate.pem"),
        "certificate",
        "a certificate in it is damaged: copy the file again, whole",
    ),
    "damaged key": (
        lambda d: damage(d / "key.pem"),
        "key",
        "the key in it is damaged, or of a kind that is not known",
    ),
    "exchanged": (
        exchange,
        "certificate",
        "holds a private key and no certificate: are the two files exchanged?",
    ),
    "mismatched": (
        take_another_key,
        "key",
        "does not belong to ",
    ),
    "authority first": (reverse, "key", "belongs to certificate 2 of "),
    "encrypted": (
        lambda d: encrypt(d / "key.pem", serialization.PrivateFormat.PKCS8),
        "key",
        "encrypted, and nobody is there to type its password: decrypt it (openssl pkey",
    ),
    "encrypted as of old": (
        lambda d: encrypt(d / "key.pem", serialization.PrivateFormat.TraditionalOpenSSL),
        "key",
        "encrypted, and nobody is there to type its password: decrypt it (openssl pkey",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_said_for_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    issue(tmp_path)
    commit, key, expected = FAULTS[fault]
    commit(tmp_path)
    assert validate(tmp_path) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{tmp_path}/{key}.pem: listen.tls.{key}: {expected}" in captured.err
    assert "secret" not in captured.err
    both = 2 if fault == "exchanged" else 1
    assert captured.err.endswith(f"segue: {both} problem{'s' if both > 1 else ''} found\n")


def test_what_may_not_be_read_says_whose_it_has_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    issue(tmp_path)

    def refuse(path: str, _: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("proxy.process.tls_files._open_at_once", refuse)
    assert validate(tmp_path) == 1
    uid = os.geteuid()
    expected = f"permission denied: let the user that runs segue (uid {uid} here) read it"
    assert capsys.readouterr().err.count(expected) == 2


@pytest.mark.parametrize(
    ("start", "end", "code", "expected"),
    [
        (-20, -1, 1, "expired on "),
        (1, 20, 1, "not valid before "),
        (-20, 13.5, 0, "in 13 days: renew it"),
        (-20, 1.5, 0, "in 1 day: renew it"),
        (-20, 14.5, 0, ""),
    ],
)
def test_time_of_a_certificate_is_looked_at(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    start: float,
    end: float,
    code: int,
    expected: str,
) -> None:
    issue(tmp_path, start=start, end=end)
    assert validate(tmp_path) == code
    err = capsys.readouterr().err
    assert expected in err
    assert bool(err) is bool(expected)
    assert err.startswith("warning: ") is (code == 0 and bool(expected))


def test_encrypted_key_prompts_nobody_on_a_terminal(tmp_path: Path) -> None:
    """OpenSSL asks the terminal by itself unless it is told not to."""
    issue(tmp_path)
    encrypt(tmp_path / "key.pem", serialization.PrivateFormat.PKCS8)
    (tmp_path / "config.yaml").write_text(
        "upstream: {url: 'http://127.0.0.1:9'}\n"
        "listen: {tls: {certificate: certificate.pem, key: key.pem}}\n"
    )
    for command in ("validate", "run"):
        ours, theirs = pty.openpty()
        done = subprocess.run(
            [sys.executable, "-m", "proxy", command, "--config", str(tmp_path / "config.yaml")],
            cwd=ROOT,
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.PIPE,
            start_new_session=True,
            timeout=PATIENCE,
            check=False,
        )
        os.close(theirs)
        os.close(ours)
        assert done.returncode == 1
        assert b"nobody is there to type its password" in done.stderr


async def reload(running: Administered) -> str:
    answer = await running.ask("/api/v1/reload", bearer(OPERATOR), method="POST", body="{}")
    assert answer.status == 200
    return answer.body


async def test_reload_refuses_what_has_expired_unless_it_serves_already(tmp_path: Path) -> None:
    issue(tmp_path, end=-1)
    tls = {"certificate": "certificate.pem", "key": "key.pem"}
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with administered(tmp_path, context, tokens=TOKENS, tls=tls) as running:
        # A start goes on with it: whatever else it serves is not to end because of that.
        [line] = running.lines("certificate not valid")
        assert (line["level"], "admin.tls.certificate: expired on " in line["problem"]) == (
            "error",
            True,
        )
        assert '"succeeded":true' in await reload(running)
        issue(tmp_path, end=5.5)
        assert '"succeeded":true' in await reload(running)
        issue(tmp_path, start=3)
        body = await reload(running)
        assert '"succeeded":false' in body
        assert "admin.tls.certificate: not valid before " in body
        issue(tmp_path, key="other.pem")
        body = await reload(running)
        assert "key.pem: admin.tls.key: does not belong to " in body
        running.proxy.server._watch.look()
        [line] = running.lines("certificate expires soon")
        assert (line["level"], "in 5 days: renew it" in line["problem"]) == ("warning", True)


def test_authorities_that_are_none_are_said_for_themselves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ca.pem").write_text(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    )
    (tmp_path / "config.yaml").write_text(
        "upstream: {url: 'https://127.0.0.1:9', tls: {ca_file: ca.pem}}\n"
    )
    assert main(["validate", "--config", str(tmp_path / "config.yaml")]) == 1
    expected = f"{tmp_path}/ca.pem: upstream.tls.ca_file: a certificate in it is damaged"
    assert expected in capsys.readouterr().err
