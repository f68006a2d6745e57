"""Guards: what is measured of a switch, within which bounds, and what comes of it.

Figures and time are passed in; nothing here counts, keeps or asks. Every figure is a share: of the
messages that failed, of the messages of a kind that nobody has decided about, of the WebSockets
that a side closed for a protocol error, of the requests to which Segue added more than the bound
(the 99th percentile is above the bound exactly if more than 1 % of them are), of the requests that
ended with an error. What is said of a share is said by a confidence sequence (`confidence`): a
guard looks every few seconds, and the bounds hold for all looks together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from proxy.switching.confidence import Interval, interval, spent
from proxy.switching.setting import OFF, ON, Mode, Setting

LADDER: Final = (
    Setting(Mode.SHADOW),
    Setting(Mode.CANARY, 100),
    Setting(Mode.CANARY, 1000),
    Setting(Mode.CANARY, 5000),
    ON,
)
"""The states that a switch goes through, where no ramp of its own says others."""

PASS_ERROR: Final = 0.05
"""Of a pass: with how much it may be wrong that a share is within its bound. To go on wrongly costs
one step, in which the guard goes on judging."""

FEWEST: Final = 20
"""WebSockets or requests without which nothing is said of them."""

_SLOWEST: Final = 0.01
"""The share of the requests that are above the 99th percentile."""


class GuardMode(StrEnum):
    """What a guard does."""

    ENFORCE = "enforce"
    """It takes a switch that fails one state back."""
    OBSERVE = "observe"
    """It says what it would have done, and does nothing."""
    OFF = "off"
    """Nothing is judged."""


class Outcome(StrEnum):
    """What a guard says of a switch."""

    PASS = "pass"  # noqa: S105 (no password)
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    """There is too little to say either: what is there stays, and a ramp holds."""


class Figure(StrEnum):
    """What is measured."""

    FAILED = "failed"
    UNMAPPED = "unmapped"
    PROTOCOL_CLOSES = "protocol_closes"
    ADDED_LATENCY = "added_latency"
    HTTP_ERRORS = "http_errors"


WHAT: Final = {
    Figure.FAILED: "failed messages",
    Figure.UNMAPPED: "messages of unknown kinds",
    Figure.PROTOCOL_CLOSES: "WebSockets closed for a protocol error",
    Figure.ADDED_LATENCY: "requests slower than the bound",
    Figure.HTTP_ERRORS: "HTTP errors",
}
"""What each figure is a share of, in words."""

_OF_MESSAGES: Final = (Figure.FAILED, Figure.UNMAPPED)


@dataclass(frozen=True, slots=True)
class GuardRules:
    """The bounds of one switch.

    Attributes:
        mode: what the guard does.
        window: seconds after which the samples begin anew.
        error: the probability that a switch which is within all its bounds is ever taken back
            while one revision of it is in force; 0.001 is a confidence of 99.9 %.
        min_messages: messages without which nothing is said.
        min_users: users of a canary without which nothing is said.
        failed, unmapped, protocol_closes: the largest share, from 0 to 1; None: not watched.
        added_latency: the largest 99th percentile, in seconds; None: not watched.
        http_errors: by how much the share of the canary may be above that of all other users of
            the cohort, from 0 to 1; None: not watched.
    """

    mode: GuardMode = GuardMode.ENFORCE
    window: float = 3600.0
    error: float = 0.001
    min_messages: int = 200
    min_users: int = 10
    failed: float | None = 0.01
    unmapped: float | None = 0.05
    protocol_closes: float | None = 0.05
    added_latency: float | None = 0.25
    http_errors: float | None = None

    @property
    def watched(self) -> tuple[Figure, ...]:
        """The figures that have a bound."""
        return tuple(each for each in Figure if getattr(self, each) is not None)


class Figures(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was counted in a window; they can be added up over processes.

    Attributes:
        messages: that were offered to the mapping; in shadow, that were compared.
        failed, unmapped: of these.
        sockets: WebSockets with the mapping that have ended.
        closed: of these, those that a side closed for a protocol error.
        requests: of clients to whom the mapping is applied, handshakes among them.
        slow: of these, those to which Segue added more than the bound.
        errors: of these, those that ended with an error.
        others, other_errors: the same of clients of the cohort who are not in the canary.
    """

    messages: int = 0
    failed: int = 0
    unmapped: int = 0
    sockets: int = 0
    closed: int = 0
    requests: int = 0
    slow: int = 0
    errors: int = 0
    others: int = 0
    other_errors: int = 0

    def __add__(self, other: Figures) -> Figures:
        return Figures(*map(sum, zip(_values(self), _values(other), strict=True)))

    def __sub__(self, other: Figures) -> Figures:
        """What came since; what was forgotten meanwhile counts as nothing."""
        pairs = zip(_values(self), _values(other), strict=True)
        return Figures(*(max(now - before, 0) for now, before in pairs))


def _values(figures: Figures) -> tuple[int, ...]:
    return msgspec.structs.astuple(figures)


NO_FIGURES: Final = Figures()


class Samples(NamedTuple):
    """What is known of a switch since its newest revision.

    Attributes:
        window: the number of the window, 0 for the first.
        now: what was counted in it.
        before: what was counted in the one before; nothing where there was none.
        users: about how many users the mapping was applied to, since the revision; None where that
            is not asked: in `shadow` nobody is sent anything else, and `on` is everybody.
    """

    window: int = 0
    now: Figures = NO_FIGURES
    before: Figures = NO_FIGURES
    users: int | None = None


class Finding(msgspec.Struct, frozen=True):
    """What is said of one figure.

    Attributes:
        figure: which.
        outcome: what is said.
        value: the share that was seen; None where there is nothing to take a share of.
        lower, upper: between which it is, with the confidence that a failure needs.
        bound: what it may be at most; of HTTP errors, that share of all other users and the margin.
        failed, of: the sample.
        limit: the bound as it was set: of the latency in seconds.
    """

    figure: Figure
    outcome: Outcome
    value: float | None
    lower: float
    upper: float
    bound: float
    failed: int
    of: int
    limit: float

    def __str__(self) -> str:
        what = WHAT[self.figure]
        if self.value is None:
            return f"{what}: none seen"
        bound = f"bound {_percent(self.bound)}"
        if self.figure is Figure.ADDED_LATENCY:
            bound += f", {self.limit * 1000:g} ms"
        return (
            f"{what}: {_percent(self.value)} ({self.failed} of {self.of};"
            f" {_percent(self.lower)} to {_percent(self.upper)}), {bound}"
        )


class Verdict(msgspec.Struct, frozen=True):
    """What a guard says of a switch.

    Attributes:
        outcome: on the whole.
        findings: of each figure, in this window.
        missing: what keeps it from being a pass, in words; empty for a pass.
        messages: in this window.
        users: see `Samples`.
        window: its number.
    """

    outcome: Outcome
    findings: tuple[Finding, ...]
    missing: tuple[str, ...]
    messages: int
    users: int | None
    window: int

    @property
    def failure(self) -> Finding | None:
        """The figure that fails; of several the first."""
        return next((each for each in self.findings if each.outcome is Outcome.FAIL), None)


def judge(rules: GuardRules, samples: Samples) -> Verdict:
    """Say what the figures of a switch come to.

    What fails in this window or in the one before fails. What passes has to pass in this window;
    while there is too little in it for that, what was said of the one before stands.
    """
    now = _judged(rules, samples, samples.now, samples.window)
    if now.outcome is Outcome.FAIL or not (samples.window and samples.before.messages):
        return now
    before = _judged(rules, samples, samples.before, samples.window - 1)
    if before.outcome is Outcome.FAIL:
        return before
    has_doubts = any(_is_doubtful(each) for each in now.findings)
    if now.outcome is Outcome.INCONCLUSIVE and not has_doubts:
        return before
    return now


def _judged(rules: GuardRules, samples: Samples, figures: Figures, window: int) -> Verdict:
    watched = rules.watched
    error = spent(rules.error, window) / max(len(watched), 1)
    missing, enough = [], True
    for count, least, what in (
        (figures.messages, rules.min_messages, "messages"),
        (samples.users, rules.min_users, "users"),
    ):
        if count is not None and count < least:
            missing.append(f"{count:,} of {least:,} {what}")
            enough = False
    findings = tuple(_found(rules, each, figures, error, enough=enough) for each in watched)
    missing += [str(each) for each in findings if _holds(each, enough=enough)]
    outcome = Outcome.INCONCLUSIVE if missing else Outcome.PASS
    if any(each.outcome is Outcome.FAIL for each in findings):
        outcome = Outcome.FAIL
    return Verdict(outcome, findings, tuple(missing), figures.messages, samples.users, window)


def _holds(finding: Finding, *, enough: bool) -> bool:
    """Whether a figure keeps the whole from passing.

    WebSockets may last for hours, and requests be few: these do not hold a ramp as long as what was
    seen of them is within the bound.
    """
    if finding.outcome is not Outcome.INCONCLUSIVE:
        return finding.outcome is Outcome.FAIL
    if finding.figure in _OF_MESSAGES:
        return enough
    return _is_doubtful(finding)


def _is_doubtful(finding: Finding) -> bool:
    return finding.value is not None and finding.value > finding.bound


def _found(
    rules: GuardRules, figure: Figure, figures: Figures, error: float, *, enough: bool
) -> Finding:
    failed, of = _sample(figure, figures)
    limit = float(getattr(rules, figure))
    bound, is_known = limit, True
    least = rules.min_messages if figure in _OF_MESSAGES else FEWEST
    if figure is Figure.ADDED_LATENCY:
        bound = _SLOWEST
    elif figure is Figure.HTTP_ERRORS:
        # Both may err: each has half of the error.
        error /= 2
        count = min(figures.other_errors, figures.others)
        others = interval(count, figures.others, error)
        bound = min(others.upper + limit, 1.0)
        is_known = figures.others >= FEWEST
    seen = interval(failed, of, error)
    outcome = Outcome.INCONCLUSIVE
    if enough and is_known and of >= least:
        if seen.lower > bound:
            outcome = Outcome.FAIL
        elif _passes(interval(failed, of, PASS_ERROR), bound):
            outcome = Outcome.PASS
    value = failed / of if of else None
    return Finding(figure, outcome, value, seen.lower, seen.upper, bound, failed, of, limit)


def _passes(seen: Interval, bound: float) -> bool:
    return seen.upper <= bound


def _sample(figure: Figure, figures: Figures) -> tuple[int, int]:
    failed, of = {
        Figure.FAILED: (figures.failed, figures.messages),
        Figure.UNMAPPED: (figures.unmapped, figures.messages),
        Figure.PROTOCOL_CLOSES: (figures.closed, figures.sockets),
        Figure.ADDED_LATENCY: (figures.slow, figures.requests),
        Figure.HTTP_ERRORS: (figures.errors, figures.requests),
    }[figure]
    # Counters of one process are read one after the other.
    return min(failed, of), of


def step_back(setting: Setting, ladder: tuple[Setting, ...] = LADDER) -> Setting:
    """The state before one: of those of a ladder the highest below it; `off` below all."""
    below = [each for each in ladder if each.lowers(setting) and each != setting]
    return max(below, key=height, default=OFF)


def window_of(now: float, since: float, seconds: float) -> int:
    """The number of the window of a moment, 0 for the first.

    Args:
        now: the moment, in seconds since 1970.
        since: when the revision was made, 0 where nobody knows.
        seconds: that a window lasts.
    """
    return max(int((now - since) // seconds), 0)


def height(setting: Setting) -> tuple[int, int]:
    """What tells which of two settings is the higher one."""
    return setting.exposed, tuple(Mode).index(setting.mode)


def _percent(share: float) -> str:
    return f"{share * 100:.3g}%"
