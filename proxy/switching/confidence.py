"""Between which shares the true one lies, whenever and however often somebody looks.

Of `of` independent trials `failed` have failed. An interval for a fixed number of trials (Wilson,
Clopper-Pearson) is wrong for whoever looks every few seconds and acts at the first time that it is
on the wrong side of a bound: with each look there is one more chance to err. These intervals are a
**confidence sequence**: with a probability of at least 1 - error, the true share is in *all* of
them, for all numbers of trials at once, so that it does not matter when one stops.

They are those of Robbins' method of mixtures (H. Robbins, Statistical methods related to the law of
the iterated logarithm, 1970) with a Beta(1/2, 1/2) mixture: the ratio of the likelihood of what was
seen under the mixture to that under a share p is a martingale if p is the true share, and passes
1 / error at any time with a probability of at most `error` (Ville's inequality). What p it has not
passed makes the interval.

Errors can be shared out: over several figures, by adding them up, and over windows one after the
other (`spent`), so that all together is wrong with a probability of at most the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from math import lgamma, log, pi
from typing import Final, NamedTuple

_MIXTURE: Final = 0.5
"""Both parameters of the Beta distribution (Jeffreys' prior, Krichevsky and Trofimov's too)."""

_HALVINGS: Final = 60
"""Of the place of a bound: to the last digit of a float."""


class Interval(NamedTuple):
    """The shares that are not ruled out, from 0 to 1."""

    lower: float
    upper: float


ANYTHING: Final = Interval(0.0, 1.0)


def interval(failed: int, of: int, error: float) -> Interval:
    """The shares that what was seen does not rule out.

    Args:
        failed: trials that failed.
        of: all trials.
        error: the probability that the true share is ever outside, between 0 and 1.
    """
    if not of:
        return ANYTHING
    most = -log(error)
    mixed = _log_beta(failed + _MIXTURE, of - failed + _MIXTURE) - _log_beta(_MIXTURE, _MIXTURE)
    seen = failed / of

    def is_ruled_out(share: float) -> bool:
        return mixed - failed * log(share) - (of - failed) * log(1 - share) >= most

    # What was seen is never ruled out; the further from it, the more is.
    lower = _edge(0.0, seen, is_ruled_out) if failed else 0.0
    upper = _edge(1.0, seen, is_ruled_out) if failed < of else 1.0
    return Interval(lower, upper)


def spent(error: float, window: int) -> float:
    """The part of an error that one of endlessly many windows may have; together they have all.

    Args:
        error: the whole.
        window: 0 for the first.
    """
    return error * 6 / (pi * (window + 1)) ** 2


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _edge(outer: float, inner: float, is_ruled_out: Callable[[float], bool]) -> float:
    """Where between a share that is ruled out and one that is not the one becomes the other."""
    for _ in range(_HALVINGS):
        middle = (outer + inner) / 2
        if middle in (0.0, 1.0) or is_ruled_out(middle):
            outer = middle
        else:
            inner = middle
    return outer
