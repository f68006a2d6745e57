"""The section `audit`: the files in the state directory that say who has done what."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from proxy.configuration.fields import KIB, MIB, Count, Section, Size


class AuditSettings(Section):
    """Who has done what, as lines in the state directory that cannot be altered unseen.

    Attributes:
        max_size: of a file, after which the next one is begun.
        keep: how many full files are kept beside it; the oldest is removed for a new one.
    """

    max_size: Annotated[Size, Field(ge=64 * KIB, le=1024 * MIB)] = 16 * MIB
    keep: Annotated[Count, Field(ge=1, le=10_000)] = 16
