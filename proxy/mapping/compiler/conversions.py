"""Operations on one value: other types, other formats of time, other words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Raw

from proxy.mapping.engine.compiled import Unable
from proxy.mapping.json.literals import encode, scalar
from proxy.mapping.json.objects import Object
from proxy.mapping.language import formats
from proxy.mapping.language.fields import FieldPath, render
from proxy.mapping.language.formats import TIMES, Format
from proxy.mapping.language.places import NULL, Change, below
from proxy.mapping.language.times import (
    Style,
    Untimely,
    read_epoch,
    read_iso,
    write_epoch,
    write_iso,
)

MAX_DIGITS: Final = 1_000
"""Characters of the longest number, and digits of the largest, that is converted."""

_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)")
_NUMBER: Final = re.compile(r"(-?)(0|[1-9][0-9]*+)(?:\.([0-9]++))?(?:[eE]([-+]?[0-9]++))?")

Conversion = Callable[[str], str]
"""From the JSON text of a value to that of another. Raises `ValueError` where it is neither."""


def convert(path: FieldPath, asked: formats.Conversion) -> Change:
    """Write a field's value in another way."""
    converter = conversion(asked)
    key = path[-1]

    def change(parent: Object) -> bool:
        value = parent.get(key)
        if value is None or value == NULL:
            return False
        before = bytes(value)
        try:
            after = converter(before.decode()).encode()
        except Untimely as untimely:
            raise Unable(f"convert: `{render(path)}`: {untimely}") from None
        except ValueError:
            raise Unable(f"convert: `{render(path)}` is no {asked.from_} for {asked.to}") from None
        if after == before:
            return False
        parent[key] = Raw(after)
        return True

    return below(path, change)


def conversion(asked: formats.Conversion) -> Conversion:
    """Choose the function that converts."""
    if asked.from_ in TIMES:
        return _time(asked.from_, asked.to, asked.style)
    return _TYPES[asked.from_, asked.to]


def _time(source: Format, target: Format, style: Style) -> Conversion:
    def convert_time(text: str) -> str:
        is_text = text[:1] == '"'
        if is_text and Format.ISO_8601 not in (source, target):
            raise ValueError
        if is_text:
            instant = read_iso(_text(text), style)
        else:
            # A number is what it is converted from, unless that is text.
            instant = read_epoch(text, _SCALES[target if source is Format.ISO_8601 else source])
        if is_text != (source is Format.ISO_8601):
            return text
        if target is Format.ISO_8601:
            return json.dumps(write_iso(instant, style))
        return write_epoch(instant, _SCALES[target], style)

    return convert_time


_SCALES: Final[Mapping[Format, int]] = {Format.EPOCH_SECONDS: 0, Format.EPOCH_MILLISECONDS: 3}


def _text(text: str) -> str:
    value: str = json.loads(text)
    return value


def _string_to_integer(text: str) -> str:
    return _integer(text if text[:1] != '"' else _text(text))


def _string_to_number(text: str) -> str:
    return _number(text if text[:1] != '"' else _text(text))


def _number_to_string(text: str) -> str:
    if text[:1] == '"':
        _number(_text(text))
        return text
    return f'"{_number(text)}"'


def _integer_to_string(text: str) -> str:
    if text[:1] == '"':
        _integer(_text(text))
        return text
    return f'"{_integer(text)}"'


def _integer(text: str) -> str:
    if len(text) > MAX_DIGITS or not _INTEGER.fullmatch(text):
        raise ValueError
    return text


def _number(text: str) -> str:
    if len(text) > MAX_DIGITS or not _NUMBER.fullmatch(text):
        raise ValueError
    return text


def _number_to_integer(text: str) -> str:
    """Write a number without fraction or exponent, digit by digit."""
    found = _NUMBER.fullmatch(text)
    if found is None or len(text) > MAX_DIGITS:
        raise ValueError
    sign, whole, fraction, exponent = found.groups(default="")
    if len(exponent) > 6:
        raise ValueError
    digits, shift = whole + fraction, int(exponent or 0) - len(fraction)
    if shift >= 0:
        if len(digits) + shift > MAX_DIGITS and digits.strip("0"):
            raise ValueError
        digits += "0" * min(shift, MAX_DIGITS)
    else:
        kept, cut = digits[:shift], digits[shift:]
        if cut.strip("0"):
            raise ValueError
        digits = kept
    return sign + (digits.lstrip("0") or "0")


def _choice(*pairs: tuple[str, str]) -> Conversion:
    table = dict(pairs)

    def choose(text: str) -> str:
        # A string can be spelled with escapes.
        plain = json.dumps(json.loads(text)) if text[:1] == '"' else text
        if plain in table:
            return table[plain]
        if plain in table.values():
            return text
        raise ValueError

    return choose


def _integer_to_number(text: str) -> str:
    return _number(text)


_TYPES: Final[Mapping[tuple[Format, Format], Conversion]] = {
    (Format.STRING, Format.INTEGER): _string_to_integer,
    (Format.INTEGER, Format.STRING): _integer_to_string,
    (Format.STRING, Format.NUMBER): _string_to_number,
    (Format.NUMBER, Format.STRING): _number_to_string,
    (Format.STRING, Format.BOOLEAN): _choice(('"true"', "true"), ('"false"', "false")),
    (Format.BOOLEAN, Format.STRING): _choice(("true", '"true"'), ("false", '"false"')),
    (Format.INTEGER, Format.NUMBER): _integer_to_number,
    (Format.NUMBER, Format.INTEGER): _number_to_integer,
    (Format.INTEGER, Format.BOOLEAN): _choice(("1", "true"), ("0", "false")),
    (Format.BOOLEAN, Format.INTEGER): _choice(("true", "1"), ("false", "0")),
}


def translate(asked: formats.Translation) -> Change:
    """Replace a field's value by a table."""
    path, key = asked.field, asked.field[-1]
    table = {scalar(encode(before)): Raw(encode(after)) for before, after in asked.table}
    given = frozenset(scalar(bytes(after)) for after in table.values())
    default = Raw(encode(asked.default)) if asked.has_default else None

    def change(parent: Object) -> bool:
        value = parent.get(key)
        if value is None:
            return False
        found = scalar(bytes(value))
        after = table.get(found)
        if after is None:
            if found in given:
                return False
            after = default
        if after is None:
            if asked.otherwise == "keep":
                return False
            raise Unable(f"translate: the value of `{render(path)}` is not in the table")
        if after == value:
            return False
        parent[key] = after
        return True

    return below(path, change)
