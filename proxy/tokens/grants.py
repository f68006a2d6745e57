"""A path for logins and refreshes both: what says a request that is for tokens that it is?

With a refresh token in its body it is a refresh. A browser sends the one in a cookie along with all
that it asks for, also with a login: then the rest of the body says what it is.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from proxy.http.headers import RawFields
from proxy.tokens.request_bodies import names_in, read_token
from proxy.types import FieldPath

_GRANT_TYPE: Final[FieldPath] = ("grant_type",)
_REFRESH: Final = "refresh_token"
"""Of RFC 6749 section 6."""


def asks_for_refresh(body: bytes, own: Collection[str], fields: RawFields) -> bool:
    """Whether a request without a refresh token in its body is a refresh, and no login.

    `grant_type` decides; without it, a body that says nothing is one of a refresh.

    Args:
        body: of the request, which has been read for a token.
        own: the names of what stands in a refresh.
        fields: of the request.

    Raises:
        ClientError: `grant_type` is there in a way that servers read differently.
    """
    granted = read_token(body, _GRANT_TYPE, fields)
    if granted is not None:
        return granted == _REFRESH
    return names_in(body, fields) <= {*own, *_GRANT_TYPE}
