"""What an operator can set, each option once: its default, its environment variable, its flag.

The environment is the only way in: the command line writes its flags there, and `settings` reads
the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from demo.backend.frames import Dialect

PREFIX: Final = "SEGUE_DEMO_"
_LONGEST_SECONDS: Final = 10 * 365 * 86_400
_LARGEST_PRD: Final = 16 * 1024 * 1024
_SHORTEST_KEY: Final = 32
_SWITCH: Final = {"on": True, "1": True, "true": True, "off": False, "0": False, "false": False}


def _switch(text: str) -> bool:
    try:
        return _SWITCH[text.lower()]
    except KeyError:
        raise ValueError("expected on or off") from None


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= _LONGEST_SECONDS:
        raise ValueError(f"expected seconds, from 0 to {_LONGEST_SECONDS}")
    return value


def _prd_size(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value <= _LARGEST_PRD:
        raise ValueError(f"expected a number of characters, from 0 to {_LARGEST_PRD}")
    return value


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def _dialect(text: str) -> Dialect:
    try:
        return Dialect(text)
    except ValueError:
        raise ValueError("expected old or new") from None


def _key(text: str) -> str:
    # HS256 wants a key no shorter than its hash (RFC 7518 section 3.2).
    if text and len(text) < _SHORTEST_KEY:
        raise ValueError(f"expected at least {_SHORTEST_KEY} characters")
    return text


def _option(
    default: str, parse: Callable[[str], object], explanation: str, *, flag: bool = True
) -> dict[str, Any]:
    return {"default": default, "parse": parse, "help": explanation, "flag": flag}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything that can be set, parsed."""

    state_dir: Path = field(
        metadata=_option(".demo", Path, "directory of the database and the signing key")
    )
    dialect: Dialect = field(
        metadata=_option("old", _dialect, "kinds of frames that are sent: old or new")
    )
    access_lifetime: float = field(
        metadata=_option("3600", _seconds, "life of an access token, seconds")
    )
    refresh_lifetime: float = field(
        metadata=_option("86400", _seconds, "life of a refresh token, seconds")
    )
    rotation: bool = field(
        metadata=_option(
            "on", _switch, "whether a refresh gives a new refresh token and blacklists the old one"
        )
    )
    allow_job_purge: bool = field(
        metadata=_option("off", _switch, "whether DELETE /api/jobs/purge/ is allowed")
    )
    script_delay: float = field(
        metadata=_option("0.4", _seconds, "pause before each frame of a job, seconds")
    )
    prd_size: int = field(metadata=_option("6144", _prd_size, "characters of a job's PRD"))
    allowed_hosts: tuple[str, ...] = field(
        metadata=_option(
            "localhost,127.0.0.1,[::1]", _names, "values of Host that are answered; * for any"
        )
    )
    cors_origins: tuple[str, ...] = field(
        metadata=_option("http://localhost:3000", _names, "origins that browsers may call from")
    )
    secret_key: str = field(
        repr=False,
        metadata=_option(
            "",
            _key,
            "key that signs the tokens; empty: one kept in the state directory",
            flag=False,
        ),
    )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Options:
        """Reads and checks every option.

        Raises:
            ValueError: names the variable and what was expected, never the value.
        """
        values = {}
        for declared in fields(cls):
            name = variable(declared.name)
            text = environ.get(name, declared.metadata["default"])
            try:
                values[declared.name] = declared.metadata["parse"](text)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return cls(**values)


def variable(option: str) -> str:
    """The environment variable of an option."""
    return PREFIX + option.upper()
