"""Requests that were meant for somebody else, or that somebody else's page has made."""

from __future__ import annotations

import pytest

from proxy.admin.addressed import from_elsewhere, misdirected, shows_secret
from proxy.tokens.admin_token import token_from

TOKEN = token_from(bytes(32))


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1:9090", "10.1.2.3:9090", "[::1]:9090", "[2001:db8::1]"),
        *("localhost", "localhost:9090", "LOCALHOST", "ip6-localhost"),
        *("segue.example", "segue.example:9090", "Segue.Example"),
    ],
)
def test_address_local_name_and_listed_name_are_this_listener(host: str) -> None:
    assert misdirected([host], ["segue.example"]) is None


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:9090", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("segue.example.evil", "", "[::1", ":9090", "[evil]", "segue.example@evil.example"),
        *("2130706433", "127.1", "0x7f.1"),
    ],
)
def test_any_other_name_is_somebody_elses(host: str) -> None:
    assert misdirected([host], ["segue.example"]) is not None


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
def test_host_is_said_once(hosts: list[str]) -> None:
    assert misdirected(hosts, []) is not None


@pytest.mark.parametrize(
    ("origins", "sites", "allowed"),
    [
        ([], [], True),
        ([], ["none"], True),
        ([], ["same-origin"], True),
        ([], ["same-site"], False),
        ([], ["cross-site"], False),
        ([], ["same-origin", "cross-site"], False),
        ([], [""], False),
        (["http://localhost:9090"], ["same-origin"], True),
        (["https://LOCALHOST:9090"], [], True),
        (["http://localhost"], [], False),
        (["http://localhost:9091"], [], False),
        (["http://evil.example"], [], False),
        (["null"], [], False),
        (["http://[::1"], [], False),
        (["http://localhost:9090", "http://evil.example"], [], False),
        (["http://evil.example"], ["same-origin"], False),
    ],
)
def test_only_own_pages_may_ask(origins: list[str], sites: list[str], allowed: bool) -> None:
    assert (from_elsewhere("localhost:9090", origins, sites) is None) is allowed


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/sessions", False),
        ("/sessions?user=7&limit=2", False),
        ("/sessions?user=token", False),
        ("/metrics?name=segue_admin_requests", False),
        ("/sessions?token=x", True),
        ("/sessions?TOKEN", True),
        ("/sessions?a=b&access_token=x", True),
        ("/sessions?acc%65ss_token=x", True),
        (f"/sessions?user={TOKEN}", True),
        (f"/sessions/{TOKEN}", True),
        (f"/sessions/{TOKEN.replace('_', '%5F')}", True),
        (f"/sessions/{TOKEN.replace('_', '%255f')}", True),
    ],
)
def test_token_in_a_url_is_seen(target: str, shown: bool) -> None:
    assert shows_secret(target) is shown
