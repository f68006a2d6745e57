"""All sections: defaults, everything that can be set, and the rules between sections."""

from __future__ import annotations

import ipaddress

import pytest
from pydantic import ValidationError

from proxy.configuration.units import Address
from proxy.freshness.resources import FreshRoute
from proxy.http.headers import shape_of
from proxy.versions.sources import SOURCES, Received, VersionSource
from proxy.versions.version import Version
from tests.support.configured import KEYS, MINIMAL, places, problems, read


def test_the_defaults() -> None:
    config = read()
    assert config.listen.address == Address("127.0.0.1", 8080)
    assert config.listen.tls is None
    assert config.listen.trusted_proxies == ()
    assert config.admin.address == Address("127.0.0.1", 9090)
    assert config.admin.allow_raw_recordings is False
    assert config.upstream.url == "http://server:8000"
    assert (config.upstream.tls.ca_file, config.upstream.tls.server_name) == (None, None)
    assert config.upstream.tls.verify is True
    assert config.upstream.preserve_host is True
    assert config.upstream.connections == 256
    assert config.versions.default is None
    assert config.versions.sources == SOURCES
    assert config.versions.header == "X-Client-Version"
    assert config.versions.subprotocol_prefix == "client-version."
    assert config.versions.query == config.versions.cookie == "client_version"
    assert config.cohorts == ()
    assert config.coalescing == ()
    assert config.mappings.directory == "mappings"
    assert (config.reload.watch, config.reload.interval) == (False, 2)
    assert config.cors.origins == ()
    assert config.timeouts.model_dump() == {
        "tls_handshake": 10,
        "header": 15,
        "body": 30,
        "message": 120,
        "keepalive": 75,
        "connect": 5,
        "response": 60,
        "idle": 60,
        "websocket_handshake": 10,
        "websocket_close": 5,
        "drain_delay": 0,
        "drain": 30,
    }
    assert config.limits.model_dump() == {
        "header_line": 16_384,
        "headers": 128,
        "request_headers": 64 * 1024,
        "request_body": None,
        "body": 8_388_608,
        "frame": 16_777_216,
        "message": 16_777_216,
        "fragments": 65_536,
        "json_depth": 1000,
        "control_frames": 100,
        "buffer": 65_536,
        "connections": 10_000,
        "connections_per_address": 1000,
        "response_headers": 65_536,
        "memory": 83_886_080,
        "shared_body": 1_048_576,
        "shared_waiters": 1024,
    }
    assert config.store.url == "sqlite:sessions.sqlite3"
    assert config.store.keys == ()
    assert (config.store.sessions, config.store.timeout) == (100_000, 2)
    assert (config.log.level, config.log.format) == ("info", "auto")


def test_everything_can_be_set() -> None:
    config = read(
        """
listen:
  address: "[::1]:8443"
  tls: {certificate: cert.pem, key: key.pem}
  trusted_proxies: [10.0.0.0/8, "::1"]
upstream:
  url: https://old.example.com
  tls: {ca_file: ca.pem, server_name: internal, verify: false}
  preserve_host: false
  connections: 8
  health: {path: /ready, host: "app.example.com:8080"}
versions:
  default: 1.10
  sources: [cookie, header]
  header: X-App
  subprotocol_prefix: v.
  query: v
  cookie: v
cohorts:
  - name: 2024
    versions: ">=2,<3"
    websocket: {to_client: [a, b], to_server: [c]}
    http:
      - {path: "/api/{}", methods: [GET], to_client: [d], to_server: [e]}
coalescing:
  - {name: job, path: "/api/jobs/{}/"}
mappings: {directory: rules}
reload: {watch: true, interval: 500ms}
cors: {origins: ["https://app.example.com"]}
timeouts: {header: 500ms, drain: 0, idle: 1h, body: 2}
limits: {message: 1MB, headers: 64}
store: {url: "rediss://:secret@store", ca_file: ca.pem, keys: [KEY], sessions: 5, timeout: 1s}
sessions: {paths: {login: [/login], refresh: /again, logout: /out}}
log: {level: debug, format: json}
""".replace("KEY", KEYS[0])
    )
    assert config.listen.address == Address("::1", 8443)
    assert config.listen.tls is not None
    assert (config.listen.tls.certificate, config.listen.tls.key) == ("cert.pem", "key.pem")
    assert config.listen.trusted_proxies == (
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("::1"),
    )
    assert config.upstream.tls.verify is False
    assert config.upstream.health is not None
    assert config.upstream.health.host == "app.example.com:8080"
    paths = config.sessions.paths
    assert (paths.login, paths.refresh, paths.logout) == (("/login",), "/again", "/out")
    assert config.versions.default == Version.parse("1.10") != Version.parse("1.1")
    assert config.versions.sources == (VersionSource.COOKIE, VersionSource.HEADER)
    assert config.cohorts[0].name == "2024"
    assert config.cohorts[0].websocket.to_client == ("a", "b")
    assert config.cohorts[0].websocket.to_server == ("c",)
    assert (config.coalescing[0].name, config.coalescing[0].pattern) == ("job", "/api/jobs/{}/")
    assert config.coalescing[0].methods == {"GET"}
    route = config.cohorts[0].http[0]
    assert (route.path, route.methods) == ("/api/{}", ("GET",))
    assert (route.to_client, route.to_server) == (("d",), ("e",))
    assert (config.reload.watch, config.reload.interval) == (True, 0.5)
    assert config.cors.origins == ("https://app.example.com",)
    assert (config.timeouts.header, config.timeouts.drain) == (0.5, 0)
    assert (config.timeouts.idle, config.timeouts.body) == (3600, 2)
    assert (config.limits.message, config.limits.headers) == (1_000_000, 64)
    assert (config.store.url, config.store.ca_file) == ("rediss://:secret@store", "ca.pem")
    assert (config.store.keys, config.store.sessions, config.store.timeout) == (KEYS[:1], 5, 1)


def test_sections_with_nothing_in_them_have_their_defaults() -> None:
    text = MINIMAL + "listen:\ntimeouts:\nlimits: {}\ncohorts: []\nversions: {default: null}\n"
    assert read(text) == read()


def test_a_configuration_does_not_change() -> None:
    config = read()
    with pytest.raises(ValidationError):
        config.listen = config.listen  # type: ignore[misc]
    with pytest.raises(ValidationError):
        config.timeouts.idle = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("listen", "admin", "apart"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8080", False),
        (":8080", "127.0.0.1:8080", False),
        ("[::1]:8080", ":8080", False),
        ("0.0.0.0:8080", "localhost:8080", False),
        ("10.0.0.1:8080", "0.0.0.0:8080", False),
        ("[::]:8080", "[::1]:8080", False),
        ("[::]:8080", "127.0.0.1:8080", True),
        ("0.0.0.0:8080", "[::1]:8080", True),
        ("10.0.0.1:8080", "127.0.0.1:8080", True),
        (":8080", ":8081", True),
        (":0", ":0", True),
    ],
)
def test_the_listeners_do_not_share_an_address(listen: str, admin: str, apart: bool) -> None:
    flags = {"listen": listen, "admin": admin}
    if apart:
        read(flags=flags)
    else:
        (found,) = problems(flags=flags)
        assert places([found]) == [("--admin", 0, 0, "admin.address")]


@pytest.mark.parametrize(
    ("listen", "upstream", "elsewhere"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080", False),
        (":8080", "http://localhost:8080", False),
        ("[::]:8080", "http://[::1]:8080", False),
        ("localhost:8080", "http://127.0.0.1:8080", False),
        ("proxy.example:80", "http://proxy.example", False),
        ("proxy.example:443", "https://proxy.example", False),
        (":8080", "http://backend:8080", True),
        ("10.0.0.1:8080", "http://127.0.0.1:8080", True),
        ("127.0.0.1:8080", "http://127.0.0.1:8000", True),
    ],
)
def test_segue_does_not_forward_to_itself(listen: str, upstream: str, elsewhere: bool) -> None:
    flags = {"listen": listen, "upstream": upstream}
    if elsewhere:
        read(flags=flags)
    else:
        (found,) = problems(flags=flags)
        assert places([found]) == [("--upstream", 0, 0, "upstream.url")]


def test_the_rules_for_versions_follow_the_settings() -> None:
    rules = read(
        MINIMAL
        + "versions: {default: 1.10, query: v, cookie: c, subprotocol_prefix: p.}\n"
        + "cohorts: [{name: old, versions: '<2'}, {name: new, versions: '>=2'}]\n"
    ).version_rules()

    def cohort(
        *fields: tuple[bytes, bytes], target: bytes = b"/", subprotocols: tuple[bytes, ...] = ()
    ) -> str | None:
        request = Received(fields, shape_of(fields), target, subprotocols, None)
        return rules.choose(request)[0].cohort

    assert cohort() == "old"
    assert cohort((b"X-Client-Version", b"2")) == "new"
    assert cohort(target=b"/?v=2") == "new"
    assert cohort((b"Cookie", b"c=2")) == "new"
    assert cohort(subprotocols=(b"p.2",)) == "new"


def test_a_route_says_until_when_its_answers_are_fresh() -> None:
    config = read(
        MINIMAL + "coalescing:\n"
        "  - {name: a, path: '/api/jobs/{id}/', fresh_until: {message: {jobId: id, meta.id: id}},\n"
        "     at_most: 2s, settle: 50ms}\n"
        "  - {name: b, path: '/b/{x}/{}/', fresh_until: {message: {x: x}, socket: '/ws/{x}/'}}\n"
        "  - {name: c, path: '/c/{id}/'}\n",
    )
    one, two, three = config.coalescing
    fields = ((("jobId",), "id"), (("meta", "id"), "id"))
    assert one.fresh == FreshRoute("/api/jobs/{id}/", fields, None)
    assert (one.pattern, one.at_most, one.settle) == ("/api/jobs/{}/", 2.0, 0.05)
    assert two.fresh == FreshRoute("/b/{x}/{}/", ((("x",), "x"),), "/ws/{x}/")
    assert (two.pattern, two.at_most, two.settle) == ("/b/{}/{}/", 2.0, 0.0)
    assert three.fresh is None
