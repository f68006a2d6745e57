"""The sections of the configuration: what can be set, in which unit, with which default.

Defaults stand here and nowhere else. Durations are seconds (written `15s`, `500ms`, `2m`, `1h`),
sizes are bytes (written `64KiB`, `16MiB`). `reading` reads them; what a single key may hold is said
by its type, in `fields`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from proxy.configuration.admin import Admin
from proxy.configuration.audit import AuditSettings
from proxy.configuration.client import Client
from proxy.configuration.fields import (
    KIB,
    MIB,
    WEEK,
    ClientVersion,
    Count,
    Duration,
    FileName,
    Label,
    ListedNetwork,
    ListenAddress,
    Method,
    NamedPath,
    Names,
    NamingFields,
    Origin,
    Parameter,
    PathPattern,
    Seconds,
    SecretPath,
    Section,
    Size,
    Sources,
    Token,
    VersionRange,
)
from proxy.configuration.sessions import SessionSettings, StoreSettings
from proxy.configuration.switching import Switching
from proxy.configuration.tracing import Tracing
from proxy.configuration.units import Address
from proxy.configuration.upstream import Upstream
from proxy.configuration.websocket import WebSockets
from proxy.freshness.generations import LONGEST_SETTLE
from proxy.freshness.resources import FreshRoute, without_names
from proxy.switching.table import SwitchName
from proxy.types import MAX_DEPTH
from proxy.versions.cohorts import Cohort, Cohorts
from proxy.versions.selection import VersionRules
from proxy.versions.sources import SOURCES, make_sources


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
        origins: of the pages that may open WebSockets, as browsers send them; all where empty. A
            handshake without an `Origin` comes from no page, and is not held against the list.
    """

    address: ListenAddress = Address("127.0.0.1", 8080)
    tls: ListenTls | None = None
    trusted_proxies: tuple[ListedNetwork, ...] = ()
    origins: tuple[Origin, ...] = ()


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

    default: ClientVersion | None = None
    sources: Sources = SOURCES
    header: Token = "X-Client-Version"
    subprotocol_prefix: Token = "client-version."
    query: Parameter = "client_version"
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
        methods: which of them; all where empty. GET stands for HEAD too.
        to_client: for response bodies.
        to_server: for request bodies.
    """

    path: PathPattern
    methods: tuple[Method, ...] = ()
    to_client: Names = ()
    to_server: Names = ()


class FreshUntil(Section):
    """Which messages of the server tell that what a path names has changed.

    Attributes:
        message: the fields that name it, by what the server calls them, wherever in a message they
            stand; each with the placeholder of `path` whose value it has.
        socket: the path of the WebSockets on which such messages come, with the same placeholders.
            Without, it is every WebSocket whose path has the value as one of its segments.
    """

    message: NamingFields
    socket: NamedPath | None = None


class CoalescingRoute(Section):
    """A route on which identical GETs that wait at the same moment share one upstream request.

    Attributes:
        name: what the metrics call it.
        path: as in the request line, without the query: `{}` is one segment, `/**` at the end any
            rest. One that messages name has a name here, too: `{id}`.
        fresh_until: until when an answer may be given again to the same session, while it has a
            WebSocket open; null keeps none. A write by somebody else of which the server sends no
            message is not seen for `at_most`.
        at_most: how long an answer is given again, whatever comes.
        settle: how long after a message a question waits before it is sent, where messages overtake
            the server's database; each answer that follows a message is later by so much.
    """

    name: Label
    path: NamedPath
    fresh_until: FreshUntil | None = None
    at_most: Annotated[Seconds, Field(gt=0, le=3600)] = 2.0
    settle: Annotated[Seconds, Field(ge=0, le=LONGEST_SETTLE)] = 0.0

    @property
    def pattern(self) -> str:
        """The path, without names."""
        return without_names(self.path)

    @property
    def methods(self) -> frozenset[str]:
        """Only reads are alike."""
        return frozenset({"GET"})

    @cached_property
    def fresh(self) -> FreshRoute | None:
        """What is kept of it; None where nothing is."""
        told = self.fresh_until
        return None if told is None else FreshRoute(self.path, told.message, told.socket)


class CohortSettings(Section):
    """A named group of clients that speak the same dialect.

    Attributes:
        name: what metrics and logs call it.
        versions: which versions belong to it, as `>=2,<3`; the first cohort that fits wins.
        websocket: the mappings of its WebSocket messages.
        http: the mappings of its HTTP bodies, by route.
    """

    name: Label
    versions: VersionRange
    websocket: WebSocketMappings = WebSocketMappings()
    http: tuple[RouteMappings, ...] = ()

    def mappings(self) -> set[str]:
        """The names of the mappings of all of them."""
        names = {*self.websocket.to_client, *self.websocket.to_server}
        return names.union(*((*route.to_client, *route.to_server) for route in self.http))


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
    interval: Annotated[Seconds, Field(ge=0.01, le=3600)] = 2.0


class Cors(Section):
    """Which pages of other origins may read the errors that Segue makes by itself.

    Attributes:
        origins: as browsers send them, `https://app.example.com`; or `*`. The server's own
            answers bring the server's own CORS fields. Where the server cannot answer a preflight,
            Segue lets these pages through to the error.
    """

    origins: tuple[Origin, ...] = ()


class Timeouts(Section):
    """How long Segue waits, in seconds.

    Attributes:
        tls_handshake: for a client's TLS handshake.
        header: for a request's header section to be complete.
        body: for the next piece of a request's body.
        message: for a WebSocket message, or an HTTP body, that is held for a mapping to be whole.
        keepalive: for the next request on a connection.
        connect: for a connection to the server, its TLS handshake included.
        response: for the first byte of the server's answer, once the request is sent; for a 100
            (Continue), once its head is.
        idle: for the next piece of the server's answer.
        websocket_handshake: for the server's answer to a WebSocket handshake.
        websocket_close: for the other side's close frame after one was sent.
        drain_delay: between the moment when `/readyz` says that Segue is stopped and the one when
            it accepts no more, so that nobody is sent to it any more by then.
        drain: for what is open to end by itself when Segue is stopped; 0 does not wait.
    """

    tls_handshake: Duration = 10.0
    header: Duration = 15.0
    body: Duration = 30.0
    message: Duration = 120.0
    keepalive: Duration = 75.0
    connect: Duration = 5.0
    response: Duration = 60.0
    idle: Duration = 60.0
    websocket_handshake: Duration = 10.0
    websocket_close: Duration = 5.0
    drain_delay: Annotated[Seconds, Field(ge=0, le=3600)] = 0.0
    drain: Annotated[Seconds, Field(ge=0, le=WEEK)] = 30.0


class LimitSettings(Section):
    """How much Segue holds; sizes in bytes.

    Attributes:
        header_line: of the request line, and of each field of a request.
        headers: the number of fields of a request.
        request_headers: of all fields of a request together.
        request_body: of a request's body, whatever is done with it; null leaves it to the server.
        body: of an HTTP body that a mapping may rewrite and that is therefore held.
        frame: of a WebSocket frame.
        message: of a WebSocket message; one that a mapping may rewrite is held until it is whole.
        fragments: the number of frames of one WebSocket message.
        json_depth: how many objects and arrays of what a mapping may rewrite stand inside each
            other; what is nested deeper is the mapping's `on_error`.
        control_frames: a second, from each side of a WebSocket; ten times that many at once.
        buffer: what waits to be written, for each connection and direction, before reading stops.
        connections: the number of clients connected at the same time.
        connections_per_address: how many of them from one address, that of the socket. Those in
            `listen.trusted_proxies` are not counted so: they stand for many.
        response_headers: of the header section of the server's answer.
        memory: of all that is held for clients at the same time, in one process: bodies, messages,
            shared answers, output that waits. One address gets three eighths of it at most.
        shared_body: of an answer that is held for several clients; see `coalescing`.
        shared_waiters: the number of requests that wait for such answers at the same time.
    """

    header_line: Annotated[Size, Field(ge=256, le=MIB)] = 16 * KIB
    headers: Annotated[Count, Field(ge=8, le=10_000)] = 128
    request_headers: Annotated[Size, Field(ge=KIB, le=16 * MIB)] = 64 * KIB
    request_body: Annotated[Size, Field(ge=0, le=1024**5)] | None = None
    body: Annotated[Size, Field(ge=KIB, le=1024 * MIB)] = 8 * MIB
    frame: Annotated[Size, Field(ge=KIB, le=1024 * MIB)] = 16 * MIB
    message: Annotated[Size, Field(ge=KIB, le=1024 * MIB)] = 16 * MIB
    fragments: Annotated[Count, Field(ge=1, le=1_000_000)] = 65_536
    json_depth: Annotated[Count, Field(ge=1, le=1_000_000)] = MAX_DEPTH
    control_frames: Annotated[Count, Field(ge=1, le=1_000_000)] = 100
    buffer: Annotated[Size, Field(ge=KIB, le=64 * MIB)] = 64 * KIB
    connections: Annotated[Count, Field(ge=1, le=1_000_000)] = 10_000
    connections_per_address: Annotated[Count, Field(ge=1, le=1_000_000)] = 1000
    response_headers: Annotated[Size, Field(ge=KIB, le=MIB)] = 64 * KIB
    memory: Annotated[Size, Field(ge=MIB, le=1024 * 1024 * MIB)] = 80 * MIB
    shared_body: Annotated[Size, Field(ge=KIB, le=1024 * MIB)] = MIB
    shared_waiters: Annotated[Count, Field(ge=1, le=1_000_000)] = 1024


class LogSettings(Section):
    """What is logged, to standard error.

    Attributes:
        level: the least severe level that is written.
        format: `json`, `console`, or by whether standard error is a terminal: `auto`.
        subjects: whether the lines of requests say whose session it is (`subject`): the user that
            the token names. Off, because a log is kept longer, and read by more, than a session.
        redact_paths: which segments of paths are never shown, in the log or elsewhere, because they
            hold one-time tokens: `reset/**` is all that is behind `reset`, `reset/{}` one segment.
            What begins with `/` counts from the beginning of the path, all else anywhere. In place
            of the default, not beside it.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    subjects: bool = False
    redact_paths: Annotated[tuple[SecretPath, ...], Field(max_length=100)] = (
        "activate/**",
        "activation/**",
        "confirm/**",
        "confirm-email/**",
        "confirmation/**",
        "invitation/**",
        "invitations/**",
        "invite/**",
        "invites/**",
        "magic/**",
        "magic-link/**",
        "magic-login/**",
        "password-reset/**",
        "reset/**",
        "reset-password/**",
        "set-password/**",
        "unsubscribe/**",
        "verification/**",
        "verify/**",
        "verify-email/**",
    )


class Config(Section):
    """The whole configuration. Each attribute is a section; see there."""

    listen: Listen = Listen()
    admin: Admin = Admin()
    upstream: Upstream
    versions: Versions = Versions()
    cohorts: tuple[CohortSettings, ...] = ()
    switching: Switching = Switching()
    coalescing: tuple[CoalescingRoute, ...] = ()
    mappings: Mappings = Mappings()
    reload: Reload = Reload()
    client: Client = Client()
    cors: Cors = Cors()
    timeouts: Timeouts = Timeouts()
    limits: LimitSettings = LimitSettings()
    websocket: WebSockets = WebSockets()
    store: StoreSettings = StoreSettings()
    sessions: SessionSettings = SessionSettings()
    log: LogSettings = LogSettings()
    tracing: Tracing = Tracing()
    audit: AuditSettings = AuditSettings()

    def ordered_cohorts(self) -> Cohorts:
        """The cohorts, in their order."""
        return Cohorts([Cohort(cohort.name, cohort.versions) for cohort in self.cohorts])

    def switches(self) -> frozenset[SwitchName]:
        """The switches that there are: one for each mapping that a cohort names."""
        return frozenset(
            SwitchName(cohort.name, name) for cohort in self.cohorts for name in cohort.mappings()
        )

    def version_rules(self) -> VersionRules:
        """Compile the settings that choose a client's version."""
        return VersionRules(
            self.ordered_cohorts(),
            default=self.versions.default,
            sources=make_sources(self.versions.sources, self.versions),
        )
