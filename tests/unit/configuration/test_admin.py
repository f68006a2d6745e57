"""The section `admin`: what can be set, and what is of no use or harmful."""

from __future__ import annotations

import datetime as dt

import pytest

from proxy.switching.limits import Limits
from proxy.tokens.admin_token import hash_of, token_from
from proxy.types import Role
from tests.support.configured import MINIMAL, places, problems, read

HASH, OTHER = hash_of("a"), hash_of("b")


def test_everything_can_be_set() -> None:
    admin = read(
        MINIMAL
        + f"""
admin:
  address: ":9443"
  tls: {{certificate: c.pem, key: k.pem, client_ca: ca.pem}}
  hosts: [Segue.Example, 7seg]
  tokens:
    - {{name: ci, role: operator, hash: "{HASH}", expires: 2027-01-31T00:00:00Z}}
    - {{name: 2024, role: metrics, hash: "{OTHER}"}}
  clients: {{grafana.example: viewer, 7: admin}}
  trusted_proxies: [10.0.0.0/8]
  trusted_user_header: X-Forwarded-User
  users: {{anna@example.com: operator}}
  protect_metrics: true
"""
    ).admin
    assert admin.tls is not None
    assert admin.tls.model_dump() == {
        "certificate": "c.pem",
        "key": "k.pem",
        "client_ca": "ca.pem",
    }
    assert admin.hosts == ("segue.example", "7seg")
    first, second = admin.tokens
    assert (first.name, first.role, first.hash) == ("ci", Role.OPERATOR, HASH)
    assert first.expires == dt.datetime(2027, 1, 31, tzinfo=dt.UTC)
    assert (second.name, second.role, second.expires) == ("2024", Role.METRICS, None)
    assert admin.clients == {"grafana.example": "viewer", "7": "admin"}
    assert admin.trusted_user_header == "X-Forwarded-User"
    assert admin.users == {"anna@example.com": Role.OPERATOR}
    assert admin.protect_metrics is True


def test_without_anything_said_nobody_but_the_socket_has_a_role() -> None:
    admin = read().admin
    assert (admin.tokens, admin.clients, admin.users) == ((), {}, {})
    assert (admin.tls, admin.trusted_user_header, admin.trusted_proxies) == (None, None, ())
    assert (admin.hosts, admin.protect_metrics) == ((), False)


def test_variables_set_lists_and_mappings_whole() -> None:
    admin = read(
        env={
            "SEGUE_ADMIN__TOKENS": f'[{{name: ci, role: admin, hash: "{HASH}"}}]',
            "SEGUE_ADMIN__USERS": "{anna: viewer}",
            "SEGUE_ADMIN__TRUSTED_USER_HEADER": "X-User",
            "SEGUE_ADMIN__TRUSTED_PROXIES": "[10.0.0.1]",
            "SEGUE_ADMIN_TOKEN": "of the command line, no setting",
        }
    ).admin
    assert admin.tokens[0].name == "ci"
    assert admin.users == {"anna": "viewer"}
    (problem,) = problems(env={"SEGUE_ADMIN__USERS__ANNA": "viewer"})
    assert problem.message == "a map is set whole, as YAML, by SEGUE_ADMIN__USERS"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('name: "a b", role: viewer, hash: HASH', "letters, digits"),
        ("name: a, role: root, hash: HASH", "expected 'metrics', 'viewer', 'operator' or 'admin'"),
        ("name: a, role: viewer", "this key is required"),
        ("name: a, role: viewer, hash: hunter2", "64 hexadecimal digits"),
        (f"name: a, role: viewer, hash: {token_from(bytes(32))}", "this is a token"),
        ("name: a, role: viewer, hash: HASH, expires: 2027-01-31", "a time with its zone"),
        ("name: a, role: viewer, hash: HASH, expires: 2027-01-31T00:00:00", "with its zone"),
        ("name: a, role: viewer, hash: HASH, expires: 1800000000", "a time with its zone"),
        ("name: a, role: viewer, hash: HASH, expires: 2027-13-31T00:00:00Z", "month"),
        ("name: a, role: viewer, hash: HASH, expires: soon", "a time with its zone"),
    ],
)
def test_token_that_is_none_is_told_without_its_text(entry: str, message: str) -> None:
    text = f"{MINIMAL}admin: {{tokens: [{{{entry.replace('HASH', repr(HASH))}}}]}}\n"
    (problem,) = problems(text)
    assert message in problem.message
    assert problem.path.startswith("admin.tokens[0].")
    assert "hunter2" not in str(problem)
    assert token_from(bytes(32)) not in str(problem)


COHORTS = "cohorts: [{name: modern, versions: '>=2'}]\n"


@pytest.mark.parametrize(
    ("entry", "limits"),
    [
        ("", Limits()),
        (", cohorts: null, only_lowers: false", Limits()),
        (", cohorts: [modern, none]", Limits(("modern", "none"))),
        (", only_lowers: true", Limits(only_lowers=True)),
    ],
)
def test_a_token_can_be_limited(entry: str, limits: Limits) -> None:
    token = f'{{name: a, role: operator, hash: "{HASH}"{entry}}}'
    (found,) = read(f"{MINIMAL}{COHORTS}admin: {{tokens: [{token}]}}\n").admin.tokens
    assert found.limits == limits


@pytest.mark.parametrize(
    ("entry", "place", "message"),
    [
        # Nothing at all is no way to write "all".
        ("role: operator, cohorts: []", "cohorts", "at least 1"),
        ("role: operator, cohorts: modern", "cohorts", "expected a list"),
        ("role: operator, cohorts: ['']", "cohorts[0]", "at least 1"),
        ("role: operator, cohorts: [modem]", "cohorts[0]", "there are: modern, none"),
        ("role: operator, only_lowers: sometimes", "only_lowers", "expected"),
        ("role: viewer, only_lowers: true", "only_lowers", "the role viewer changes nothing"),
        ("role: metrics, cohorts: [modern]", "cohorts", "the role metrics changes nothing"),
    ],
)
def test_limits_that_limit_nothing_are_told(entry: str, place: str, message: str) -> None:
    token = f'{{name: a, hash: "{HASH}", {entry}}}'
    (problem,) = problems(f"{MINIMAL}{COHORTS}admin: {{tokens: [{token}]}}\n")
    assert problem.path == f"admin.tokens[0].{place}"
    assert message in problem.message


def test_token_that_does_not_expire_can_be_written_so() -> None:
    entry = f'{{name: a, role: viewer, hash: "{HASH}", expires: null}}'
    assert read(f"{MINIMAL}admin: {{tokens: [{entry}]}}\n").admin.tokens[0].expires is None


@pytest.mark.parametrize("name", ["a b", "a:1", "http://a", "", "*.example"])
def test_host_that_is_none_is_refused(name: str) -> None:
    (problem,) = problems(f'{MINIMAL}admin: {{hosts: ["{name}"]}}\n')
    assert "a name without a port" in problem.message


def test_tokens_are_named_apart_and_each_is_one() -> None:
    entries = "\n".join(
        f'    - {{name: {name}, role: viewer, hash: "{value}"}}'
        for name, value in (("a", HASH), ("a", OTHER), ("b", HASH))
    )
    found = problems(f"{MINIMAL}admin:\n  tokens:\n{entries}\n")
    assert [problem.path for problem in found] == ["admin.tokens[1].name", "admin.tokens[2].hash"]
    assert "admin.tokens[0]" in found[0].message


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ("clients: {a: viewer}", "admin.clients"),
        ("clients: {a: viewer}, tls: {certificate: c, key: k}", "admin.clients"),
        ("trusted_user_header: X-User", "admin.trusted_user_header"),
        ("trusted_proxies: [10.0.0.1]", "admin.trusted_proxies"),
        ("users: {a: viewer}", "admin.users"),
    ],
)
def test_what_nobody_can_use_is_an_error(section: str, path: str) -> None:
    found = problems(f"{MINIMAL}admin: {{{section}}}\n")
    assert [place[3] for place in places(found)] == [path]
