"""The WebSocket of a job: `/ws/jobs/<uuid>/`.

Who may watch is decided before the upgrade is accepted, so a refusal is an HTTP 403 of daphne's,
and the close codes 4001 (who are you?) and 4003 (not yours) stay inside the server.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import UUID

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from rest_framework.exceptions import AuthenticationFailed
from rest_framework_simplejwt.authentication import JWTAuthentication

from demo.backend.frames import encode, error_frame
from demo.backend.models import Job, Message, User
from demo.backend.serializers import LONGEST_TEXT, storable
from demo.backend.transcript import USER_ROLE, announce, group_of, record

_UNAUTHENTICATED: Final = 4001
_FORBIDDEN: Final = 4003
_MOST_QUERY_FIELDS: Final = 100


class JobConsumer(AsyncWebsocketConsumer):
    """One client that watches one job."""

    async def connect(self) -> None:
        """Accepts the job's owner and nobody else."""
        self.job_id: UUID = self.scope["url_route"]["kwargs"]["job_id"]
        user = await database_sync_to_async(_user)(
            _token(self.scope["headers"], self.scope["query_string"])
        )
        if user is None:
            await self.close(_UNAUTHENTICATED)
        elif not await Job.objects.filter(pk=self.job_id, owner=user).aexists():
            await self.close(_FORBIDDEN)
        else:
            # Before accepting: a client that knows itself connected misses no frame.
            await self.channel_layer.group_add(group_of(self.job_id), self.channel_name)
            await self.accept()

    async def disconnect(self, code: int) -> None:  # noqa: ARG002 (Channels passes it)
        """Leaves the group, also where it was never joined."""
        await self.channel_layer.group_discard(group_of(self.job_id), self.channel_name)

    async def receive(
        self,
        text_data: str | None = None,
        bytes_data: bytes | None = None,  # noqa: ARG002 (no binary message is a chat message)
    ) -> None:
        """A chat message is stored and sent to everybody; anything else is answered by an error."""
        try:
            message = await database_sync_to_async(_store)(self.job_id, _content(text_data))
        except BadMessage as error:
            await self.send(text_data=encode(error_frame(str(error))))
        else:
            await announce(message)

    async def job_frame(self, event: dict[str, Any]) -> None:
        """A frame for everybody who watches the job."""
        await self.send(text_data=encode(event["frame"]))


class RefusingConsumer(AsyncWebsocketConsumer):
    """Answers every path that is not a job's."""

    async def connect(self) -> None:
        """Refuses."""
        await self.close(_FORBIDDEN)


class BadMessage(ValueError):
    """The client's message is not a chat message; the text says what was expected."""


def _token(headers: Iterable[tuple[bytes, bytes]], query_string: bytes) -> bytes | None:
    """The access token of a handshake: from its header, else from its query."""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.partition(b" ")
            return token.strip() if scheme == b"Bearer" else None
    try:
        query = parse_qs(query_string.decode(), max_num_fields=_MOST_QUERY_FIELDS)
    except ValueError:
        return None
    for key in ("token", "access_token"):
        if key in query:
            return query[key][0].encode()
    return None


def _user(token: bytes | None) -> User | None:
    if not token:
        return None
    authentication = JWTAuthentication()
    try:
        user = authentication.get_user(authentication.get_validated_token(token))
    except AuthenticationFailed:
        return None
    return user if isinstance(user, User) else None


def _content(text: str | None) -> str:
    """What a chat message says.

    Raises:
        BadMessage: not `{"kind": "chat", "content": "..."}`, or the content is blank or too long.
    """
    try:
        message = json.loads(text or "")
    except (ValueError, RecursionError):
        raise BadMessage("Expected a JSON object.") from None
    if not isinstance(message, dict):
        raise BadMessage("Expected a JSON object.")
    if message.get("kind") != "chat":
        raise BadMessage("Unknown kind of message; expected chat.")
    content = message.get("content")
    if not isinstance(content, str) or not content.strip() or not storable(content):
        raise BadMessage("Expected content: a text that is not blank.")
    if len(content) > LONGEST_TEXT:
        raise BadMessage(f"The content is too long; at most {LONGEST_TEXT} characters.")
    return content


def _store(job_id: UUID, content: str) -> Message:
    try:
        return record(job_id, role=USER_ROLE, sender=USER_ROLE, content=content, metadata={})
    except Job.DoesNotExist:
        raise BadMessage("The job does not exist any more.") from None
