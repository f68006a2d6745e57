"""The types of single keys of the configuration: how they are written, and what they become.

`proxy.configuration.sections` puts them together to sections.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    model_validator,
)

from proxy.configuration import units
from proxy.configuration.document import WrittenText, as_written
from proxy.configuration.field_paths import read_path
from proxy.configuration.units import Address, Network
from proxy.freshness.resources import check_named_pattern
from proxy.http.responses import PASSING
from proxy.http.routing import check_pattern
from proxy.tokens.sealing import read_key
from proxy.tokens.secret_paths import check_secret_path
from proxy.types import FieldPath, check_label
from proxy.versions.sources import SOURCES, VersionSource
from proxy.versions.version import Range, Version, parse_range

WEEK: Final = 7 * 86400
KIB: Final = 1024
MIB: Final = 1024**2
_MAX_KEYS: Final = 16
_MAX_FIELDS: Final = 16


def _source(value: object) -> VersionSource:
    if value not in SOURCES:
        raise ValueError(f"expected one of {', '.join(SOURCES)}")
    return VersionSource(str(value))


def _each_once(sources: tuple[VersionSource, ...]) -> tuple[VersionSource, ...]:
    if len(set(sources)) < len(sources):
        raise ValueError("a source is listed twice")
    return sources


def _version(value: object) -> Version:
    written = as_written(value)
    version = Version.parse(written) if isinstance(written, str) else None
    if version is None:
        raise ValueError('expected a version such as "2.1.0"')
    return version


def _range(value: object) -> Range:
    written = as_written(value)
    if not isinstance(written, str):
        raise ValueError('expected a range such as ">=2,<3"')
    return parse_range(written)


def _token(value: str) -> str:
    # The `token` of RFC 9110 section 5.6.2: field names, subprotocols and cookie names.
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", value):
        raise ValueError("expected letters, digits, hyphens and the like, without spaces")
    return value


def _parameter(value: str) -> str:
    # Unreserved characters (RFC 3986 section 2.3), which no client has to encode.
    if not re.fullmatch(r"[A-Za-z0-9._~-]{1,128}", value):
        raise ValueError("expected letters, digits, `_`, `.`, `-`, `~`")
    return value


def _exact_path(value: str) -> str:
    if not re.fullmatch(r"/[!\"$-~]{0,1023}", value) or "?" in value:
        raise ValueError("expected a path as in the request line, without a query")
    return value


def _method(value: str) -> str:
    if not re.fullmatch(r"[A-Z]{1,20}", value):
        raise ValueError("expected a method in capitals, such as GET")
    return value


def _request_target(value: str) -> str:
    # The `origin-form` of RFC 9112 section 3.2.1, without being strict about what servers take.
    if not re.fullmatch(r"/[!\"$-~]{0,1023}", value):
        raise ValueError('expected a path such as "/healthz", without spaces, at most 1024 long')
    return value


def _refusal_status(value: int) -> int:
    if not 400 <= value <= 499 or value in PASSING:
        raise ValueError("expected a 4xx but 408, 425 and 429: a server in trouble ends no login")
    return value


def _authority(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:\[\]-]{1,255}", value):
        raise ValueError('expected a host, with a port or without, such as "app.example.com"')
    return value


def _listed(value: object) -> object:
    # One text with spaces or lines between them: how a variable, or a file with secrets, has them.
    return value.split() if isinstance(value, str) else value


def _not_too_many(keys: tuple[str, ...]) -> tuple[str, ...]:
    # Each costs every look-up a hash.
    if len(keys) > _MAX_KEYS:
        raise ValueError(f"expected at most {_MAX_KEYS} keys; remove the oldest")
    return keys


def _naming_fields(value: object) -> tuple[tuple[FieldPath, str], ...]:
    if not isinstance(value, dict) or not value or len(value) > _MAX_FIELDS:
        raise ValueError(
            "expected fields of messages, each with the name of a placeholder: {jobId: id}"
        )
    names = [as_written(name) for name in value.values()]
    if not all(isinstance(name, str) for name in names):
        raise ValueError("expected the name of a placeholder behind each field")
    return tuple((read_path(key), str(name)) for key, name in zip(value, names, strict=True))


# The input types are for the JSON Schema: what may be written, where that is not what is held.
Seconds = Annotated[float, BeforeValidator(units.duration, json_schema_input_type=str | float)]
Duration = Annotated[Seconds, Field(gt=0, le=WEEK)]
Size = Annotated[int, BeforeValidator(units.size, json_schema_input_type=str | int)]
Count = Annotated[int, BeforeValidator(units.whole_number)]
ListenAddress = Annotated[Address, PlainValidator(units.address, json_schema_input_type=str)]
ListedNetwork = Annotated[Network, PlainValidator(units.network, json_schema_input_type=str)]
Url = Annotated[str, PlainValidator(units.upstream_url, json_schema_input_type=str)]
StoreUrl = Annotated[str, PlainValidator(units.store_url, json_schema_input_type=str)]
SealingKeys = Annotated[
    tuple[Annotated[str, AfterValidator(read_key)], ...],
    BeforeValidator(_listed, json_schema_input_type=str | list[str]),
    AfterValidator(_not_too_many),
]
Origin = Annotated[str, PlainValidator(units.origin, json_schema_input_type=str)]
RequestTarget = Annotated[WrittenText, AfterValidator(_request_target)]
Authority = Annotated[WrittenText, AfterValidator(_authority)]
Status = Annotated[Count, Field(ge=200, le=599)]
RefusalStatus = Annotated[Count, AfterValidator(_refusal_status)]
LostServerCode = Annotated[
    Literal[1001, 1011, 1012, 1013, 1014], BeforeValidator(units.whole_number)
]
Token = Annotated[WrittenText, AfterValidator(_token)]
Parameter = Annotated[WrittenText, AfterValidator(_parameter)]
Method = Annotated[str, AfterValidator(_method)]
Label = Annotated[WrittenText, AfterValidator(check_label)]
SecretPath = Annotated[WrittenText, AfterValidator(check_secret_path)]
PathPattern = Annotated[WrittenText, AfterValidator(check_pattern)]
NamedPath = Annotated[WrittenText, AfterValidator(check_named_pattern)]
NamingFields = Annotated[
    tuple[tuple[FieldPath, str], ...],
    PlainValidator(_naming_fields, json_schema_input_type=dict[str, str]),
]
ClientVersion = Annotated[Version, PlainValidator(_version, json_schema_input_type=str | float)]
ExactPath = Annotated[WrittenText, AfterValidator(_exact_path)]
VersionRange = Annotated[Range, PlainValidator(_range, json_schema_input_type=str)]
Sources = Annotated[
    tuple[
        Annotated[VersionSource, PlainValidator(_source, json_schema_input_type=Literal[SOURCES])],
        ...,
    ],
    AfterValidator(_each_once),
]
FileName = Annotated[str, Field(min_length=1, max_length=4096)]
Names = tuple[Annotated[WrittenText, Field(min_length=1, max_length=64)], ...]


class Section(BaseModel):
    """What all sections have in common: they do not change, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_empty(cls, value: object) -> object:
        # A section whose keys are all commented out is null in YAML.
        return {} if value is None else value
