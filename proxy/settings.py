"""The sections of the configuration: what can be set, in which unit, with which default.

Defaults stand here and nowhere else. Durations are seconds (written `15s`, `500ms`, `2m`, `1h`),
sizes are bytes (written `64KiB`, `16MiB`). `proxy.config` reads them.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    model_validator,
)

from proxy import notation
from proxy.documents import WrittenText, as_written
from proxy.mapping.routes import check_pattern
from proxy.notation import Address, Network
from proxy.selection import VersionRules
from proxy.values import NONE, VersionSource
from proxy.versions import Cohort, Cohorts, Range, Version, parse_range

SOURCES: Final = (
    VersionSource.HEADER,
    VersionSource.SUBPROTOCOL,
    VersionSource.QUERY,
    VersionSource.COOKIE,
    VersionSource.SESSION,
)
"""Where a version can be read, in the default order."""

_WEEK: Final = 7 * 86400
_KIB: Final = 1024
_MIB: Final = 1024**2


def _source(value: object) -> VersionSource:
    if value not in SOURCES:
        raise ValueError(f"expected one of {', '.join(SOURCES)}")
    return VersionSource(str(value))


def _each_once(sources: tuple[VersionSource, ...]) -> tuple[VersionSource, ...]:
    if len(set(sources)) < len(sources):
        raise ValueError("a source is listed twice")
    return sources


def _version(value: object) -> Version:
    written = as_written(value)
    version = Version.parse(written) if isinstance(written, str) else None
    if version is None:
        raise ValueError('expected a version such as "2.1.0"')
    return version


def _range(value: object) -> Range:
    written = as_written(value)
    if not isinstance(written, str):
        raise ValueError('expected a range such as ">=2,<3"')
    return parse_range(written)


def _token(value: str) -> str:
    # The `token` of RFC 9110 section 5.6.2: field names, subprotocols and cookie names.
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", value):
        raise ValueError("expected letters, digits, hyphens and the like, without spaces")
    return value


def _parameter(value: str) -> str:
    # Unreserved characters (RFC 3986 section 2.3), which no client has to encode.
    if not re.fullmatch(r"[A-Za-z0-9._~-]{1,128}", value):
        raise ValueError("expected letters, digits, `_`, `.`, `-`, `~`")
    return value


def _method(value: str) -> str:
    if not re.fullmatch(r"[A-Z]{1,20}", value):
        raise ValueError("expected a method in capitals, such as GET")
    return value


def _label(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9_-]{1,63}", value):
        raise ValueError("expected small letters, digits, `_`, `-`, at most 63 of them")
    if value == NONE:
        raise ValueError(f"`{NONE}` stands for no cohort in the metrics; choose another name")
    return value


# The input types are for the JSON Schema: what may be written, where that is not what is held.
_duration = BeforeValidator(notation.duration, json_schema_input_type=str | float)

Duration = Annotated[float, _duration, Field(gt=0, le=_WEEK)]
Size = Annotated[int, BeforeValidator(notation.size, json_schema_input_type=str | int)]
Count = Annotated[int, BeforeValidator(notation.whole_number)]
ListenAddress = Annotated[Address, PlainValidator(notation.address, json_schema_input_type=str)]
Token = Annotated[WrittenText, AfterValidator(_token)]
FileName = Annotated[str, Field(min_length=1, max_length=4096)]
Names = tuple[Annotated[WrittenText, Field(min_length=1, max_length=64)], ...]


class Section(BaseModel):
    """What all sections have in common: they do not change, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_empty(cls, value: object) -> object:
        # A section whose keys are all commented out is null in YAML.
        return {} if value is None else value


class ListenTls(Section):
    """TLS on the public listener.

    Attributes:
        certificate: the file with the certificate chain, PEM.
        key: the file with its private key, PEM.
    """

    certificate: FileName
    key: FileName


class Listen(Section):
    """The public listener, which clients connect to.

    Attributes:
        address: where it binds.
        tls: certificate and key; without, it speaks plain HTTP.
        trusted_proxies: the networks of the proxies in front of Segue, whose `X-Forwarded-*`
            fields are continued. From everybody else they are replaced: any client can write them.
    """

    address: ListenAddress = Address("127.0.0.1", 8080)
    tls: ListenTls | None = None
    trusted_proxies: tuple[
        Annotated[Network, PlainValidator(notation.network, json_schema_input_type=str)], ...
    ] = ()


class Admin(Section):
    """The listener for probes and metrics; not for the public.

    Attributes:
        address: where it binds.
        allow_raw_recordings: whether `segue record --raw` may show messages as they are. Otherwise
            recordings have placeholders for all text that is not named.
    """

    address: ListenAddress = Address("127.0.0.1", 9090)
    allow_raw_recordings: bool = False


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


class Upstream(Section):
    """The server.

    Attributes:
        url: scheme, host and port.
        tls: for `https://`.
        preserve_host: whether the server gets the client's `Host`; otherwise the URL's.
        connections: how many idle connections are kept for the next requests.
    """

    url: Annotated[str, PlainValidator(notation.upstream_url, json_schema_input_type=str)]
    tls: UpstreamTls = UpstreamTls()
    preserve_host: bool = True
    connections: Annotated[Count, Field(ge=1, le=100_000)] = 256


class Versions(Section):
    """How a client's version is found out.

    Attributes:
        default: the version of clients that tell none, or an unreadable one. Null: they are in no
            cohort, and nothing is mapped for them.
        sources: where it is looked for, in this order; the first that is present decides.
        header: the name of the request header.
        subprotocol_prefix: a WebSocket subprotocol that begins so carries the version in its rest.
        query: the name of the query parameter.
        cookie: the name of the cookie.
    """

    default: (
        Annotated[Version, PlainValidator(_version, json_schema_input_type=str | float)] | None
    ) = None
    sources: Annotated[
        tuple[
            Annotated[
                VersionSource, PlainValidator(_source, json_schema_input_type=Literal[SOURCES])
            ],
            ...,
        ],
        AfterValidator(_each_once),
    ] = SOURCES
    header: Token = "X-Client-Version"
    subprotocol_prefix: Token = "client-version."
    query: Annotated[WrittenText, AfterValidator(_parameter)] = "client_version"
    cookie: Token = "client_version"


class WebSocketMappings(Section):
    """The mappings for WebSocket messages, by name; the output of one is the input of the next.

    Attributes:
        to_client: for what the server sends.
        to_server: for what the client sends.
    """

    to_client: Names = ()
    to_server: Names = ()


class RouteMappings(Section):
    """The mappings for the JSON bodies of one route. The first route that fits a request counts.

    Attributes:
        path: as in the request line, without the query: `{}` is one segment, `/**` at the end any
            rest.
        methods: which of them; all where empty.
        to_client: for response bodies.
        to_server: for request bodies.
    """

    path: Annotated[WrittenText, AfterValidator(check_pattern)]
    methods: tuple[Annotated[str, AfterValidator(_method)], ...] = ()
    to_client: Names = ()
    to_server: Names = ()


class CohortSettings(Section):
    """A named group of clients that speak the same dialect.

    Attributes:
        name: what metrics and logs call it.
        versions: which versions belong to it, as `>=2,<3`; the first cohort that fits wins.
        websocket: the mappings of its WebSocket messages.
        http: the mappings of its HTTP bodies, by route.
    """

    name: Annotated[WrittenText, AfterValidator(_label)]
    versions: Annotated[Range, PlainValidator(_range, json_schema_input_type=str)]
    websocket: WebSocketMappings = WebSocketMappings()
    http: tuple[RouteMappings, ...] = ()


class Mappings(Section):
    """Where the mapping files are.

    Attributes:
        directory: relative to the directory of the configuration file.
    """

    directory: FileName = "mappings"


class Reload(Section):
    """When everything is read again, beside whenever SIGHUP asks for it.

    Attributes:
        watch: whether a change of the files is enough: of the configuration, the mappings, and what
            they name.
        interval: seconds between two looks at them; a change is read when it has rested for one.
    """

    watch: bool = False
    interval: Annotated[float, _duration, Field(ge=0.01, le=3600)] = 2.0


class Cors(Section):
    """Which pages of other origins may read the errors that Segue makes by itself.

    Attributes:
        origins: as browsers send them, `https://app.example.com`; or `*`. The server's own
            answers bring the server's own CORS fields.
    """

    origins: tuple[
        Annotated[str, PlainValidator(notation.origin, json_schema_input_type=str)], ...
    ] = ()


class Timeouts(Section):
    """How long Segue waits, in seconds.

    Attributes:
        header: for a request's header section to be complete.
        body: for the next piece of a request's body.
        keepalive: for the next request on a connection.
        connect: for a connection to the server, its TLS handshake included.
        response: for the first byte of the server's answer, once the request is sent.
        idle: for the next piece of the server's answer.
        websocket_handshake: for the server's answer to a WebSocket handshake.
        websocket_close: for the other side's close frame after one was sent.
        drain: for what is open to end by itself when Segue is stopped; 0 does not wait.
    """

    header: Duration = 15.0
    body: Duration = 30.0
    keepalive: Duration = 75.0
    connect: Duration = 5.0
    response: Duration = 60.0
    idle: Duration = 60.0
    websocket_handshake: Duration = 10.0
    websocket_close: Duration = 5.0
    drain: Annotated[float, _duration, Field(ge=0, le=_WEEK)] = 30.0


class Limits(Section):
    """How much Segue holds; sizes in bytes.

    Attributes:
        header_line: of the request line, and of each field of a request.
        headers: the number of fields of a request.
        body: of an HTTP body that a mapping may rewrite and that is therefore held.
        message: of a WebSocket message; one that a mapping may rewrite is held until it is whole.
        fragments: the number of frames held for one such message.
        buffer: what waits to be written, for each connection and direction, before reading stops.
        connections: the number of clients connected at the same time.
        response_headers: of the header section of the server's answer.
    """

    header_line: Annotated[Size, Field(ge=256, le=_MIB)] = 16 * _KIB
    headers: Annotated[Count, Field(ge=8, le=10_000)] = 128
    body: Annotated[Size, Field(ge=_KIB, le=1024 * _MIB)] = 8 * _MIB
    message: Annotated[Size, Field(ge=_KIB, le=1024 * _MIB)] = 16 * _MIB
    fragments: Annotated[Count, Field(ge=1, le=1_000_000)] = 1024
    buffer: Annotated[Size, Field(ge=_KIB, le=64 * _MIB)] = 64 * _KIB
    connections: Annotated[Count, Field(ge=1, le=1_000_000)] = 10_000
    response_headers: Annotated[Size, Field(ge=_KIB, le=_MIB)] = 64 * _KIB


class Log(Section):
    """What is logged, to standard error.

    Attributes:
        level: the least severe level that is written.
        format: `json`, `console`, or by whether standard error is a terminal: `auto`.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Config(Section):
    """The whole configuration. Each attribute is a section; see there."""

    listen: Listen = Listen()
    admin: Admin = Admin()
    upstream: Upstream
    versions: Versions = Versions()
    cohorts: tuple[CohortSettings, ...] = ()
    mappings: Mappings = Mappings()
    reload: Reload = Reload()
    cors: Cors = Cors()
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    log: Log = Log()

    def ordered_cohorts(self) -> Cohorts:
        """The cohorts, in their order."""
        return Cohorts([Cohort(cohort.name, cohort.versions) for cohort in self.cohorts])

    def version_rules(self) -> VersionRules:
        """Compile the settings that choose a client's version."""
        return VersionRules(
            self.ordered_cohorts(),
            default=self.versions.default,
            sources=self.versions.sources,
            subprotocol_prefix=self.versions.subprotocol_prefix,
            query=self.versions.query,
            cookie=self.versions.cookie,
        )
