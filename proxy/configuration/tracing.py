"""The section `tracing`: spans for a collector of OpenTelemetry's."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Annotated

from pydantic import AfterValidator, Field

from proxy.configuration.fields import Count, FileName, Seconds, Section
from proxy.configuration.units import upstream_url


def _endpoint(text: str) -> str:
    """Read the address of a collector: that of a server, and a path."""
    scheme, _, rest = text.partition("://")
    authority, slash, _ = rest.partition("/")
    with suppress(ValueError):
        upstream_url(f"{scheme}://{authority}")
        if not slash or re.fullmatch(r"/[!-~]*", rest[len(authority) :]):
            return text
    raise ValueError('expected a URL such as "http://collector:4318/v1/traces", without a password')


_Endpoint = Annotated[str, Field(max_length=1024), AfterValidator(_endpoint)]
_Bearer = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[!-~]+$")]
_Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[ -~]+$")]


class Tracing(Section):
    """Spans of requests and WebSockets, sent to a collector by OTLP over HTTP.

    Attributes:
        enabled: needs the extra `segue-proxy[otel]`.
        endpoint: where the collector takes traces, path included.
        token: sent as `Authorization: Bearer`; none where null.
        ca_file: the certificates of the authorities to trust for `https://`, PEM; those of the
            package `certifi` where null.
        service: the name under which the spans are shown.
        ratio: the part of the requests without a parent that gets a span, from 0 to 1.
        follow_parent: whether a request that brings a `traceparent` has a span where that says that
            it is sampled, and none where it does not; false decides by `ratio` for all.
        queue: spans that may wait for the collector; further ones are dropped and counted.
        timeout: for the collector to take a batch, repetitions included.
    """

    enabled: bool = False
    endpoint: _Endpoint = "http://127.0.0.1:4318/v1/traces"
    token: Annotated[_Bearer | None, Field(repr=False)] = None
    ca_file: FileName | None = None
    service: _Name = "segue"
    ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    follow_parent: bool = True
    queue: Annotated[Count, Field(ge=16, le=1_000_000)] = 4096
    timeout: Annotated[Seconds, Field(ge=0.1, le=60)] = 10.0
