"""The head of a request, for whichever server will be asked."""

from __future__ import annotations

from proxy.errors import ClientError
from proxy.http import headers
from proxy.http.headers import SERVERS_OWN, Fields


class RequestHead:
    """The head of a request, for whichever server will be asked."""

    __slots__ = ("_fields", "_line", "_names_server", "_written")

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
        self._names_server = bool(fields) and fields[0][1] == SERVERS_OWN
        self._written = b"" if self._names_server else _serialized(line, fields)

    def for_server(self, authority: bytes) -> bytes:
        """Return the bytes for a server, and keep none: it may be long until they are needed again.

        Raises:
            ClientError: a field could be read as two.
        """
        written, self._written = self._written, b""
        if written:
            return written
        fields = self._fields
        if self._names_server:
            fields = [(b"Host", authority), *fields[1:]]
        return _serialized(self._line, fields)


def _serialized(line: bytes, fields: Fields) -> bytes:
    try:
        return headers.serialize(line, fields)
    except ValueError:
        raise ClientError("a header field carries a line break or a NUL") from None
