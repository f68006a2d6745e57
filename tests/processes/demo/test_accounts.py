"""Register, log in, refresh, log out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest

from tests.support.backend import Account, Backend, register

pytestmark = pytest.mark.asyncio


async def post(
    http: aiohttp.ClientSession, url: str, body: Any, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    async with http.post(url, json=body, headers=headers) as response:
        text = await response.text()
        return response.status, (await response.json() if text else None)


async def test_register_gives_tokens_and_the_user(
    backend: Backend, http: aiohttp.ClientSession
) -> None:
    body = {"email": "Ana@example.org", "password": "correct horse", "name": "Ana Ö"}
    status, answer = await post(http, f"{backend.url}/api/auth/register/", body)
    assert status == 201
    assert set(answer) == {"access", "refresh", "user"}
    assert answer["user"] == {
        "id": answer["user"]["id"],
        "email": "ana@example.org",
        "name": "Ana Ö",
    }
    claims = jwt.decode(answer["access"], options={"verify_signature": False})
    assert claims["token_type"] == "access"
    # The library asks for the time twice: a second may begin in between.
    assert 3599 <= claims["exp"] - claims["iat"] <= 3600
    assert jwt.get_unverified_header(answer["access"])["alg"] == "HS256"
    claims = jwt.decode(answer["refresh"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 86_400


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": "x@example.org"},
        {"email": "not an address", "password": "correct horse"},
        {"email": "x@example.org", "password": "short"},
        {"email": "x@example.org", "password": "lone \ud800 surrogate"},
        [1, 2],
        "text",
        None,
    ],
)
async def test_register_refuses_with_one_detail(
    backend: Backend, http: aiohttp.ClientSession, body: Any
) -> None:
    status, answer = await post(http, f"{backend.url}/api/auth/register/", body)
    assert status == 400
    assert list(answer) == ["detail"]
    assert isinstance(answer["detail"], str)


async def test_register_refuses_an_address_twice_also_at_the_same_moment(
    backend: Backend, http: aiohttp.ClientSession
) -> None:
    body = {"email": "twice@example.org", "password": "correct horse"}
    answers = await asyncio.gather(
        *(post(http, f"{backend.url}/api/auth/register/", body) for _ in range(8))
    )
    assert sorted(status for status, _ in answers) == [201] + [400] * 7


async def test_login_gives_tokens_and_the_user(
    backend: Backend, http: aiohttp.ClientSession, account: Account
) -> None:
    body = {"email": account.email, "password": account.password}
    status, answer = await post(http, f"{backend.url}/api/auth/login/", body)
    assert status == 200
    assert set(answer) == {"access", "refresh", "user"}
    assert answer["user"]["email"] == account.email


async def test_token_gives_the_pair_alone(
    backend: Backend, http: aiohttp.ClientSession, account: Account
) -> None:
    body = {"email": account.email, "password": account.password}
    status, answer = await post(http, f"{backend.url}/api/auth/token/", body)
    assert status == 200
    assert set(answer) == {"access", "refresh"}


@pytest.mark.parametrize("path", ["login", "token"])
async def test_a_wrong_password_is_401(
    backend: Backend, http: aiohttp.ClientSession, account: Account, path: str
) -> None:
    body = {"email": account.email, "password": "wrong"}
    status, answer = await post(http, f"{backend.url}/api/auth/{path}/", body)
    assert status == 401
    assert answer == {"detail": "No active account found with the given credentials"}


async def test_refresh_rotates_and_blacklists_at_once(
    backend: Backend, http: aiohttp.ClientSession, account: Account
) -> None:
    url = f"{backend.url}/api/auth/token/refresh/"
    status, first = await post(http, url, {"refresh": account.refresh})
    assert status == 200
    assert set(first) == {"access", "refresh"}
    assert first["refresh"] != account.refresh
    async with http.post(url, json={"refresh": account.refresh}) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="api"'
        assert await response.json() == {
            "detail": "Token is blacklisted",
            "code": "token_not_valid",
        }
    status, second = await post(http, url, {"refresh": first["refresh"]})
    assert status == 200
    headers = {"Authorization": f"Bearer {second['access']}"}
    async with http.get(f"{backend.url}/api/auth/me/", headers=headers) as response:
        assert response.status == 200


async def test_of_simultaneous_refreshes_exactly_one_wins(
    backend: Backend, http: aiohttp.ClientSession, account: Account
) -> None:
    url = f"{backend.url}/api/auth/token/refresh/"
    answers = await asyncio.gather(
        *(post(http, url, {"refresh": account.refresh}) for _ in range(10))
    )
    assert sorted(status for status, _ in answers) == [200] + [401] * 9


async def test_without_rotation_the_refresh_token_stays(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with Backend(tmp_path, rotation="off") as backend:
        account = await register(http, backend.url)
        for _ in range(2):
            status, answer = await post(
                http, f"{backend.url}/api/auth/token/refresh/", {"refresh": account.refresh}
            )
            assert status == 200
            assert list(answer) == ["access"]


async def test_an_access_token_does_not_refresh(
    backend: Backend, http: aiohttp.ClientSession, account: Account
) -> None:
    status, answer = await post(
        http, f"{backend.url}/api/auth/token/refresh/", {"refresh": account.access}
    )
    assert status == 401
    assert answer["code"] == "token_not_valid"


async def test_logout_blacklists_the_refresh_token(
    backend: Backend, http: aiohttp.ClientSession, account: Account
) -> None:
    body = {"refresh": account.refresh}
    status, answer = await post(http, f"{backend.url}/api/auth/logout/", body)
    assert status == 401
    status, answer = await post(http, f"{backend.url}/api/auth/logout/", body, account.headers)
    assert (status, answer) == (205, None)
    status, answer = await post(http, f"{backend.url}/api/auth/token/refresh/", body)
    assert status == 401
    assert answer == {"detail": "Token is blacklisted", "code": "token_not_valid"}


async def test_logout_refuses_the_refresh_token_of_somebody_else(
    backend: Backend, http: aiohttp.ClientSession, account: Account
) -> None:
    other = await register(http, backend.url)
    body = {"refresh": other.refresh}
    status, _ = await post(http, f"{backend.url}/api/auth/logout/", body, account.headers)
    assert status == 400
    status, _ = await post(http, f"{backend.url}/api/auth/token/refresh/", body)
    assert status == 200


async def test_me_is_the_caller(
    backend: Backend, http: aiohttp.ClientSession, account: Account
) -> None:
    async with http.get(f"{backend.url}/api/auth/me/", headers=account.headers) as response:
        assert response.status == 200
        user = await response.json()
    assert user["email"] == account.email
    assert set(user) == {"id", "email", "name"}


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "refresh"])
async def test_a_bad_access_token_is_401_with_its_code(
    backend: Backend, http: aiohttp.ClientSession, account: Account, token: str
) -> None:
    presented = account.refresh if token == "refresh" else token
    headers = {"Authorization": f"Bearer {presented}"}
    async with http.get(f"{backend.url}/api/auth/me/", headers=headers) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="api"'
        assert (await response.json())["code"] == "token_not_valid"


async def test_a_missing_access_token_is_401(backend: Backend, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{backend.url}/api/auth/me/") as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="api"'


async def test_lifetimes_are_settings(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with Backend(tmp_path, access_lifetime=1.5, refresh_lifetime=2.5) as backend:
        account = await register(http, backend.url)
        await asyncio.sleep(2.7)
        async with http.get(f"{backend.url}/api/auth/me/", headers=account.headers) as response:
            assert response.status == 401
            assert (await response.json())["code"] == "token_not_valid"
        status, answer = await post(
            http, f"{backend.url}/api/auth/token/refresh/", {"refresh": account.refresh}
        )
        assert status == 401
        assert answer == {"detail": "Token is expired", "code": "token_not_valid"}
