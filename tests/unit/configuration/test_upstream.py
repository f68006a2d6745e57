"""The section about the servers."""

from __future__ import annotations

import pytest

from tests.support.configured import places, problems, read

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


def test_tls_for_a_plain_url_is_refused() -> None:
    (found,) = problems("upstream: {url: http://a, tls: {verify: false}}\n")
    assert places([found]) == [("config.yaml", 1, 32, "upstream.tls")]
