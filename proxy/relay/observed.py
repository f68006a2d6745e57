"""An exchange whose bodies somebody looks at while they stream on as they came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from proxy.http.headers import RawFields
from proxy.relay.exchange import Exchange, ExchangeEnds
from proxy.upstream.response import Head


class Observer(Protocol):
    """Who looks."""

    def request_piece(self, data: bytes) -> None: ...

    def response_head(self, fields: RawFields) -> None: ...

    def response_piece(self, data: bytes) -> None: ...

    def end(self) -> None: ...


class Observers:
    """Several who look at the same bodies."""

    __slots__ = ("_each",)

    def __init__(self, each: Sequence[Observer]) -> None:
        self._each = tuple(each)

    def request_piece(self, data: bytes) -> None:
        """A piece of the request's body went by."""
        for observer in self._each:
            observer.request_piece(data)

    def response_head(self, fields: RawFields) -> None:
        """The head of the final response went by."""
        for observer in self._each:
            observer.response_head(fields)

    def response_piece(self, data: bytes) -> None:
        """A piece of the response's body went by."""
        for observer in self._each:
            observer.response_piece(data)

    def end(self) -> None:
        """Both have gone by, whole."""
        for observer in self._each:
            observer.end()


class ObservedExchange(Exchange):
    """An exchange that tells what goes by, and changes nothing of it."""

    __slots__ = ("_observer", "_tells")

    def __init__(self, ends: ExchangeEnds, observer: Observer) -> None:
        """Begin as an `Exchange` does, and tell the observer."""
        super().__init__(ends)
        self._observer = observer
        self._tells = True

    def _send_whole(self, head: bytes) -> None:
        request = self._request
        if request.body is None:
            request.body = request.payload.read_nowait()
        self._observer.request_piece(request.body)
        super()._send_whole(head)

    async def _first_piece(self) -> bytes:
        # It may be got by `_next_piece`, or not.
        self._tells = False
        data = await super()._first_piece()
        self._tells = True
        self._observer.request_piece(data)
        return data

    async def _next_piece(self) -> bytes:
        data = await super()._next_piece()
        if self._tells:
            self._observer.request_piece(data)
        return data

    def on_head(self, head: Head) -> None:
        """Tell of it."""
        self._observer.response_head(head.fields)
        super().on_head(head)

    def on_body(self, data: bytes) -> None:
        """Tell of a piece."""
        self._observer.response_piece(data)
        super().on_body(data)

    def on_end(self) -> None:
        """Tell that it was all."""
        self._observer.end()
        super().on_end()
