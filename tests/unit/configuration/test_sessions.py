"""The sections about sessions and their store."""

from __future__ import annotations

import pytest

from proxy.configuration.reading import load
from tests.support.configured import KEYS, MINIMAL, problems, read


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
    assert (found.path, "need the same" in found.message) == ("store.keys", True)


def test_an_authority_without_tls_is_refused() -> None:
    (found,) = problems(MINIMAL + "store: {ca_file: ca.pem}\n")
    assert found.path == "store.ca_file"


def test_no_secret_is_in_the_text_of_a_configuration() -> None:
    store = f"store: {{url: 'redis://:hunter2@store', keys: [{KEYS[0]}]}}\n"
    text = repr(read(MINIMAL + store))
    assert "hunter2" not in text
    assert KEYS[0] not in text


def test_which_answers_refuse_a_refresh_token_can_be_set() -> None:
    by_default = read().sessions.refused
    assert (by_default.statuses, by_default.codes) == ((401,), ("token_not_valid", "invalid_grant"))
    text = MINIMAL + "sessions: {refused: {statuses: [401, 403, 404], codes: [no-such-grant]}}\n"
    refused = read(text).sessions.refused
    assert (refused.statuses, refused.codes) == ((401, 403, 404), ("no-such-grant",))
    none = read(MINIMAL + "sessions: {refused: {statuses: [], codes: []}}\n").sessions.refused
    assert (none.statuses, none.codes) == ((), ())


@pytest.mark.parametrize("status", [200, 302, 399, 408, 425, 429, 500, 503])
def test_what_a_server_cannot_do_at_the_moment_is_no_refusal(status: int) -> None:
    (found,) = problems(f"{MINIMAL}sessions: {{refused: {{statuses: [401, {status}]}}}}\n")
    assert found.path == "sessions.refused.statuses[1]"
    assert "ends no login" in found.message


def test_fields_to_keep_are_some_that_would_be_dropped() -> None:
    kept = read(MINIMAL + "sessions: {keep_fields: [X-Script-Name, PATH_INFO]}\n")
    assert kept.sessions.keep_fields == ("x-script-name", "path-info")
    (found,) = problems(MINIMAL + "sessions: {keep_fields: [X-Tenant]}\n")
    assert "x-original-url" in found.message


def test_fields_that_refreshes_go_with_are_named() -> None:
    assert read().sessions.carry == ()
    carry = read(MINIMAL + "sessions: {carry: [X-Tenant-Id, Accept-Language]}\n").sessions.carry
    assert carry == ("X-Tenant-Id", "Accept-Language")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        *((name, "no other credential") for name in ("Authorization", "cookie")),
        *(
            (name, "Segue sets it itself")
            for name in (
                *("Host", "content-length", "Content-Type", "Accept-Encoding", "Expect", "Via"),
                *("Connection", "Transfer-Encoding", "TE", "Upgrade", "Proxy-Authorization"),
                *("X-Forwarded-For", "X_Forwarded_Host", "X-Real-IP", "X-Request-Id"),
            )
        ),
        *((name, "another path") for name in ("X-Original-URL", "SCRIPT_NAME")),
        ("X Tenant", "without spaces"),
    ],
)
def test_what_belongs_to_one_request_is_not_carried(name: str, why: str) -> None:
    (found,) = problems(f"{MINIMAL}sessions: {{carry: [X-A, '{name}']}}\n")
    assert found.path == "sessions.carry[1]"
    assert why in found.message


def test_a_field_is_carried_once() -> None:
    (found,) = problems(MINIMAL + "sessions: {carry: [X-A, x-a]}\n")
    assert (found.path, "twice" in found.message) == ("sessions.carry", True)


@pytest.mark.parametrize("name", ["__Host-sid", "__Secure-sid", "sid", "__Host-Http-a"])
def test_a_cookie_may_have_any_name(name: str) -> None:
    assert read(MINIMAL + f"sessions: {{cookie: {name}}}\n").sessions.cookie == name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("__Host-", "a name behind"),
        ("__secure-", "a name behind"),
        ("__host-sid", "spell the prefix `__Host-`"),
        ("__SECURE-sid", "spell the prefix `__Secure-`"),
    ],
)
def test_a_prefix_of_cookies_is_spelled_as_browsers_know_it(name: str, told: str) -> None:
    (found,) = problems(MINIMAL + f"sessions: {{cookie: {name}}}\n")
    assert told in found.message


def test_hosts_that_count_as_one_are_hosts() -> None:
    text = "sessions: {hosts: [App.Example.com, 'auth.example.com:443', '[::1]:8443']}\n"
    hosts = read(MINIMAL + text).sessions.hosts
    assert hosts == ("app.example.com", "auth.example.com", "[::1]")
    for wrong in ("http://h", "h/x", "grün.example", ""):
        (found,) = problems(MINIMAL + f"sessions: {{hosts: ['{wrong}']}}\n")
        assert found.path == "sessions.hosts[0]"
