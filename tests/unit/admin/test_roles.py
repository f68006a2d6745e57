"""Who asks: by every credential, and by what is none."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest

from proxy.admin.roles import Certificate, Credential, Presented, Principal, Stranger, Why, who
from proxy.configuration.admin import Admin
from proxy.tokens.admin_token import hash_of, token_from
from proxy.types import Role

NOW = 1_800_000_000.0
TOKENS = [token_from(bytes([number]) * 32) for number in range(4)]
OPERATOR, EXPIRED, LASTING, UNKNOWN = TOKENS


def moment(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()


SETTINGS = Admin.model_validate(
    {
        "tokens": [
            {"name": "ci", "role": "operator", "hash": hash_of(OPERATOR)},
            {"name": "old", "role": "admin", "hash": hash_of(EXPIRED), "expires": moment(NOW)},
            {"name": "new", "role": "viewer", "hash": hash_of(LASTING), "expires": moment(NOW + 1)},
        ],
        "clients": {"grafana.example": "viewer", "ops@example.com": "operator"},
        "trusted_proxies": ["10.0.0.0/8"],
        "trusted_user_header": "X-User",
        "users": {"anna": "admin", "ben": "viewer"},
    }
)


def asked(**presented: Any) -> Principal | Stranger:
    return who(Presented(**presented), SETTINGS, NOW)


def stranger(**presented: Any) -> Why:
    found = asked(**presented)
    assert isinstance(found, Stranger)
    for token in TOKENS:
        assert token not in found.detail
    return found.why


def test_each_role_may_what_those_below_it_may() -> None:
    for one, other in itertools.product(Role, Role):
        assert one.covers(other) is (list(Role).index(one) >= list(Role).index(other))
    assert list(Role) == ["metrics", "viewer", "operator", "admin"]


def test_the_unix_socket_is_its_users_own_whatever_else_is_said() -> None:
    found = asked(uid=1000, authorization=(f"Bearer {UNKNOWN}",), users=("ben",))
    assert found == Principal("uid 1000", Role.ADMIN, Credential.SOCKET)
    assert str(found) == "uid 1000 (socket)"


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER  {}", " Bearer {} "])
def test_a_token_is_found_by_its_hash(form: str) -> None:
    found = asked(authorization=(form.format(OPERATOR),))
    assert found == Principal("ci", Role.OPERATOR, Credential.TOKEN)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        OPERATOR,
        f"Basic {OPERATOR}",
        f"Bearer {UNKNOWN}",
        f"Bearer {OPERATOR}x",
        f"Bearer {OPERATOR[:-1]}",
        f"Bearer {OPERATOR.lower()}",
        f"Bearer {OPERATOR}, Bearer {OPERATOR}",
        f"Bearer {hash_of(OPERATOR)}",
        "Bearer \udcff",
        f"Bearer {EXPIRED}",
    ],
)
def test_what_is_no_valid_token_is_nobody(value: str) -> None:
    assert stranger(authorization=(value,)) is Why.WRONG


def test_a_token_is_good_until_the_moment_of_its_end() -> None:
    presented = Presented(authorization=(f"Bearer {LASTING}",))
    assert isinstance(who(presented, SETTINGS, NOW + 0.9), Principal)
    assert isinstance(who(presented, SETTINGS, NOW + 1), Stranger)


def test_two_authorizations_are_none() -> None:
    assert stranger(authorization=(f"Bearer {OPERATOR}",) * 2) is Why.AMBIGUOUS


def test_every_token_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def compare_digest(one: str, _: str) -> bool:
        compared.append(one)
        return False

    monkeypatch.setattr("proxy.admin.roles.hmac.compare_digest", compare_digest)
    assert stranger(authorization=(f"Bearer {OPERATOR}",)) is Why.WRONG
    assert compared == [each.hash for each in SETTINGS.tokens]


def test_user_of_a_trusted_proxy_has_the_role_that_is_listed() -> None:
    found = asked(from_trusted_proxy=True, users=("anna",))
    assert found == Principal("anna", Role.ADMIN, Credential.PROXY)


@pytest.mark.parametrize("user", ["carl", "", "Anna", "anna,ben", "anna "])
def test_unlisted_user_has_no_role(user: str) -> None:
    assert stranger(from_trusted_proxy=True, users=(user,)) is Why.NO_ROLE


def test_two_user_fields_of_a_trusted_proxy_are_none() -> None:
    """One of them may be the client's own."""
    assert stranger(from_trusted_proxy=True, users=("anna", "ben")) is Why.AMBIGUOUS


def test_user_field_of_anybody_else_counts_for_nothing() -> None:
    assert stranger(users=("anna",)) is Why.MISSING
    assert stranger(users=("anna", "ben")) is Why.MISSING
    assert asked(users=("anna",), authorization=(f"Bearer {OPERATOR}",)) == Principal(
        "ci", Role.OPERATOR, Credential.TOKEN
    )


@pytest.mark.parametrize("passed_on", ["Basic YW5uYTpz", "Bearer eyJh.b.c"])
def test_authorization_that_a_trusted_proxy_passes_on_is_none_of_ours(passed_on: str) -> None:
    found = asked(from_trusted_proxy=True, users=("ben",), authorization=(passed_on,))
    assert found == Principal("ben", Role.VIEWER, Credential.PROXY)


def test_token_counts_before_the_user_of_a_trusted_proxy() -> None:
    for token, name in ((OPERATOR, "ci"), (UNKNOWN, None)):
        found = asked(from_trusted_proxy=True, users=("anna",), authorization=(f"Bearer {token}",))
        assert (found.name if isinstance(found, Principal) else None) == name


@pytest.mark.parametrize(
    ("names", "name", "role"),
    [
        (("grafana.example",), "grafana.example", Role.VIEWER),
        (("x", "ops@example.com"), "ops@example.com", Role.OPERATOR),
        (("grafana.example", "ops@example.com"), "ops@example.com", Role.OPERATOR),
    ],
)
def test_certificate_has_the_highest_role_of_its_names(
    names: tuple[str, ...], name: str, role: Role
) -> None:
    found = asked(certificate=Certificate(names, NOW + 1))
    assert found == Principal(name, role, Credential.CERTIFICATE)


def test_certificate_without_a_listed_name_or_after_its_end_is_nobody() -> None:
    assert stranger(certificate=Certificate((), NOW + 1)) is Why.NO_ROLE
    assert stranger(certificate=Certificate(("other",), NOW + 1)) is Why.NO_ROLE
    assert stranger(certificate=Certificate(("grafana.example",), NOW)) is Why.WRONG


def test_wrong_token_is_told_although_the_certificate_is_right() -> None:
    right = Certificate(("grafana.example",), NOW + 1)
    assert stranger(certificate=right, authorization=(f"Bearer {UNKNOWN}",)) is Why.WRONG


def test_nothing_is_nobody() -> None:
    assert stranger() is Why.MISSING
    assert stranger(from_trusted_proxy=True) is Why.MISSING
