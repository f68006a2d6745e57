"""Whose WebSocket is this? Told by the token in its first message, where clients put it there.

Protocols allow others before that one: graphql-ws a `ping` before `connection_init`. So messages
are looked at until there is one with something in the token's place.
"""

from __future__ import annotations

from proxy.configuration.sessions import SessionSettings
from proxy.errors import ClientError, SessionEnded, SessionUnavailable, StoreAway
from proxy.gateway.open_websocket import OpenWebSocket
from proxy.http.headers import RawFields
from proxy.relay.first_message import Decision
from proxy.sessions.metrics import Trigger
from proxy.sessions.possession import Possession
from proxy.sessions.service import Sessions
from proxy.tokens.messages import FoundToken, may_hold_token, read_token, with_token
from proxy.types import FieldPath
from proxy.websocket.failures import FIRST_MESSAGE_UNREADABLE, FOREIGN_PAGE


class FirstMessageToken:
    """Puts the current token of a session into the first message of one WebSocket."""

    def __init__(
        self,
        sessions: Sessions,
        settings: SessionSettings,
        socket: OpenWebSocket,
        path: FieldPath,
        what: Possession,
        fields: RawFields,
        *,
        same_origin: bool,
    ) -> None:
        """Construct.

        Args:
            sessions: of this process.
            settings: those of the handshake.
            socket: of nobody so far, or of the session of its handshake.
            path: of the token.
            what: came with the handshake.
            fields: of the handshake, those with which tokens are renewed.
            same_origin: whether the page may use the cookie of a session.
        """
        self._sessions = sessions
        self._settings = settings
        self._socket = socket
        self._path = path
        self._places = settings.tokens.places
        self._what = what
        self._fields = fields
        self._same_origin = same_origin

    async def decide(self, message: bytes) -> Decision:
        """What goes to the server in place of a message, and whether the next one is looked at.

        Where its session has ended, or cannot be renewed in time, the WebSocket begins to close. So
        does it where a server may read a token that is not read here, and where a page of another
        origin comes with the token of a session that is bound to a cookie: its handshake with that
        token would have been refused.
        """
        try:
            found = read_token(message, self._path, self._places)
        except ClientError:
            if not may_hold_token(message):
                return Decision(is_last=False)
            self._socket.refuse(FIRST_MESSAGE_UNREADABLE)
            return Decision()
        if found is None:
            return Decision(is_last=False)
        try:
            return Decision(await self._substituted(message, found))
        except SessionEnded:
            self._socket.revoke()
        except (SessionUnavailable, StoreAway):
            self._socket.try_later()
        return Decision()

    async def _substituted(self, message: bytes, found: FoundToken) -> bytes | None:
        sessions, socket, fields = self._sessions, self._socket, self._fields
        session = await sessions.look_up(found.token, self._what, self._settings)
        if session is None:
            return None
        if session.cookie and not self._same_origin:
            socket.refuse(FOREIGN_PAGE)
            return None
        current = await sessions.fresh(session, fields, Trigger.HANDSHAKE)
        if socket.session is None:
            socket.session = session
            sessions.socket_opened(session, socket, fields)
        elif socket.session.cached is not session.cached:
            socket.session_told = session
            sessions.socket_opened(session, socket, fields)
        if current is None or current == found.token:
            return None
        return with_token(message, self._path, self._places, found, current)
