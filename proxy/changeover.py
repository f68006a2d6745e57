"""What is exchanged while clients go on: certificate, servers, the process.

After a reload new handshakes get the new certificate, and new requests go to the servers that are
now configured; what has begun ends with what it began with. A process can take its listening socket
over from whoever started it, so that the next one finds the clients that came in between.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from proxy.config import Config
from proxy.errors import ConfigError, Problem
from proxy.upstream.fleet import Servers
from proxy.upstream.health import Rules
from proxy.upstream.probe import Check
from proxy.upstream.target import Target
from proxy.upstream_settings import HealthCheck

_FIRST_INHERITED: Final = 3
"""The descriptor of the first socket that is handed over (sd_listen_fds(3))."""


class Certificate:
    """The TLS context of new handshakes, behind one that a listener can keep.

    Attributes:
        current: the newest; None where the listener speaks plain TCP.
        begun, done: handshakes that clients have begun, and those that were completed.
    """

    def __init__(self, current: ssl.SSLContext | None) -> None:
        self.current = current
        self.begun = 0
        self.done = 0

    def behind(self, outer: ssl.SSLContext | None) -> ssl.SSLContext | None:
        """Let every handshake that begins with `outer` go on with the newest context."""
        if outer is not None:
            # Called for clients that name no host too (SSL_CTX_set_tlsext_servername_callback(3)).
            outer.sni_callback = self._choose
            outer.sslobject_class = self._counted()
        return outer

    def _choose(self, handshake: ssl.SSLObject, _name: str | None, _outer: ssl.SSLContext) -> None:
        if self.current is not None:
            handshake.context = self.current

    def _counted(self) -> type[ssl.SSLObject]:
        # The loop tells nobody of a handshake that fails, or that it cuts because it is late.
        counts = self

        class Handshake(ssl.SSLObject):
            begun = False

            def do_handshake(self) -> None:
                """Go on; called until it is completed."""
                if not self.begun:
                    self.begun = True
                    counts.begun += 1
                super().do_handshake()
                counts.done += 1

        return Handshake


def connections_of(config: Config) -> tuple[ssl.SSLContext | None, Servers]:
    """Return what `listener_tls` and `upstream_servers` do.

    Raises:
        ConfigError: with everything that cannot be used.
    """
    try:
        tls = listener_tls(config)
    except ConfigError as error:
        try:
            upstream_servers(config)
        except ConfigError as also:
            raise ConfigError([*error.problems, *also.problems]) from None
        raise
    return tls, upstream_servers(config)


def upstream_servers(config: Config) -> Servers:
    """Return where the servers are, and what is expected of them.

    Raises:
        ConfigError: the CA file cannot be used.
    """
    upstream = config.upstream
    context = upstream_tls(config)
    return Servers(
        targets=tuple(_target(url, config, context) for url in upstream.urls),
        rules=Rules(**upstream.ejection.model_dump()),
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
        write_buffer=config.limits.buffer,
    )


def upstream_tls(config: Config) -> ssl.SSLContext | None:
    """Return the TLS context for the servers whose URL is `https://`, None where there are none.

    Raises:
        ConfigError: the CA file cannot be used.
    """
    if not any(url.startswith("https:") for url in config.upstream.urls):
        return None
    tls = config.upstream.tls
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except (OSError, ssl.SSLError):
        raise _unusable("upstream.tls.ca_file", str(tls.ca_file), "CA certificates") from None
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
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError):
        raise _unusable(
            "listen.tls", f"{tls.certificate}, {tls.key}", "a certificate and its key"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _unusable(path: str, file: str, what: str) -> ConfigError:
    return ConfigError([Problem(file, 0, 0, path, f"cannot be read as {what} in PEM")])


def inherited_socket(env: Mapping[str, str]) -> socket.socket | None:
    """Return the listening socket that a supervisor handed over, None where there is none.

    The protocol is systemd's (sd_listen_fds(3)). The supervisor holds the socket too, so clients
    that connect between the end of one process and the start of the next wait in its queue. With
    SO_REUSEPORT each process has a queue of its own, and what waits in it is reset when the
    process closes it.

    Raises:
        OSError: the descriptor is no socket.
    """
    if env.get("LISTEN_PID") != str(os.getpid()) or env.get("LISTEN_FDS", "0") == "0":
        return None
    inherited = socket.socket(fileno=_FIRST_INHERITED)
    inherited.settimeout(0)
    return inherited
