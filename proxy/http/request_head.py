"""The head of a request, for whichever server will be asked."""

from __future__ import annotations

from proxy.errors import ClientError
from proxy.http import headers
from proxy.http.headers import SERVERS_OWN, Fields


class RequestHead:
    """The head of a request, for whichever server will be asked."""

    __slots__ = ("_fields", "_line", "_same")

    def __init__(self, line: bytes, fields: Fields) -> None:
        """Write it, unless it names the server.

        Args:
            line: the request line.
            fields: `Host` is the first where its value is `SERVERS_OWN`.

        Raises:
            ClientError: a field could be read as two.
        """
        self._line = line
        self._fields = fields
        self._same = b"" if fields and fields[0][1] == SERVERS_OWN else _serialized(line, fields)

    def for_server(self, authority: bytes) -> bytes:
        """Return the bytes for a server.

        Raises:
            ClientError: a field could be read as two.
        """
        return self._same or _serialized(self._line, [(b"Host", authority), *self._fields[1:]])


def _serialized(line: bytes, fields: Fields) -> bytes:
    try:
        return headers.serialize(line, fields)
    except ValueError:
        raise ClientError("a header field carries a line break or a NUL") from None
