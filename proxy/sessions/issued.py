"""The tokens that the server has issued, as they are kept: sealed, with their times."""

from __future__ import annotations

from proxy.sessions.record import Record
from proxy.sessions.rules import Tokens
from proxy.tokens import jwt
from proxy.tokens.bodies import Pair
from proxy.tokens.jwt import Validity
from proxy.tokens.sealing import Sealer


def sealed(
    sealer: Sealer,
    pair: Pair,
    now: float,
    exchanged: str | None = None,
    record: Record | None = None,
) -> Tokens | None:
    """The tokens of the server's answer as they are kept; None where they cannot be read.

    Args:
        sealer: seals them.
        pair: what the server issued.
        now: when the answer came.
        exchanged: the refresh token that it was issued for, which stays where there is no new
            one; None where it was a login.
        record: what was known of its session; None for a token of none.
    """
    refresh = pair.refresh if pair.refresh is not None else exchanged
    if refresh is None:
        return None
    access_claims, refresh_claims = jwt.read(pair.access), jwt.read(refresh)
    if access_claims is None or refresh_claims is None:
        return None
    kept = refresh == exchanged
    before = None if exchanged is None else jwt.read(exchanged)
    issued = [access_claims] if kept else [access_claims, refresh_claims]
    skew = jwt.clock_skew(issued, now, before)
    if skew is None:
        skew = 0.0
        if record is not None and before is not None:
            skew = record.refresh_expires - before.exp  # The clocks differ as they did.
    return Tokens(
        sealer.seal(pair.access),
        sealer.seal(refresh),
        Validity(now, access_claims.exp + skew),
        record.refresh_expires if kept and record is not None else refresh_claims.exp + skew,
    )
