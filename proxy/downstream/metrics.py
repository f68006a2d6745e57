"""What is shown of clients' connections."""

from __future__ import annotations

from typing import cast

from proxy.downstream.certificate import Certificate
from proxy.downstream.connection import ClientConnection
from proxy.downstream.listener import Listener
from proxy.downstream.websockets import Connections
from proxy.observability.families import Combined, Families, Samples, counter, gauge


def families(
    listener: Listener,
    connections: Connections,
    certificate: Certificate,
    admin_certificate: Certificate,
) -> Families:
    """What is shown of clients' connections."""

    def in_flight() -> int:
        return sum(cast(ClientConnection, each).is_busy for each in listener.connections)

    def expiries() -> Samples:
        for name, each in (("listen", certificate), ("admin", admin_certificate)):
            if each.not_after is not None:
                yield (name,), each.not_after

    return (
        gauge(
            "segue_open_connections",
            "Client connections open now: those that speak HTTP, and WebSockets.",
            ("kind",),
            lambda: [
                (("http",), len(listener.connections)),
                (("websocket",), len(connections)),
            ],
            over_processes=Combined.SUM,
        ),
        gauge(
            "segue_requests_in_flight",
            "Requests being served now, WebSocket handshakes among them.",
            (),
            lambda: [((), in_flight())],
            over_processes=Combined.SUM,
        ),
        counter(
            "segue_tls_handshakes",
            "TLS handshakes of clients: completed, or not, because they failed, were given up, or"
            " took longer than `timeouts.tls_handshake`.",
            ("result",),
            lambda: [
                (("success",), certificate.succeeded),
                (("failure",), certificate.failed),
            ],
        ),
        gauge(
            "segue_certificate_expiry_timestamp_seconds",
            "When the certificate that the listener serves ends, in Unix time, by listener:"
            " `listen`, `admin`.",
            ("listener",),
            expiries,
            over_processes=Combined.EACH,
        ),
    )
