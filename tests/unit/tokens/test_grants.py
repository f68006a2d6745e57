"""Which requests at a path for logins and refreshes both are refreshes."""

from __future__ import annotations

import pytest

from proxy.errors import ClientError
from proxy.tokens.grants import asks_for_refresh

JSON = ((b"Content-Type", b"application/json"),)
FORM = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
OWN = {"client_id", "refresh"}


@pytest.mark.parametrize(
    ("body", "fields", "is_refresh"),
    [
        (b"", (), True),
        (b"  ", JSON, True),
        (b"{}", JSON, True),
        (b"{}", (), True),
        (b"null", JSON, True),
        (b'{"refresh": null, "client_id": "web"}', JSON, True),
        (b'{"grant_type": "refresh_token"}', JSON, True),
        (b'{"grant_type": "refresh_token", "scope": "all"}', JSON, True),
        (b'{"grant_type": "", "client_id": "web"}', JSON, True),
        (b'{"grant_type": "password"}', JSON, False),
        (b'{"grant_type": "password", "username": "ada", "password": "x"}', JSON, False),
        (b'{"email": "a@example.com", "password": "x"}', JSON, False),
        (b'{"code": "123"}', (), False),
        (b"grant_type=refresh_token&client_id=web", FORM, True),
        (b"client_id=web&", FORM, True),
        (b"refresh=&client_id=web", FORM, True),
        (b"grant_type=password&username=ada&password=x", FORM, False),
        (b"grant_type=authorization_code&code=1", FORM, False),
        (b"username=ada&password=x", FORM, False),
    ],
)
def test_the_body_says_what_a_request_is(
    body: bytes, fields: tuple[tuple[bytes, bytes], ...], is_refresh: bool
) -> None:
    assert asks_for_refresh(body, OWN, fields) is is_refresh


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b'{"grant_type": "password", "grantType": "refresh_token"}', JSON),
        (b'{"grant_type": ["refresh_token"]}', JSON),
        (b'{"grant_type": "password", "grant_type": "refresh_token"}', JSON),
        (b"grant_type=password&grant_type=refresh_token", FORM),
        (b"grant_type=password&Grant_Type=refresh_token", FORM),
        (b"grant_type[]=refresh_token&username=ada", FORM),
    ],
)
def test_what_servers_read_differently_is_refused(
    body: bytes, fields: tuple[tuple[bytes, bytes], ...]
) -> None:
    with pytest.raises(ClientError):
        asks_for_refresh(body, OWN, fields)
