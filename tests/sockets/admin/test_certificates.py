"""TLS on the admin listener, and clients that show certificates: real handshakes."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from proxy.control.loading import load
from proxy.errors import ConfigError
from proxy.process.assembly import connections_of
from tests.support.administered import (
    OPERATOR,
    TOKENS,
    UNKNOWN,
    Administered,
    administered,
    bearer,
)
from tests.support.rig import CONFIG
from tests.support.waiting import PATIENCE


@dataclass
class Pki:
    """An authority for the listener, one for clients, and a strange one; their files."""

    directory: Path
    listener: trustme.CA
    clients: trustme.CA
    strange: trustme.CA

    def section(self, **also: Any) -> dict[str, Any]:
        """`admin.tls`, relative to the configuration; the files are written anew."""
        issued = self.listener.issue_cert("localhost")
        issued.private_key_pem.write_to_path(str(self.directory / "key.pem"))
        (self.directory / "certificate.pem").write_bytes(
            b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        )
        self.clients.cert_pem.write_to_path(str(self.directory / "clients.pem"))
        return {"certificate": "certificate.pem", "key": "key.pem", **also}

    def context(
        self, *identities: str, by: trustme.CA | None = None, name: str | None = None
    ) -> ssl.SSLContext:
        """What a client connects with that shows such a certificate; none without a name."""
        context = ssl.create_default_context()
        self.listener.configure_trust(context)
        if identities or name:
            (by or self.clients).issue_cert(*identities, common_name=name).configure_cert(context)
        return context


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path, trustme.CA(), trustme.CA(), trustme.CA())


@asynccontextmanager
async def serving(pki: Pki, **also: Any) -> AsyncIterator[Administered]:
    """One that asks clients for certificates."""
    section = {
        "tls": pki.section(client_ca="clients.pem"),
        "clients": {
            "grafana.example": "viewer",
            "ops@example.com": "operator",
            "batch job": "admin",
        },
        **also,
    }
    async with administered(pki.directory, pki.context(), **section) as running:
        yield running


async def test_certificate_has_the_role_of_its_name(pki: Pki) -> None:
    async with serving(pki) as running:
        for context, role in (
            (pki.context("grafana.example"), "viewer"),
            (pki.context("ops@example.com"), "operator"),
            (pki.context(name="batch job"), "admin"),
        ):
            answer = await running.ask("/api/v1/sessions", tls=context)
            assert answer.status == 404
            line = running.lines("admin request")[-1]
            assert (line["by"], line["role"]) == ("certificate", role)
        answer = await running.ask(
            "/api/v1/sessions/end", method="POST", body="{}", tls=pki.context("grafana.example")
        )
        assert (answer.status, "needs the role operator" in answer.detail) == (403, True)


async def test_certificate_without_a_listed_name_has_no_role(pki: Pki) -> None:
    async with serving(pki) as running:
        # The common name of one that has other names as well says nothing (RFC 9525 section 2).
        for context in (
            pki.context("other.example"),
            pki.context("other.example", name="batch job"),
        ):
            answer = await running.ask("/api/v1/sessions", tls=context)
            assert (answer.status, "admin.clients" in answer.detail) == (403, True)


async def test_certificate_of_a_strange_authority_ends_the_handshake(pki: Pki) -> None:
    async with serving(pki) as running:
        with pytest.raises((ssl.SSLError, ConnectionError, IndexError)):
            # With TLS 1.3 a client learns of it with its first answer, which is none.
            await running.ask("/healthz", tls=pki.context("ops@example.com", by=pki.strange))
        assert running.lines("admin request") == []
        assert (await running.ask("/healthz")).status == 200


async def test_without_a_certificate_a_token_will_do_and_probes_need_nothing(pki: Pki) -> None:
    async with serving(pki, tokens=TOKENS) as running:
        assert (await running.ask("/readyz")).status == 200
        assert (await running.ask("/metrics")).status == 200
        assert (await running.ask("/api/v1/sessions")).status == 401
        assert (await running.ask("/api/v1/sessions", bearer(OPERATOR))).status == 404
        # What is wrong in this very request is told, whatever the connection has shown.
        context = pki.context("ops@example.com")
        assert (await running.ask("/api/v1/sessions", bearer(UNKNOWN), tls=context)).status == 401


async def test_only_tls_1_3_is_spoken(pki: Pki) -> None:
    async with serving(pki) as running:
        old = pki.context("ops@example.com")
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await running.ask("/healthz", tls=old)
        with pytest.raises((ConnectionError, IndexError, ValueError)):
            await Administered(running.proxy, running.config).ask("/healthz")


async def test_roles_of_certificates_change_with_a_reload(pki: Pki) -> None:
    tls = pki.section(client_ca="clients.pem")
    context = pki.context("ops@example.com")
    async with serving(pki) as running:
        assert (await running.ask("/api/v1/sessions", tls=context)).status == 404
        await running.reload(tls=tls, clients={"other": "admin"})
        assert (await running.ask("/api/v1/sessions", tls=context)).status == 403


async def test_certificate_and_authorities_are_exchanged_by_a_reload(pki: Pki) -> None:
    clients = {"ops@example.com": "operator"}
    before = pki.context("ops@example.com")
    async with serving(pki) as running:
        assert (await running.ask("/api/v1/sessions", tls=before)).status == 404
        next_pki = Pki(pki.directory, trustme.CA(), trustme.CA(), pki.strange)
        await running.reload(tls=next_pki.section(client_ca="clients.pem"), clients=clients)
        # The listener's own: who trusts only the old authority meets a stranger.
        with pytest.raises(ssl.SSLCertVerificationError):
            await running.ask("/healthz", tls=pki.context())
        after = next_pki.context("ops@example.com")
        assert (await running.ask("/api/v1/sessions", tls=after)).status == 404
        # The clients':
        next_pki.listener.configure_trust(before)
        with pytest.raises((ssl.SSLError, ConnectionError, IndexError)):
            await running.ask("/api/v1/sessions", tls=before)


async def test_no_session_goes_on_without_its_certificate_being_verified(pki: Pki) -> None:
    """What a client has of a session would outlive the authority that a reload takes away."""
    async with serving(pki) as running:
        context = pki.context("ops@example.com")

        def asked(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool | None]:
            with (
                socket.create_connection(running.place, timeout=PATIENCE) as plain,
                context.wrap_socket(
                    plain, server_hostname="localhost", session=session
                ) as connection,
            ):
                connection.sendall(b"GET /api/v1/sessions HTTP/1.0\r\nHost: localhost\r\n\r\n")
                assert connection.recv(12) == b"HTTP/1.0 404"
                return connection.session, connection.session_reused

        session, _ = await asyncio.to_thread(asked, None)
        assert session is not None
        assert not session.has_ticket
        assert (await asyncio.to_thread(asked, session))[1] is False


async def test_asking_for_certificates_begins_and_ends_with_a_restart(pki: Pki) -> None:
    async with administered(
        pki.directory, pki.context(), tls=pki.section(), tokens=TOKENS
    ) as running:
        await running.reload(tls=pki.section(client_ca="clients.pem"), tokens=TOKENS)
        (line,) = running.lines("a restart is needed for some changes")
        assert "admin.tls" in str(line)
        assert (
            await running.ask("/api/v1/sessions", tls=pki.context("ops@example.com"))
        ).status == 401
        # What needs none counts at once.
        await running.reload(tls=pki.section(), tokens=TOKENS[:1])
        assert (await running.ask("/api/v1/sessions", bearer(OPERATOR))).status == 401


@pytest.mark.parametrize(
    ("file", "path"),
    [
        ("certificate.pem", "admin.tls.certificate"),
        ("key.pem", "admin.tls.key"),
        ("clients.pem", "admin.tls.client_ca"),
    ],
)
@pytest.mark.parametrize("fault", ["missing", "garbage"])
def test_file_that_cannot_be_used_is_told_before_a_start(
    pki: Pki, file: str, path: str, fault: str
) -> None:
    section = pki.section(client_ca="clients.pem")
    env = {
        f"SEGUE_ADMIN__TLS__{key.upper()}": str(pki.directory / value)
        for key, value in section.items()
    }
    config = load(CONFIG, env, {}).config
    assert connections_of(config).admin_tls is not None
    if fault == "missing":
        (pki.directory / file).unlink()
    else:
        (pki.directory / file).write_text("garbage")
    with pytest.raises(ConfigError) as raised:
        connections_of(config)
    (problem,) = raised.value.problems
    assert problem.path == path
    assert file in problem.file
