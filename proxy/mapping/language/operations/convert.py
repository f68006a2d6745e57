"""`convert`: write values in another way, as another type or another format of time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Final

import pydantic
from msgspec import Raw
from pydantic import Field, StrictBool

from proxy.mapping.engine.compiled import Transform, Unable
from proxy.mapping.json.objects import Object
from proxy.mapping.language.fields import FieldKey, FieldPath, MappingSection, render
from proxy.mapping.language.operation import Operation
from proxy.mapping.language.places import NULL, Change, below, in_place
from proxy.mapping.language.symbolic import SymbolicState
from proxy.mapping.language.times import (
    MAX_DIGITS,
    Style,
    Untimely,
    read_epoch,
    read_iso,
    read_offset,
    write_epoch,
    write_iso,
)

MAX_NUMBER: Final = 1_000
"""Characters of the longest number, and digits of the largest, that is converted."""

_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)")
_NUMBER: Final = re.compile(r"(-?)(0|[1-9][0-9]*+)(?:\.([0-9]++))?(?:[eE]([-+]?[0-9]++))?")


class Format(StrEnum):
    """How a value can be written."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ISO_8601 = "iso_8601"
    EPOCH_SECONDS = "epoch_seconds"
    EPOCH_MILLISECONDS = "epoch_milliseconds"


TIMES: Final = (Format.ISO_8601, Format.EPOCH_SECONDS, Format.EPOCH_MILLISECONDS)


def _read_offset(written: str) -> str:
    read_offset(written)
    return written


class Conversion(MappingSection):
    """From one way to write a value to another; a value that is written so already stays.

    Types: `string` with `integer`, `number` and `boolean`, `integer` with `number` and `boolean`
    (1 and 0), both ways, digit by digit: nothing is rounded. Fails for a value that is neither.

    Times: `iso_8601`, `epoch_seconds`, `epoch_milliseconds`, both ways, exactly.
    """

    from_: Format = Field(alias="from")
    to: Format
    digits: Annotated[int, Field(ge=0, le=MAX_DIGITS)] | None = Field(
        default=None,
        description=(
            "For times: how many digits of a fraction of a second the result has; zeros are added,"
            " and a time that has more digits fails, or is cut. As many as there are, if not given."
        ),
    )
    cut: StrictBool = Field(
        default=False, description="For times: cut what is beyond `digits` off, towards the past."
    )
    offset: Annotated[str, pydantic.AfterValidator(_read_offset)] | None = Field(
        default=None,
        description=(
            "For times: the offset from UTC (`Z`, `+02:00`) in which ISO 8601 is written, and which"
            " is assumed where a text gives none; otherwise `Z` is written and such a text fails."
        ),
    )

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Conversion:
        pair = (self.from_, self.to)
        if set(pair) <= set(TIMES):
            if self.from_ is self.to and self.to is not Format.ISO_8601:
                raise ValueError("`from` and `to` are the same")
            if self.cut and self.digits is None:
                raise ValueError("`cut` needs `digits`")
        elif pair not in _TYPES:
            raise ValueError(f"there is no conversion from {self.from_} to {self.to}")
        elif self.digits is not None or self.offset is not None or self.cut:
            raise ValueError("`digits`, `cut` and `offset` are for times")
        return self

    @property
    def style(self) -> Style:
        """How times are written."""
        return Style(self.digits, self.cut, self.offset)


class Convert(Operation):
    """Write the values of fields in another way: another type, another format of time."""

    convert: Annotated[dict[FieldKey, Conversion], Field(min_length=1)]

    def touches(self) -> list[FieldPath]:
        return list(self.convert)

    def transform(self) -> Transform:
        return in_place([_convert(path, asked) for path, asked in self.convert.items()])

    def walk(self, state: SymbolicState) -> None:
        for path, asked in self.convert.items():
            spelled = asked.from_ is Format.ISO_8601 and None in (asked.digits, asked.offset)
            if asked.cut or spelled or asked.from_ is asked.to:
                state.lose("convert", path)
            back: dict[str, object] = {"from": asked.to, "to": asked.from_}
            if asked.from_ in TIMES:
                back |= {"digits": asked.digits, "offset": asked.offset}
            state.back.append({"convert": {path: back}})
            state.weaken(path)


def _kind(value: bytes) -> str:
    """What a JSON value is, without a word of it."""
    kinds = {b'"': "string", b"{": "object", b"[": "list", b"t": "boolean", b"f": "boolean"}
    return kinds.get(value[:1], "number")


def _wanted(asked: Conversion) -> Format:
    """What a value has to say, whichever of the two ways it is written."""
    pair = (asked.from_, asked.to)
    if Format.BOOLEAN in pair:
        return Format.BOOLEAN
    return asked.to if Format.STRING is asked.from_ or pair[1] is Format.INTEGER else asked.from_


Converter = Callable[[str], str]
"""From the JSON text of a value to that of another. Raises `ValueError` where it is neither."""


def _convert(path: FieldPath, asked: Conversion) -> Change:
    converter = _converter(asked)
    key = path[-1]

    def change(parent: Object) -> bool:
        value = parent.get(key)
        if value is None or value == NULL:
            return False
        before = bytes(value)
        try:
            after = converter(before.decode()).encode()
        except Untimely as untimely:
            raise Unable(f"convert: `{render(path)}`: {untimely}", "convert", path) from None
        except ValueError:
            long = len(before) > MAX_NUMBER
            fault = f"is longer than {MAX_NUMBER:,} digits" if long else f"is no {_wanted(asked)}"
            told = f"convert: `{render(path)}`: this {_kind(before)} {fault}"
            told += f" (from {asked.from_} to {asked.to})"
            raise Unable(told, "convert", path) from None
        if after == before:
            return False
        parent[key] = Raw(after)
        return True

    return below(path, change)


def _converter(asked: Conversion) -> Converter:
    if asked.from_ in TIMES:
        return _time(asked.from_, asked.to, asked.style)
    return _TYPES[asked.from_, asked.to]


def _time(source: Format, target: Format, style: Style) -> Converter:
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
    if len(text) > MAX_NUMBER or not _INTEGER.fullmatch(text):
        raise ValueError
    return text


def _number(text: str) -> str:
    if len(text) > MAX_NUMBER or not _NUMBER.fullmatch(text):
        raise ValueError
    return text


def _number_to_integer(text: str) -> str:
    """Write a number without fraction or exponent, digit by digit."""
    found = _NUMBER.fullmatch(text)
    if found is None or len(text) > MAX_NUMBER:
        raise ValueError
    sign, whole, fraction, exponent = found.groups(default="")
    if len(exponent) > 6:
        raise ValueError
    digits, shift = whole + fraction, int(exponent or 0) - len(fraction)
    if shift >= 0:
        if len(digits) + shift > MAX_NUMBER and digits.strip("0"):
            raise ValueError
        digits += "0" * min(shift, MAX_NUMBER)
    else:
        kept, cut = digits[:shift], digits[shift:]
        if cut.strip("0"):
            raise ValueError
        digits = kept
    return sign + (digits.lstrip("0") or "0")


def _choice(*pairs: tuple[str, str]) -> Converter:
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


_TYPES: Final[Mapping[tuple[Format, Format], Converter]] = {
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
