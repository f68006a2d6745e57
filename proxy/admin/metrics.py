"""What is shown of the admin listener: whom it refused, and why."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

from proxy.observability.families import Families, counter


class Refusal(StrEnum):
    """Why a request to the admin listener was refused, or its connection given up."""

    NO_CREDENTIAL = "no_credential"
    WRONG_CREDENTIAL = "wrong_credential"
    AMBIGUOUS_CREDENTIAL = "ambiguous_credential"
    NO_ROLE = "no_role"
    TOO_LITTLE_ROLE = "too_little_role"
    BEYOND_LIMITS = "beyond_limits"
    HOST = "host"
    OTHER_SITE = "other_site"
    TOKEN_IN_URL = "token_in_url"  # noqa: S105 (a reason)
    MALFORMED = "malformed"
    TOO_SLOW = "too_slow"
    TOO_MANY = "too_many_connections"


def families(refused: Counter[Refusal]) -> Families:
    """Return what the metrics page shows of them."""
    return (
        counter(
            "segue_admin_refused",
            "Requests and connections that the admin listener refused, by reason: `no_credential`,"
            " `wrong_credential`, `ambiguous_credential` (several), `no_role` (who asks is known,"
            " and listed with none), `too_little_role`, `beyond_limits` (of a token),"
            " `host` (no name of this listener),"
            " `other_site` (a page of one has made it), `token_in_url`, `malformed` (not HTTP),"
            " `too_slow` (a head, a body or the taking of an answer took too long),"
            " `too_many_connections` (one that waited had to make way).",
            ("reason",),
            lambda: [((reason.value,), refused[reason]) for reason in Refusal],
        ),
    )
