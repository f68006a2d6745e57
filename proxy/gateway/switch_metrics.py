"""What is shown of switches: what is in force, who it is for, and how often it was decided."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from proxy.gateway.upgrade import Upgrades
from proxy.mapping.switched import SwitchedCatalog
from proxy.observability.families import Combined, Families, Samples, counter, gauge
from proxy.snapshot import Live, Snapshot
from proxy.switching.setting import Mode, Setting
from proxy.switching.table import SwitchName

GONE: Final = "(gone)"
"""In place of the names of switches and exceptions that are forgotten; no name has brackets."""

MAX_SERIES: Final = 1_000
"""Of decisions that are counted apart, besides those that are in force. The names of exceptions
are made by operators, and there is no end to them."""

_REPLACED: Final = 4
"""Catalogues that are still looked at after another one took their place: requests that began
under them decide by them."""

_APPLIED: Final = {Mode.ON: "true", Mode.OFF: "false", Mode.SHADOW: "shadow"}


class DecisionLabels(NamedTuple):
    """What was decided, as metrics say it.

    Attributes:
        switch: its name.
        exception: the name of the exception that the version fell under; empty for none.
        applied: `true`, `false` or `shadow`.
    """

    switch: str
    exception: str
    applied: str


class _Followed:
    """A catalogue that serves, or served, and what of its counts is in the totals."""

    __slots__ = ("settled", "switches")

    def __init__(self, switches: SwitchedCatalog) -> None:
        self.switches = switches
        self.settled: dict[DecisionLabels, int] = {}


class DecisionTotals:
    """How often what was decided, since the process began.

    A change of switches and a reload replace the catalogue, and with it what it has counted; the
    totals here only grow.
    """

    def __init__(self, live: Live) -> None:
        """Construct.

        Args:
            live: holds what serves, and tells when that is replaced.
        """
        self._followed = deque([_Followed(live.current.switches)])
        self._totals: dict[DecisionLabels, int] = {}
        live.on_replaced.append(self._follow)

    def totals(self) -> Mapping[DecisionLabels, int]:
        """The totals at this moment."""
        for each in self._followed:
            self._settle(each)
        if len(self._totals) > MAX_SERIES:
            self._forget()
        return self._totals

    def _follow(self, snapshot: Snapshot) -> None:
        if snapshot.switches is self._followed[-1].switches:
            return
        self._followed.append(_Followed(snapshot.switches))
        if len(self._followed) > 1 + _REPLACED:
            self._settle(self._followed.popleft())

    def _settle(self, followed: _Followed) -> None:
        """Add what was counted since the last time."""
        for (switch, exception, mode), count in followed.switches.counts().items():
            labels = DecisionLabels(str(switch), exception, _APPLIED[mode])
            more = count - followed.settled.get(labels, 0)
            followed.settled[labels] = count
            self._totals[labels] = self._totals.get(labels, 0) + more

    def _forget(self) -> None:
        """Add up those that were not met for longest, and that nothing can be added to."""
        growing = {labels for each in self._followed for labels in each.settled}
        over = [each for each in self._totals if each not in growing and each.switch != GONE]
        for labels in over[: len(self._totals) - MAX_SERIES]:
            gone = DecisionLabels(GONE, GONE, labels.applied)
            self._totals[gone] = self._totals.get(gone, 0) + self._totals.pop(labels)


def families(live: Live, upgrades: Upgrades, decisions: DecisionTotals) -> Families:
    """What is shown of switches. A revision is no label: there is no end to them."""
    return (
        gauge(
            "segue_switch_state",
            "1 for the state that is in force for a switch, 0 for the others; `exception` is the"
            " name of what is set for some versions, and empty for all other versions.",
            ("switch", "exception", "state"),
            lambda: _states(live.current.switches),
            over_processes=Combined.MAX,
        ),
        gauge(
            "segue_switch_percent",
            "The share of the users for whom the mapping is to apply: what a canary is set to, 100"
            " for `on`, 0 for `off` and `shadow`.",
            ("switch", "exception"),
            lambda: _percent(live.current.switches),
            over_processes=Combined.MAX,
        ),
        counter(
            "segue_switch_decisions",
            "How often it was decided whether the mapping of a switch applies, `shadow` standing"
            " for: only to a copy. Once for a request of a cohort that names HTTP routes, and for a"
            " WebSocket when it opens and again when a switch was turned. `(gone)` adds up switches"
            " and exceptions that have been gone for long, where there were many.",
            ("switch", "exception", "applied"),
            lambda: decisions.totals().items(),
        ),
        gauge(
            "segue_switch_users",
            "About how many users a canary has met since any switch was turned: those for whom the"
            " mapping applies, and the others; the standard error is 3.3 %. Other processes meet"
            " some of the same.",
            ("switch", "exception", "inside"),
            lambda: _users(live.current.switches),
            over_processes=Combined.EACH,
        ),
        gauge(
            "segue_switch_sockets",
            "Open WebSockets of the cohort of a switch, by whether they are behind the newest"
            " revision that is in force: a change has left them with what they had.",
            ("switch", "behind"),
            lambda: _sockets(live.current.switches, upgrades),
            over_processes=Combined.SUM,
        ),
    )


def _settings(switches: SwitchedCatalog) -> Iterator[tuple[SwitchName, str, Setting]]:
    """What is in force: the switch, the name of the exception or nothing, and the setting."""
    for name in switches.first:
        state = switches.in_force(name)
        assert state.setting is not None
        yield name, "", state.setting
        for each in state.exceptions:
            yield name, each.name, each.setting


def _states(switches: SwitchedCatalog) -> Samples:
    for name, exception, setting in _settings(switches):
        for mode in Mode:
            yield (str(name), exception, mode.value), mode is setting.mode


def _percent(switches: SwitchedCatalog) -> Samples:
    for name, exception, setting in _settings(switches):
        whole = 100.0 if setting.mode is Mode.ON else 0.0
        yield (str(name), exception), whole if setting.percent is None else setting.percent


def _users(switches: SwitchedCatalog) -> Samples:
    for name, exception, users in switches.users():
        yield (str(name), exception, "true"), users.inside.count()
        yield (str(name), exception, "false"), users.outside.count()


def _sockets(switches: SwitchedCatalog, upgrades: Upgrades) -> Samples:
    number = switches.table.number
    counts: Counter[tuple[str, bool]] = Counter()
    for (cohort, revision), count in upgrades.by_revision.items():
        counts[cohort, revision != number] += count
    for name in switches.first:
        yield (str(name), "true"), counts[name.cohort, True]
        yield (str(name), "false"), counts[name.cohort, False]
