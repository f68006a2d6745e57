"""What is exchanged while clients go on: certificate, servers, limits.

After a reload new handshakes get the new certificate, and new requests go to the servers that are
now configured; what has begun ends with what it began with.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from proxy.configuration.reading import Config
from proxy.configuration.upstream import HealthCheck
from proxy.downstream.limits import ClientLimits
from proxy.errors import ConfigError, Diagnostic
from proxy.process import open_files
from proxy.process.tls_files import (
    ServedCertificate,
    load_authorities,
    load_pair,
    served_certificate,
    trusting,
)
from proxy.upstream.fleet import Servers
from proxy.upstream.health import EjectionRules
from proxy.upstream.probe import Check
from proxy.upstream.target import Target


class ReloadedConnections(NamedTuple):
    """What a reload exchanges of the connections on all sides.

    Attributes:
        tls: of the public listener; None for plain TCP.
        admin_tls: of the admin listener, the same.
        servers: where the servers are.
        certificate, admin_certificate: what each listener shows; None where there is none, or that
            cannot be told.
    """

    tls: ssl.SSLContext | None
    admin_tls: ssl.SSLContext | None
    servers: Servers
    certificate: ServedCertificate | None = None
    admin_certificate: ServedCertificate | None = None

    @property
    def served(self) -> tuple[ServedCertificate, ...]:
        """The certificates that listeners show."""
        return tuple(each for each in (self.certificate, self.admin_certificate) if each)


def connections_of(config: Config) -> ReloadedConnections:
    """Return what `listener_tls`, `admin_tls` and `upstream_servers` do.

    Raises:
        ConfigError: with everything that cannot be used.
    """
    problems: list[Diagnostic] = []
    made: list[Any] = []
    steps: tuple[Callable[[Config], object], ...] = (listener_tls, admin_tls, upstream_servers)
    for step in steps:
        try:
            made.append(step(config))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    shown = [
        None if tls is None else served_certificate(f"{path}.certificate", tls.certificate)
        for path, tls in (("listen.tls", config.listen.tls), ("admin.tls", config.admin.tls))
    ]
    return ReloadedConnections(*made, *shown)


def upstream_servers(config: Config) -> Servers:
    """Return where the servers are, and what is expected of them.

    Raises:
        ConfigError: the CA file cannot be used.
    """
    upstream = config.upstream
    context = upstream_tls(config)
    return Servers(
        targets=tuple(_target(url, config, context) for url in upstream.urls),
        rules=EjectionRules(**upstream.ejection.model_dump()),
        check=None if upstream.health is None else _check(upstream.health),
        retries=upstream.retries,
    )


def _check(settings: HealthCheck) -> Check:
    return Check(
        path=settings.path,
        host=settings.host or "",
        interval=settings.interval,
        timeout=settings.timeout,
        healthy=settings.healthy,
        unhealthy=settings.unhealthy,
        statuses=frozenset(settings.status),
    )


def _target(url: str, config: Config, context: ssl.SSLContext | None) -> Target:
    parts = urlsplit(url)
    host = parts.hostname or ""
    tls = context if parts.scheme == "https" else None
    return Target(
        host=host,
        port=parts.port or (80 if tls is None else 443),
        authority=parts.netloc.encode(),
        tls=tls,
        server_name=config.upstream.tls.server_name or host,
        connect_timeout=config.timeouts.connect,
        response_timeout=config.timeouts.response,
        idle_timeout=config.timeouts.idle,
        max_head=config.limits.response_headers,
        max_idle=config.upstream.connections,
        keepalive=config.upstream.keepalive,
        write_buffer=config.limits.buffer,
        last_file=open_files.shares().servers,
    )


def upstream_tls(config: Config) -> ssl.SSLContext | None:
    """Return the TLS context for the servers whose URL is `https://`, None where there are none.

    Raises:
        ConfigError: the CA file cannot be used.
    """
    if not any(url.startswith("https:") for url in config.upstream.urls):
        return None
    tls = config.upstream.tls
    if tls.ca_file is None:
        context = ssl.create_default_context()
    else:
        context = load_authorities(trusting, "upstream.tls.ca_file", tls.ca_file)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def listener_tls(config: Config) -> ssl.SSLContext | None:
    """Return the TLS context of the public listener, None for plain TCP.

    Raises:
        ConfigError: the certificate or its key cannot be used.
    """
    tls = config.listen.tls
    if tls is None:
        return None
    context = _serving("listen.tls", tls.certificate, tls.key)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def admin_tls(config: Config) -> ssl.SSLContext | None:
    """Return the TLS context of the admin listener, None for plain TCP.

    Raises:
        ConfigError: the certificate, its key or the clients' authorities cannot be used.
    """
    tls = config.admin.tls
    if tls is None:
        return None
    context = _serving("admin.tls", tls.certificate, tls.key)
    # 1.3 hides the client's certificate from the wire.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # A session that goes on with a ticket is not verified again: it would outlive the authority
    # that a reload takes away.
    context.num_tickets = 0
    if tls.client_ca is not None:
        load_authorities(context.load_verify_locations, "admin.tls.client_ca", tls.client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _serving(path: str, certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    load_pair(context, path, certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    return context


_STATE_DIR: Final = ".segue"
"""Where what outlives the process is kept, unless SEGUE_STATE_DIR or --state-dir says otherwise."""


def state_directory(env: Mapping[str, str]) -> Path:
    """Return where what outlives the process is kept."""
    return Path(env.get("SEGUE_STATE_DIR") or _STATE_DIR)


def client_limits(config: Config) -> ClientLimits:
    """Return the bounds of client connections."""
    files = open_files.shares()
    return ClientLimits(
        header_timeout=config.timeouts.header,
        keepalive_timeout=config.timeouts.keepalive,
        header_line=config.limits.header_line,
        headers=config.limits.headers,
        request_headers=config.limits.request_headers,
        write_buffer=config.limits.buffer,
        connections=config.limits.connections,
        connections_per_address=config.limits.connections_per_address,
        trusted_proxies=config.listen.trusted_proxies,
        files=files.clients,
        last_file=files.refusals,
    )
