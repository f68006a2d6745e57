"""The section `upstream` of the configuration: the servers, and what becomes of those that fail."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from proxy.configuration.fields import (
    Authority,
    Count,
    Duration,
    FileName,
    LostServerCode,
    RequestTarget,
    Seconds,
    Section,
    Status,
    Url,
)


class UpstreamTls(Section):
    """How the server's certificate is checked, where its URL is `https://`.

    Attributes:
        ca_file: the certificates of the authorities to trust, PEM; the system's where null.
        server_name: the name that is asked for and that the certificate must bear; the URL's host
            where null.
        verify: false accepts every certificate, and everybody between Segue and the server.
    """

    ca_file: FileName | None = None
    server_name: FileName | None = None
    verify: bool = True


class Ejection(Section):
    """When one of several servers is left alone for a while. The last one never is.

    Attributes:
        failures: how many in a row it takes: no connection, no answer, or 502, 503, 504.
        backoff: for how long, the first time; doubled each time that a trial after it fails.
        longest: for how long at most.
    """

    failures: Annotated[Count, Field(ge=1, le=1000)] = 3
    backoff: Duration = 1.0
    longest: Duration = 30.0


class HealthCheck(Section):
    """How the servers are asked whether they are well: a GET from time to time.

    Attributes:
        path: what is asked for, the query included.
        host: what `Host` says; the host of the server's own URL where null.
        interval: from one answer to the next question.
        timeout: for connection and answer together.
        healthy: how many good answers in a row it takes to send requests again.
        unhealthy: how many bad ones in a row it takes to send none.
        status: the status codes of good answers.
    """

    path: RequestTarget
    host: Authority | None = None
    interval: Annotated[Seconds, Field(ge=0.01, le=3600)] = 5.0
    timeout: Duration = 2.0
    healthy: Annotated[Count, Field(ge=1, le=1000)] = 2
    unhealthy: Annotated[Count, Field(ge=1, le=1000)] = 3
    status: Annotated[tuple[Status, ...], Field(min_length=1)] = (200,)


class Upstream(Section):
    """The server, or several that are alike.

    Attributes:
        url: scheme, host and port of the one server.
        targets: those of several, in place of `url`. Each request goes to the one that has least
            to do.
        tls: for `https://`.
        preserve_host: whether the server gets the client's `Host`; otherwise that of its URL.
        connections: how many idle connections to each server are kept for the next requests.
        keepalive: how long they are kept, where the server does not say how long it does
            (`Keep-Alive: timeout=`). Set it below the time for which the server keeps them, or a
            request meets with one that is just being closed; gunicorn's is 2 s.
        retries: on how many more servers a request is tried, where no connection could be opened,
            or it is safe to repeat and was not answered. 0: nothing is ever sent twice.
        close_code: what the client of a WebSocket is told when the server has gone without a Close
            frame, or broke the protocol. Every client takes 1001 (going away); 1012 (service
            restart) and 1014 (bad gateway) say more, and some clients refuse them.
        ejection: when a server that fails is left alone.
        health: how servers are asked whether they are well; null for not at all.
    """

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["url"]}, {"required": ["targets"]}]}
    )

    url: Url | None = None
    targets: Annotated[tuple[Url, ...], Field(max_length=1000)] = ()
    tls: UpstreamTls = UpstreamTls()
    preserve_host: bool = True
    connections: Annotated[Count, Field(ge=1, le=100_000)] = 256
    keepalive: Duration = 1.5
    retries: Annotated[Count, Field(ge=0, le=10)] = 1
    close_code: LostServerCode = 1001
    ejection: Ejection = Ejection()
    health: HealthCheck | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs of all servers; one at least."""
        return self.targets if self.url is None else (self.url,)
