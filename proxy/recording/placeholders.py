"""Messages with placeholders in place of what people wrote: the shape stays, the content goes.

Text becomes text of the same shape (`Anna, 31` becomes `Xxxx, 00`), numbers keep their first
digit's place and their length, times and UUIDs stay what they are by form, so that a mapping can
still be tried on the result. What a message says survives only under the keys that are named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from proxy.mapping.json.objects import open_list, open_object

MAX_TEXT: Final = 256
"""The longest placeholder, in characters: that a text was longer is no part of its shape."""

MAX_KEPT: Final = 128
"""The longest text that is kept under a key that is named: longer ones are no dialect's words."""

_TOKEN: Final = re.compile(
    r"(?P<space>[ \t\n\r]++)"
    r'|(?P<key>"(?:[^"\\]++|\\.)*+")(?=[ \t\n\r]*+:)'
    r'|(?P<text>"(?:[^"\\]++|\\.)*+")'
    r"|(?P<number>-?[0-9][-+.0-9eE]*+)"
    r"|(?P<open>[{\[])"
    r"|(?P<close>[}\]])"
    r"|(?P<other>[,:]|true|false|null|NaN|-?Infinity)"
)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:([T ])[0-9]{2}:[0-9]{2}(:[0-9]{2})?(?:\.([0-9]{1,9}))?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
# What a program's author calls a field. Longer or stranger keys can be data: an address, a token.
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
# Three parts of base64url, the first of which begins as `{"` does (RFC 7515 section 7.1).
_JWT: Final = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*")


_NO_WORDS: Final[Mapping[str, frozenset[str | float]]] = MappingProxyType({})


def redacted(
    message: bytes,
    keep: frozenset[str],
    words: Mapping[str, frozenset[str | float]] = _NO_WORDS,
    *,
    lists: bool = False,
) -> str | None:
    """Put placeholders into a message.

    Args:
        message: a JSON object; anything else gives None, except a list where `lists` is true.
        keep: the keys, at any depth, whose text and numbers stay as they are, directly or in a
            list, unless they look like a token or are longer than `MAX_KEPT`.
        words: the texts and numbers that are kept under a key, beside those.
    """
    if open_object(message) is None and not (lists and open_list(message) is not None):
        return None
    written = message.decode()
    pieces: list[str] = []
    # For each open object and list: whether the value that comes is kept; and which ones are.
    kept = [False]
    known: list[frozenset[str | float]] = [frozenset()]
    # What is no token, if there were anything, would be left out, and not shown.
    for token in _TOKEN.finditer(written):
        text = token[0]
        match token.lastgroup:
            case "open":
                kept.append(text == "[" and kept[-1])
                known.append(known[-1] if text == "[" else frozenset())
            case "close":
                kept.pop()
                known.pop()
            case "key":
                name = json.loads(text)
                kept[-1] = name in keep
                known[-1] = words.get(name, frozenset())
                if name not in keep and name not in words and not _NAME.fullmatch(name):
                    text = json.dumps(_shape(name))
            case "text":
                text = _text(text, kept=kept[-1] or json.loads(text) in known[-1])
            case "number" if not (kept[-1] or _is_number_of(known[-1], text)):
                text = _number(text)
        pieces.append(text)
    return "".join(pieces)


def _is_number_of(words: frozenset[str | float], written: str) -> bool:
    try:
        return bool(words) and float(written) in words
    except ValueError:
        return False


def _text(written: str, *, kept: bool) -> str:
    text: str = json.loads(written)
    if kept and len(text) <= MAX_KEPT and not _JWT.search(text):
        return written
    if _UUID.fullmatch(text):
        return '"00000000-0000-4000-8000-000000000000"'
    time = _TIME.fullmatch(text)
    if time is not None:
        return f'"{_time(time)}"'
    return json.dumps(_shape(text[:MAX_TEXT]))


def _time(found: re.Match[str]) -> str:
    separator, seconds, fraction, zone = found.groups()
    if separator is None:
        return "2000-01-01"
    written = f"2000-01-01{separator}00:00" + (":00" if seconds else "")
    if fraction:
        written += "." + "0" * len(fraction)
    return written + re.sub("[0-9]", "0", zone or "").replace("-", "+")


def _number(written: str) -> str:
    """Zeros in place of the digits; a one in front where a number may not begin with a zero."""
    found = re.search("[eE]", written)
    split = len(written) if found is None else found.start()
    digits, exponent = written[:split], written[split:]
    shaped = re.sub("[0-9]", "0", digits)
    if re.match("-?[1-9]", digits):
        shaped = shaped.replace("0", "1", 1)
    return shaped + re.sub("[0-9]+", "1", exponent)


def _shape(text: str) -> str:
    return "".join(_placeholder(character) for character in text)


def _placeholder(character: str) -> str:
    if character.isdecimal():
        return "0"
    if character.isascii() and not character.isalpha():
        return character
    return "X" if character.isupper() else "x"
