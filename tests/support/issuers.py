"""Kinds of servers: where they read tokens, and how they answer with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from tests.support.issuer import LOGOUT, Issuer, Seen

VERIFY = "/api/auth/token/verify/"


class Named(Issuer):
    """Calls its tokens otherwise, in answers and in requests."""

    def answer(self, pair: Mapping[str, str]) -> web.Response:
        return web.json_response(
            {"access_token": pair["access"], "refresh_token": pair["refresh"], "n": 1}
        )

    def refresh_of(self, seen: Seen) -> str:
        return str(seen.json["refresh_token"])


class Enveloped(Issuer):
    """Puts its tokens into objects."""

    def answer(self, pair: Mapping[str, str]) -> web.Response:
        return web.json_response({"data": {"tokens": dict(pair)}})

    def refresh_of(self, seen: Seen) -> str:
        return str(seen.json["data"]["refresh"])


class Granting(Named):
    """Reads forms, as OAuth 2.0 has them (RFC 6749 section 6)."""

    def refresh_of(self, seen: Seen) -> str:
        if seen.headers["Content-Type"] != "application/x-www-form-urlencoded":
            raise ValueError("this is no form")
        sent = {name: values[0] for name, values in parse_qs(seen.body.decode()).items()}
        if (sent["grant_type"], sent["client_id"]) != ("refresh_token", "web"):
            raise ValueError("this is nobody's grant")
        return sent["refresh_token"]


class LoggingOutByName(Issuer):
    """Case 21: its refresh reads `refresh`, its logout `refresh_token`."""

    def refresh_of(self, seen: Seen) -> str:
        return str(seen.json["refresh_token" if seen.path == LOGOUT else "refresh"])


class Extended(Issuer):
    """Reads the token of a refresh in `Authorization`, as flask-jwt-extended does."""

    def refresh_of(self, seen: Seen) -> str:
        if seen.path == LOGOUT:
            return super().refresh_of(seen)
        return seen.headers["Authorization"].removeprefix("Bearer ")


class Opening(Issuer):
    """Opens WebSockets for whoever has a good token in the query, as `jwt`."""

    async def served(self, request: web.BaseRequest, seen: Seen) -> web.StreamResponse:
        if seen.path != "/ws/":
            return await super().served(request, seen)
        if not self.is_good(seen.query.get("jwt", ""), "a"):
            return web.Response(status=403)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("welcome")
        await socket.close()
        return socket


class Baking(Issuer):
    """Keeps both tokens in cookies of the browser, which end when the tokens do."""

    def answer(self, pair: Mapping[str, str]) -> web.Response:
        answer = web.json_response({"user": 7})
        answer.set_cookie("at", pair["access"], max_age=int(self.access) or 1, httponly=True)
        answer.set_cookie("rt", pair["refresh"], max_age=86400, httponly=True)
        return answer

    def refresh_of(self, seen: Seen) -> str:
        return seen.cookies["rt"]

    def access_of(self, seen: Seen) -> str:
        return seen.cookies.get("at", "")

    def logged_out(self) -> web.Response:
        answer = web.Response(status=204)
        answer.del_cookie("at")
        answer.del_cookie("rt")
        return answer

    async def served(self, request: web.BaseRequest, seen: Seen) -> web.StreamResponse:
        if seen.path == "/":
            return web.Response(text="for everybody")
        return await super().served(request, seen)


class OnePath(Named):
    """Has one endpoint for tokens (RFC 6749 section 3.2)."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path != "/oauth/token":
            return await super().handle(request)
        form = {name: str(value) for name, value in (await request.post()).items()}
        if form["grant_type"] == "password":
            return self.answer(self.pair())
        if form["grant_type"] != "refresh_token" or not self.is_good(form["refresh_token"], "r"):
            return web.json_response({"error": "invalid_grant"}, status=401)
        self.spent.add(form["refresh_token"])
        return self.answer(self.pair())


class Offered(Issuer):
    """Reads the token of a WebSocket from the subprotocols, and answers with one of them."""

    chosen: int = 0

    async def served(self, request: web.BaseRequest, seen: Seen) -> web.StreamResponse:
        offered = [each.strip() for each in seen.headers["Sec-WebSocket-Protocol"].split(",")]
        if offered[0] != "bearer" or not self.is_good(offered[1], "a"):
            return web.Response(status=403)
        socket = web.WebSocketResponse(protocols=[offered[self.chosen]])
        await socket.prepare(request)
        await socket.close()
        return socket


class Greeted(Issuer):
    """Reads the token of a WebSocket from its first message, as servers of graphql-ws do."""

    async def served(self, request: web.BaseRequest, seen: Seen) -> web.StreamResponse:
        if seen.path != "/graphql/":
            return await super().served(request, seen)
        socket = web.WebSocketResponse(protocols=["graphql-transport-ws"])
        await socket.prepare(request)
        first = await socket.receive_json()
        if self.is_good(first["payload"]["authToken"], "a"):
            await socket.send_json({"type": "connection_ack"})
            await socket.close()
        else:
            await socket.close(code=4403, message=b"Forbidden")
        return socket


class Verifying(Issuer):
    """Says of a token in a body whether it is good."""

    async def served(self, request: web.BaseRequest, seen: Seen) -> web.StreamResponse:
        if seen.path != VERIFY:
            return await super().served(request, seen)
        return web.json_response({}, status=200 if self.is_good(seen.json["token"], "a") else 401)


class Resting(Issuer):
    """Answers as dj-rest-auth does with `JWT_AUTH_HTTPONLY`: the refresh token is in a cookie."""

    def answer(self, pair: Mapping[str, str]) -> web.Response:
        answer = web.json_response({"access": pair["access"], "refresh": "", "user": {"pk": 7}})
        life = max(int(self.access), 1)
        answer.set_cookie("app-auth", pair["access"], max_age=life, httponly=True, samesite="Lax")
        answer.set_cookie("app-refresh", pair["refresh"], max_age=86400, httponly=True)
        return answer

    def refresh_of(self, seen: Seen) -> str:
        in_body = seen.json.get("refresh") if seen.body else None
        return str(in_body or seen.cookies["app-refresh"])

    def access_of(self, seen: Seen) -> str:
        if "Authorization" in seen.headers:
            return super().access_of(seen)
        return seen.cookies.get("app-auth", "")

    def credentials(self, answer: Any) -> dict[str, Any]:
        del answer  # They are in the browser's cookies.
        return {}

    leaving = credentials


class Revoking(OnePath):
    """Takes refresh tokens back as RFC 7009 has it."""

    def refresh_of(self, seen: Seen) -> str:
        return parse_qs(seen.body.decode())["token"][0]

    def credentials(self, answer: Any) -> dict[str, Any]:
        return {"headers": {"Authorization": f"Bearer {answer['access_token']}"}}

    def leaving(self, answer: Any) -> dict[str, Any]:
        return {**self.credentials(answer), "data": {"token": answer["refresh_token"]}}


class OnRails(Issuer):
    """Speaks JSON:API, and nothing else."""

    def answer(self, pair: Mapping[str, str]) -> web.Response:
        attributes = {f"{kind}-token": value for kind, value in pair.items()}
        return web.json_response(
            {"data": {"type": "sessions", "attributes": attributes}},
            content_type="application/vnd.api+json",
        )

    def refresh_of(self, seen: Seen) -> str:
        return str(seen.json["data"]["attributes"]["refresh-token"])

    def access_of(self, seen: Seen) -> str:
        return seen.headers.get("Authorization", "").removeprefix("Token ")

    def credentials(self, answer: Any) -> dict[str, Any]:
        token = answer["data"]["attributes"]["access-token"]
        return {"headers": {"Authorization": f"Token {token}"}}

    def leaving(self, answer: Any) -> dict[str, Any]:
        attributes = {"refresh-token": answer["data"]["attributes"]["refresh-token"]}
        fields = self.credentials(answer)["headers"]
        return {
            "headers": {**fields, "Content-Type": "application/vnd.api+json"},
            "data": json.dumps({"data": {"type": "sessions", "attributes": attributes}}),
        }
