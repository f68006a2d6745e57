"""The token in the body of a request: read for certain, or the request is refused.

Sessions are found by the token that is read here, and ended by what is found. So a body that a
server may read in another way than this does goes no further: what is not understood for certain
could be the token of a session that has ended. Everything that a client has a use for is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn
from urllib.parse import quote

from proxy.errors import ClientError, UnsupportedMediaType
from proxy.http.forms import parameters, parameters_of_either
from proxy.http.headers import RawFields, values_of
from proxy.tokens.bodies import FORM, JSON, form_name, with_token
from proxy.types import FieldPath

_NAME: Final = r"[A-Za-z0-9!#$&^_.+-]{1,127}+"
_PARAMETER: Final = rf'[ \t]*+;[ \t]*+(?:({_NAME})=({_NAME}|"[^"\\]{{0,127}}+"))?'
_MEDIA_TYPE: Final = re.compile(rf"({_NAME}/{_NAME})((?:{_PARAMETER})*)[ \t]*+")
_PARAMETERS: Final = re.compile(_PARAMETER)
"""A media type (RFC 9110 section 8.3.1) that can be read in one way only: without escapes in quoted
text, and without the parameters of RFC 8187, which some servers read and others do not."""

_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_UNTYPED: Final = frozenset({"", "text/plain"})
"""What scripts send that say nothing of the type; some servers read JSON then, some a form."""

_MAX_FORM: Final = 1000
"""Fields of a form, as many as Django reads."""

_JSON_BEGINS: Final = (b"{", b"[", b'"', b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe", b"\x00")
"""What a JSON text with a token in it begins with, in the encodings that Python tells apart, and no
form of a browser's does."""

_NONE: Final = "what stands in place of the token is none"
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_INDEX: Final = re.compile(r"\[[0-9]*\]$")
_NO_LETTERS: Final = re.compile(r"[\W_]+")


def read_token(body: bytes, path: FieldPath, fields: RawFields) -> str | None:
    """The token in a body; None where it holds none for certain, such as an empty one.

    White space around the token is taken off, as servers do.

    Args:
        body: of the request.
        path: of the token.
        fields: of the request.

    Raises:
        UnsupportedMediaType: it is no JSON or form in UTF-8, or does not say so clearly.
        ClientError: it is malformed, or holds what a server could take for a token or not.
    """
    if not body.strip():
        return None
    kind = _media_type(fields)
    if kind == FORM.decode():
        if body.lstrip().startswith(_JSON_BEGINS):
            # Frameworks that are asked for JSON read it, whatever the type says.
            raise ClientError("the body is JSON, and its Content-Type that of a form")
        return _checked(_in_form(body, path))
    token = _in_json(body, path)
    if kind in _UNTYPED and _in_form(body, path) is not None:
        raise ClientError("the body can be read in two ways: say in Content-Type what it is")
    return _checked(token)


def read_text(body: bytes, path: FieldPath) -> str | None:
    """The text in a JSON body as it is written there; None where there is none, or an empty one.

    Args:
        body: of a message.
        path: of the text.

    Raises:
        ClientError: it is malformed, or holds what a server could take for that text or not.
    """
    if not body.strip():
        return None
    found = _in_json(body, path)
    if found is None or (isinstance(found, str) and not found.strip()):
        return None
    if not isinstance(found, str):
        raise ClientError(_NONE)
    return found


def checked_token(text: str) -> str:
    """The token that a text is, without the white space around it.

    Raises:
        ClientError: it is none.
    """
    token = text.strip()
    if _TOKEN.fullmatch(token) is None:
        raise ClientError(_NONE)
    return token


def names_in(body: bytes, fields: RawFields) -> set[str]:
    """The names of the members, or of the fields, of a body that was read.

    Args:
        body: of the request.
        fields: of the request.
    """
    if not body.strip():
        return set()
    if _media_type(fields) == FORM.decode():
        return {name for name, _ in _pairs(body) if name}
    found = json.loads(body.decode())
    return set(found) if isinstance(found, dict) else set()


def with_current(
    body: bytes, path: FieldPath, token: str, fields: RawFields
) -> tuple[bytes, bytes]:
    """A body that was read, with another token in it; what else it holds stays.

    Args:
        body: of the request.
        path: of the token.
        token: what takes its place, or is put there.
        fields: of the request.

    Returns:
        Its `Content-Type`, the client's own if there was one, and the body.
    """
    kind = b"".join(values_of(fields, b"content-type")).strip()
    if not body.strip() or not kind:
        return JSON, with_token(body, path, token)
    if _media_type(fields) != FORM.decode():
        return kind, with_token(body, path, token)
    name = form_name(path)
    wanted = name.encode()
    kept = [each.written for each in parameters(body) if each.name != wanted]
    return kind, b"&".join([*kept, f"{quote(name)}={quote(token)}".encode()])


def is_in_query(target: bytes, path: FieldPath) -> bool:
    """Whether the query has something in place of the token in the body, as some servers read it.

    Args:
        target: of the request.
        path: of the token.
    """
    names = {_folded(form_name(path)), _folded(path[-1])}
    return any(
        _folded(name) in names and value.count(b".") == 2
        for name, value in _pairs(target.partition(b"?")[2])
    )


def _media_type(fields: RawFields) -> str:
    """The type of a body, in lower case; empty where none is given.

    Raises:
        UnsupportedMediaType: see `read_token`.
    """
    codings = b",".join(values_of(fields, b"content-encoding")).strip().lower()
    if codings not in (b"", b"identity"):
        raise UnsupportedMediaType("a token is sent without a content coding")
    given = values_of(fields, b"content-type")
    if len(given) > 1:
        raise UnsupportedMediaType("there are several Content-Type fields")
    written = b"".join(given).strip().decode("latin-1")
    if not written:
        return ""
    found = _MEDIA_TYPE.fullmatch(written)
    if found is None:
        raise UnsupportedMediaType("the Content-Type cannot be read for certain")
    kind = found[1].lower()
    charsets = [
        value.strip('"').lower()
        for name, value in _PARAMETERS.findall(found[2])
        if name.lower() == "charset"
    ]
    is_json = kind in ("application/json", "text/json") or (
        kind.startswith("application/") and kind.endswith("+json")
    )
    if len(charsets) > 1 or not _CHARSETS.issuperset(charsets):
        raise UnsupportedMediaType("a token is sent in UTF-8, and says so once")
    if not is_json and kind != FORM.decode() and kind not in _UNTYPED:
        raise UnsupportedMediaType("a token is sent as JSON, or as a form")
    return kind


def _in_json(body: bytes, path: FieldPath) -> Any:
    """What stands at the path of a JSON text; None where nothing does.

    Raises:
        ClientError: see `read_token`.
    """
    try:
        # Of bytes Python would guess the encoding, and take UTF-16.
        found = json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ClientError("the body is no JSON (RFC 8259) that can be read for certain") from None
    for key in path:
        if found is None:
            return None
        if not isinstance(found, dict):
            raise ClientError("the body is no JSON object with a token in it")
        alike = _folded(key)
        if any(each != key and _folded(each) == alike for each in found):
            raise ClientError(f"the body has a member that some servers take for `{key}`")
        found = found.get(key)
    return found


def _in_form(body: bytes, path: FieldPath) -> str | None:
    """The value of the field of a form that stands for a path; None where there is none.

    Raises:
        ClientError: see `read_token`.
    """
    name = form_name(path)
    alike = _folded(name)
    found = [(each, value) for each, value in _pairs(body) if _folded(each) == alike]
    if not found:
        return None
    if len(found) > 1 or found[0][0] != name or b";" in body:
        raise ClientError(f"the form has not exactly one field `{name}` for the token")
    return found[0][1].decode("latin-1")


def _pairs(form: bytes) -> Iterator[tuple[str, bytes]]:
    """The names and values of a form, or a query; some servers separate them by semicolons."""
    found = parameters_of_either(form)
    if len(found) > _MAX_FORM:
        raise ClientError("the form has too many fields")
    for each in found:
        yield each.name.decode("latin-1"), each.value


def _folded(name: str) -> str:
    """A name as the most forgiving server compares it.

    Some forget about case, some turn `refreshToken` into `refresh_token`, some dots and spaces into
    underscores, some take `refresh[0]` for a list of that name, and some read up to a NUL.
    """
    return _NO_LETTERS.sub("", _INDEX.sub("", name.partition("\0")[0])).casefold()


def _checked(token: Any) -> str | None:
    """A token without the white space around it; None where it is empty.

    Raises:
        ClientError: it is no text, or has other characters in it than tokens have.
    """
    if token is None or (isinstance(token, str) and not token.strip()):
        return None
    if not isinstance(token, str):
        raise ClientError(_NONE)
    return checked_token(token)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member occurs twice")
    return members


def _refuse(_: str) -> NoReturn:
    raise ValueError("no number of JSON's")
