"""The configuration: one value, or every problem at once with its place."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from proxy.config import Config, load
from proxy.errors import ConfigError, Problem
from proxy.keys import SOURCES
from proxy.notation import Address
from proxy.values import VersionSource
from proxy.versions import Version

SHIPPED = Path(__file__).parent.parent / "config.yaml"
KEYS = tuple(base64.urlsafe_b64encode(bytes([n]) * 32).decode() for n in (1, 2))
MINIMAL = "upstream: {url: http://server:8000}\n"


def read_file(name: str) -> str:
    if name != "/run/secrets/value":
        raise FileNotFoundError(2, "No such file or directory")
    return "1.10\n"


def read(
    text: str = MINIMAL,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Config:
    return load(text, "config.yaml", env or {}, flags or {}, read_file)


def problems(
    text: str = MINIMAL,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> list[Problem]:
    with pytest.raises(ConfigError) as raised:
        read(text, env, flags)
    return list(raised.value.problems)


def places(found: list[Problem]) -> list[tuple[str, int, int, str]]:
    return [(problem.file, problem.line, problem.column, problem.path) for problem in found]


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
    assert config.relief == ()
    assert config.mappings.directory == "mappings"
    assert (config.reload.watch, config.reload.interval) == (False, 2)
    assert config.cors.origins == ()
    assert config.timeouts.model_dump() == {
        "tls_handshake": 10,
        "header": 15,
        "body": 30,
        "keepalive": 75,
        "connect": 5,
        "response": 60,
        "idle": 60,
        "websocket_handshake": 10,
        "websocket_close": 5,
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
relief:
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
    assert (config.relief[0].name, config.relief[0].pattern) == ("job", "/api/jobs/{}/")
    assert config.relief[0].methods == {"GET"}
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


def test_the_shipped_file_is_valid_and_maps_both_ways() -> None:
    config = read(SHIPPED.read_text("utf-8"))
    assert config.versions.default is None
    assert [
        (cohort.name, str(cohort.versions), cohort.websocket.to_client) for cohort in config.cohorts
    ] == [("modern", ">=2", ("old-to-new",)), ("legacy", "<2", ("new-to-old",))]
    directory = SHIPPED.parent / config.mappings.directory
    for cohort in config.cohorts:
        for name in cohort.websocket.to_client:
            assert (directory / f"{name}.yaml").is_file()


def test_what_the_shipped_file_suggests_is_valid_too() -> None:
    """Every commented key, with its comment sign taken away, is a setting that exists."""
    lines = SHIPPED.read_text("utf-8").splitlines()
    suggested = []
    for line in lines:
        bare = line.lstrip()
        body = bare.removeprefix("# ").lstrip().removeprefix("# ")
        if bare.startswith("# ") and body.split(":")[0].replace("_", "").isalpha():
            suggested.append(line.replace("# ", "", 1))
        elif not bare.startswith("#"):
            suggested.append(line)
    config = read("\n".join(suggested))
    assert config.listen.trusted_proxies
    assert config.versions.default is not None
    assert config.cors.origins
    assert config.relief
    assert {"response", "drain"} <= config.timeouts.model_fields_set


def test_sections_with_nothing_in_them_have_their_defaults() -> None:
    text = MINIMAL + "listen:\ntimeouts:\nlimits: {}\ncohorts: []\nversions: {default: null}\n"
    assert read(text) == read()


def test_a_configuration_does_not_change() -> None:
    config = read()
    with pytest.raises(ValidationError):
        config.listen = config.listen  # type: ignore[misc]
    with pytest.raises(ValidationError):
        config.timeouts.idle = 1.0  # type: ignore[misc]


def test_all_problems_come_at_once_each_with_its_place() -> None:
    text = """\
listen:
  adress: :80
  tls: {certificate: c}
  trusted_proxies: [10.0.0.1/8]
upstream:
  url: http://user:hunter2@server
timeouts: {idle: 5 parsecs, body: 0, header: 1000h}
limits: {headers: true, message: 1}
versions: {default: newest, sources: [header, carrier-pigeon], header: "a b", query: "a&b"}
cohorts:
  - {name: modern, versions: ">=2"}
  - {name: modern, versions: ">=3"}
log: {level: LOUD}
"""
    found = problems(text)
    assert places(found) == [
        ("config.yaml", 2, 3, "listen.adress"),
        ("config.yaml", 3, 8, "listen.tls.key"),
        ("config.yaml", 4, 21, "listen.trusted_proxies[0]"),
        ("config.yaml", 6, 8, "upstream.url"),
        ("config.yaml", 7, 18, "timeouts.idle"),
        ("config.yaml", 7, 35, "timeouts.body"),
        ("config.yaml", 7, 46, "timeouts.header"),
        ("config.yaml", 8, 19, "limits.headers"),
        ("config.yaml", 8, 34, "limits.message"),
        ("config.yaml", 9, 21, "versions.default"),
        ("config.yaml", 9, 47, "versions.sources[1]"),
        ("config.yaml", 9, 72, "versions.header"),
        ("config.yaml", 9, 86, "versions.query"),
        ("config.yaml", 12, 12, "cohorts[1].name"),
        ("config.yaml", 12, 30, "cohorts[1].versions"),
        ("config.yaml", 13, 14, "log.level"),
    ]
    assert "did you mean `address`?" in found[0].message
    assert "hunter2" not in str([str(problem) for problem in found])


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("", "upstream", "required"),
        ("# nothing\n", "upstream", "required"),
        ("upstream:\n", "upstream.url", "required"),
        ("- a\n", "", "expected a mapping"),
        ("5\n", "", "expected a mapping"),
        (MINIMAL + "listen: 5\n", "listen", "expected a mapping"),
        (MINIMAL + "listen: {address: 8080}\n", "listen.address", "expected an address"),
        (MINIMAL + "listen: {address: null}\n", "listen.address", "expected an address"),
        (MINIMAL + "cohorts: {modern: x}\n", "cohorts", "expected a list"),
        (
            MINIMAL + "cohorts: [{name: a, versions: 2}]\n",
            "cohorts[0].versions",
            "begins with none",
        ),
        (MINIMAL + "cohorts: [{name: a, versions: []}]\n", "cohorts[0].versions", "a range such"),
        (
            MINIMAL + "cohorts: [{name: a, versions: '>2', http: [{path: /a, methods: [get]}]}]\n",
            "cohorts[0].http[0].methods[0]",
            "a method in capitals",
        ),
        (MINIMAL + "relief: [{name: Job, path: /a}]\n", "relief[0].name", "small letters"),
        (MINIMAL + "relief: [{name: a, path: 'a?b'}]\n", "relief[0].path", "expected a path"),
        (
            MINIMAL + "relief: [{name: a, path: /a}, {name: b, path: /b}, {name: a, path: /c}]\n",
            "relief[2].name",
            "taken by relief[0]",
        ),
        (MINIMAL + "cohorts: [{name: none, versions: '>=2'}]\n", "cohorts[0].name", "another name"),
        (MINIMAL + "cohorts: [{name: A b, versions: '>=2'}]\n", "cohorts[0].name", "small letters"),
        (
            MINIMAL + "cohorts: [{name: a, versions: '>2', websocket: {to_client: b}}]\n",
            "cohorts[0].websocket.to_client",
            "expected a list",
        ),
        (MINIMAL + "versions: {default: [2]}\n", "versions.default", "a version such as"),
        (MINIMAL + "versions: {sources: [header, header]}\n", "versions.sources", "listed twice"),
        (MINIMAL + "versions: {sources: [default]}\n", "versions.sources[0]", "expected one of"),
        (MINIMAL + "versions: {sources: [[]]}\n", "versions.sources[0]", "expected one of"),
        (MINIMAL + "mappings: {directory: ''}\n", "mappings.directory", "at least 1"),
        (
            MINIMAL + "sessions: {paths: {refresh: '/api/token?x=1'}}\n",
            "sessions.paths.refresh",
            "without a query",
        ),
        (MINIMAL + "sessions: {paths: {login: [login]}}\n", "sessions.paths.login[0]", "a path"),
        (MINIMAL + "cors: {origins: '*'}\n", "cors.origins", "expected a list"),
        (MINIMAL + "cors: {origins: [null]}\n", "cors.origins[0]", "expected an origin"),
    ],
)
def test_each_fault_says_where_and_what_was_expected(text: str, path: str, message: str) -> None:
    (found,) = problems(text)
    assert found.path == path
    assert message in found.message


SEVERAL = "upstream: {targets: [http://a, http://b:81]}\n"


def test_several_servers_have_their_defaults() -> None:
    upstream = read(SEVERAL).upstream
    assert upstream.urls == ("http://a", "http://b:81")
    assert (upstream.url, upstream.retries, upstream.health) == (None, 1, None)
    ejection = upstream.ejection
    assert (ejection.failures, ejection.backoff, ejection.longest) == (3, 1.0, 30.0)


def test_probes_need_a_path_and_no_more() -> None:
    health = read("upstream: {targets: [http://a], health: {path: /healthz}}\n").upstream.health
    assert health is not None
    assert (health.path, health.host, health.status) == ("/healthz", None, (200,))
    assert (health.interval, health.timeout) == (5.0, 2.0)
    assert (health.healthy, health.unhealthy) == (2, 3)


@pytest.mark.parametrize(
    ("upstream", "path", "message"),
    [
        ("{}", "upstream.url", "`targets` where there are several"),
        ("{targets: []}", "upstream.url", "`targets` where there are several"),
        ("{url: http://a, targets: [http://b]}", "upstream.targets", "`url` as well"),
        ("{targets: http://a}", "upstream.targets", "expected a list"),
        ("{targets: [http://a, a:80]}", "upstream.targets[1]", "expected a URL"),
        ("{targets: [http://a/x]}", "upstream.targets[0]", "without a path"),
        (
            "{targets: [http://b, https://a, http://A:443]}",
            "upstream.targets[2]",
            "the same server as targets[1]",
        ),
        ("{targets: [http://x, 'http://localhost:8080']}", "upstream.targets[1]", "to itself"),
        ("{targets: [http://a, http://b], tls: {verify: false}}", "upstream.tls", "https://"),
        ("{url: http://a, retries: 11}", "upstream.retries", "10"),
        ("{url: http://a, ejection: {failures: 0}}", "upstream.ejection.failures", "1"),
        ("{url: http://a, ejection: {backoff: 0s}}", "upstream.ejection.backoff", "0"),
        ("{url: http://a, health: {}}", "upstream.health.path", "required"),
        ("{url: http://a, health: {path: x}}", "upstream.health.path", "expected a path"),
        ("{url: http://a, health: {path: '/ x'}}", "upstream.health.path", "expected a path"),
        (
            '{url: http://a, health: {path: "/\\r\\nX: y"}}',
            "upstream.health.path",
            "expected a path",
        ),
        ("{url: http://a, health: {path: /, host: 'a b'}}", "upstream.health.host", "a host"),
        ("{url: http://a, health: {path: /, status: []}}", "upstream.health.status", "1"),
        ("{url: http://a, health: {path: /, status: [99]}}", "upstream.health.status[0]", "200"),
    ],
)
def test_each_fault_of_the_servers_says_where_and_what_was_expected(
    upstream: str, path: str, message: str
) -> None:
    (found,) = problems(f"upstream: {upstream}\n")
    assert found.path == path
    assert message in found.message


def test_one_encrypted_server_of_several_has_use_for_tls_settings() -> None:
    read("upstream: {targets: [http://a, https://b], tls: {verify: false}}\n")


def test_servers_can_come_from_the_environment() -> None:
    env = {"SEGUE_UPSTREAM__TARGETS": "[http://a, http://b]", "SEGUE_UPSTREAM__RETRIES": "2"}
    upstream = read("log: {level: info}\n", env).upstream
    assert (upstream.urls, upstream.retries) == (("http://a", "http://b"), 2)


def test_duplicate_keys_are_refused() -> None:
    (found,) = problems(MINIMAL + "listen: {}\nlisten: {}\n")
    assert places([found]) == [("config.yaml", 3, 1, "listen")]


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


def test_tls_for_a_plain_url_is_refused() -> None:
    (found,) = problems("upstream: {url: http://a, tls: {verify: false}}\n")
    assert places([found]) == [("config.yaml", 1, 32, "upstream.tls")]


@pytest.mark.parametrize(
    "text", ["\n".join(KEYS) + "\n", " ".join(KEYS), f"[{KEYS[0]}, {KEYS[1]}]"]
)
def test_keys_may_be_one_text_as_a_file_with_secrets_holds_them(text: str) -> None:
    env = {"SEGUE_STORE__KEYS_FILE": "/run/secrets/keys"}
    assert load(MINIMAL, "config.yaml", env, {}, lambda _: text).store.keys == KEYS
    assert read(env={"SEGUE_STORE__KEYS": KEYS[0]}).store.keys == KEYS[:1]


@pytest.mark.parametrize("wrong", ["hunter2", "[hunter2]", '["hunter2", 5]'])
def test_a_wrong_key_is_not_repeated(wrong: str) -> None:
    found = problems(f"{MINIMAL}store: {{keys: {wrong}}}\n")
    assert {each.path.partition("[")[0] for each in found} == {"store.keys"}
    assert "hunter2" not in str(found)


def test_keys_are_bounded() -> None:
    (found,) = problems(f"{MINIMAL}store: {{keys: '{' '.join(KEYS[:1] * 17)}'}}\n")
    assert "at most 16" in found.message


def test_a_shared_store_needs_shared_keys() -> None:
    (found,) = problems(MINIMAL + "store: {url: 'redis://store'}\n")
    assert (found.path, "same keys" in found.message) == ("store.keys", True)


def test_an_authority_without_tls_is_refused() -> None:
    (found,) = problems(MINIMAL + "store: {ca_file: ca.pem}\n")
    assert found.path == "store.ca_file"


def test_no_secret_is_in_the_text_of_a_configuration() -> None:
    store = f"store: {{url: 'redis://:hunter2@store', keys: [{KEYS[0]}]}}\n"
    text = repr(read(MINIMAL + store))
    assert "hunter2" not in text
    assert KEYS[0] not in text


def test_precedence_is_defaults_file_environment_flags() -> None:
    text = "listen: {address: ':1'}\nadmin: {address: ':2'}\nupstream: {url: http://file}\n"
    env = {"SEGUE_ADMIN__ADDRESS": ":3", "SEGUE_UPSTREAM__URL": "http://env"}
    flags = {"upstream": "http://flag", "listen": None}
    config = read(text, env, flags)
    assert config.listen.address.port == 1
    assert config.admin.address.port == 3
    assert config.upstream.url == "http://flag"
    assert config.log.level == "info"


def test_every_kind_of_value_can_come_from_the_environment() -> None:
    config = read(
        "",
        {
            "SEGUE_UPSTREAM__URL": "https://a",
            "SEGUE_UPSTREAM__TLS__VERIFY": "false",
            "SEGUE_UPSTREAM__CONNECTIONS": "7",
            "SEGUE_LISTEN__ADDRESS": "[::1]:0",
            "SEGUE_LISTEN__TRUSTED_PROXIES": "[10.0.0.0/8]",
            "SEGUE_TIMEOUTS__IDLE": "2m",
            "SEGUE_LIMITS__MESSAGE": "1MiB",
            "SEGUE_VERSIONS__DEFAULT_FILE": "/run/secrets/value",
            "SEGUE_VERSIONS__SOURCES": "[query]",
            "SEGUE_COHORTS": "[{name: a, versions: '>=2'}]",
            "SEGUE_LOG": "{level: error}",
        },
    )
    assert config.upstream.tls.verify is False
    assert config.upstream.connections == 7
    assert config.listen.address == Address("::1", 0)
    assert len(config.listen.trusted_proxies) == 1
    assert config.timeouts.idle == 120
    assert config.limits.message == 1_048_576
    assert str(config.versions.default) == "1.10"
    assert config.versions.sources == (VersionSource.QUERY,)
    assert config.cohorts[0].name == "a"
    assert config.log.level == "error"


def test_problems_of_file_environment_and_flags_come_together() -> None:
    found = problems(
        "upstream: {url: http://a}\nlog: {level: LOUD}\nlimits: {buffer: 1}\n",
        {
            "SEGUE_LIMITS__BUFFER": "2",
            "SEGUE_TIMEOUTS__IDLE_FILE": "/missing",
            "SEGUE_LISTEN": "{adress: x}",
            "SEGUE_XYZZY": "x",
        },
        {"upstream": "ftp://hunter2@a"},
    )
    assert places(found) == [
        ("--upstream", 0, 0, "upstream.url"),
        ("SEGUE_LIMITS__BUFFER", 0, 0, "limits.buffer"),
        ("SEGUE_LISTEN", 0, 0, "listen.adress"),
        ("SEGUE_TIMEOUTS__IDLE_FILE", 0, 0, "timeouts.idle"),
        ("SEGUE_XYZZY", 0, 0, ""),
        ("config.yaml", 2, 14, "log.level"),
    ]
    assert "hunter2" not in "".join(map(str, found))


def test_a_value_that_could_not_be_read_is_not_reported_as_missing_too() -> None:
    (found,) = problems("", {"SEGUE_UPSTREAM": "{url: ["})
    assert found.file == "SEGUE_UPSTREAM"


def test_a_file_that_is_no_yaml_does_not_hide_what_the_environment_has_wrong() -> None:
    found = problems("listen: [\n", {"SEGUE_XYZZY": "x"})
    assert {problem.file for problem in found} == {"config.yaml", "SEGUE_XYZZY"}


def test_a_broken_section_does_not_hide_what_others_have_wrong_together() -> None:
    text = "upstream: {url: http://localhost:81}\nlisten: {address: ':81'}\nlog: {level: x}\n"
    assert [problem.path for problem in problems(text)] == ["upstream.url", "log.level"]


def test_the_rules_for_versions_follow_the_settings() -> None:
    rules = read(
        MINIMAL
        + "versions: {default: 1.10, query: v, cookie: c, subprotocol_prefix: p.}\n"
        + "cohorts: [{name: old, versions: '<2'}, {name: new, versions: '>=2'}]\n"
    ).version_rules()

    def cohort(**pieces: object) -> str | None:
        given: dict[str, object] = {
            "header": None,
            "subprotocols": [],
            "query": b"",
            "cookies": [],
        }
        return rules.choose(**{**given, **pieces}).cohort  # type: ignore[arg-type]

    assert cohort() == "old"
    assert cohort(header=b"2") == "new"
    assert cohort(query=b"v=2") == "new"
    assert cohort(cookies=[b"c=2"]) == "new"
    assert cohort(subprotocols=[b"p.2"]) == "new"


yaml_like = st.text("{}[]:,-#&*!|>'\"%@ \n\tabul/.0123456789", max_size=60)


@given(yaml_like, yaml_like, st.sampled_from(["LISTEN", "COHORTS", "VERSIONS__DEFAULT", "X"]))
def test_no_text_breaks_the_reader(text: str, value: str, key: str) -> None:
    with suppress(ConfigError):
        read(text, {f"SEGUE_{key}": value})
