"""Looking at the bodies of one request to which nothing is done: they stream on as they came."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from proxy.http.content_coding import plain
from proxy.http.headers import RawFields
from proxy.http.representation import is_json_type
from proxy.rewriting import Room
from proxy.types import Direction

MAX_BODY: Final = 256 * 1024
"""Bytes of a body that is looked at, as it came and as it is read; longer ones are skipped."""


class BodyObserver:
    """Collects the JSON bodies of one exchange, and gives them away when it is over."""

    def __init__(
        self,
        take: Callable[[Direction, bytes | None], None],
        ways: Collection[Direction],
        fields: RawFields,
        room: Room,
    ) -> None:
        """Construct.

        Args:
            take: is given each body, read; None for one that is too long, or cannot be read.
            ways: whose bodies are wanted.
            fields: of the request.
            room: for those that go by at the same time; what finds none is skipped.
        """
        self._take = take
        self._ways = ways
        self._room = room
        self._request = _Collected(fields, room) if Direction.TO_SERVER in ways else None
        self._response: _Collected | None = None

    def request_piece(self, data: bytes) -> None:
        """A piece of the request's body went by."""
        if self._request is not None:
            self._request.add(data)

    def response_head(self, fields: RawFields) -> None:
        """The head of the final response went by."""
        if Direction.TO_CLIENT in self._ways:
            self._response = _Collected(fields, self._room)

    def response_piece(self, data: bytes) -> None:
        """A piece of the response's body went by."""
        if self._response is not None:
            self._response.add(data)

    def end(self) -> None:
        """Both have gone by, whole."""
        for way, collected in (
            (Direction.TO_SERVER, self._request),
            (Direction.TO_CLIENT, self._response),
        ):
            if collected is not None and collected.size:
                self._take(way, collected.read())
        self._request = self._response = None


class _Collected:
    """The pieces of a body, if it is JSON."""

    def __init__(self, fields: RawFields, room: Room) -> None:
        self._fields = fields
        self._is_json = is_json_type(fields)
        self._pieces: list[bytes] = []
        self._room = room
        self._kept = 0
        self.size = 0

    def add(self, data: bytes) -> None:
        """Keep a piece, unless it is too much, for this body or for all of them."""
        if self._is_json:
            self.size += len(data)
            if self.size <= MAX_BODY and len(data) <= self._room.left:
                self._pieces.append(data)
                self._kept += len(data)
                self._room.left -= len(data)
            else:
                self.size = MAX_BODY + 1
                self._give_up()

    def read(self) -> bytes | None:
        """What it says; None where that cannot be told."""
        if self.size > MAX_BODY:
            return None
        return plain(b"".join(self._pieces), self._fields, MAX_BODY) or None

    def _give_up(self) -> None:
        self._pieces.clear()
        self._room.left += self._kept
        self._kept = 0

    def __del__(self) -> None:
        """It has been read, or the exchange was broken off, of which nobody tells."""
        self._give_up()
