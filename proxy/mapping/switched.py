"""Which programs apply to a client: what its cohort names, less what the switches leave out.

It is decided once for a socket, or for a request, and never for a message: what is decided is a
`Decision`, which is shared by all for whom the same comes out. Where no canary and no exception is
set for a cohort, it has one decision, found by one look in a dictionary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from proxy.mapping.catalog import Catalog, CohortBinding
from proxy.mapping.decision import NOTHING, Applied, Decision, Shadow, SwitchUsers
from proxy.switching.canary import LAST_PLACE, Canary, Sketch
from proxy.switching.setting import Mode, Setting
from proxy.switching.table import ALL_ON, EMPTY, First, SwitchName, SwitchState, Table
from proxy.versions.version import Version

Identify = Callable[[], bytes]
"""Says who the user is; asked only where a canary has to know."""

MAX_USERS: Final = 4096
"""Users of one cohort of whom it is remembered what was decided for them."""

MAX_VERSIONS: Final = 256
"""Versions of one cohort, the same."""

MAX_DECISIONS: Final = 256
"""Decisions of one cohort and version that are remembered: n canaries can make 2^n of them."""


class _CanaryOf(NamedTuple):
    mapping: str
    exception: str
    canary: Canary
    users: SwitchUsers


class _Profile:
    """What is decided for one version of a cohort's clients, as far as it is not up to the user."""

    __slots__ = ("_canaries", "_cohort", "_made", "_modes", "settled")

    def __init__(
        self,
        cohort: _CohortSwitches,
        modes: Mapping[str, tuple[str, Mode]],
        canaries: tuple[_CanaryOf, ...],
    ) -> None:
        self._cohort = cohort
        self._modes = modes
        self._canaries = canaries
        self._made: dict[frozenset[str], Decision] = {}
        self.settled = None if canaries else self._decided(frozenset())

    def decide(self, user: bytes | None) -> Decision:
        """The decision for a user; for None, what those get who are in no canary."""
        outside = []
        for mapping, _, canary, users in self._canaries:
            place = LAST_PLACE if user is None else canary.place(user)
            if canary.has(place):
                users.inside.add(place)
            else:
                users.outside.add(place)
                outside.append(mapping)
        return self._decided(frozenset(outside))

    def _decided(self, outside: frozenset[str]) -> Decision:
        """The decision for those who are outside of these canaries; there are 2^n sets of n."""
        decision = self._made.get(outside)
        if decision is None:
            if len(self._made) >= MAX_DECISIONS:
                self._cohort.forget(self._made.values())
                self._made.clear()
            modes = {
                **self._modes,
                **{
                    each.mapping: (each.exception, Mode.OFF if each.mapping in outside else Mode.ON)
                    for each in self._canaries
                },
            }
            decision = self._made[outside] = self._cohort.decided(modes)
        return decision

    def made(self) -> Iterable[Decision]:
        """The decisions that can be given."""
        return self._made.values()


class _CohortSwitches:
    """The switches of one cohort, and what they decide."""

    __slots__ = (
        "_by_version",
        "_catalog",
        "_cohort",
        "_folded",
        "_names",
        "_of_earlier_users",
        "_of_users",
        "_profiles",
        "_switched",
        "settled",
        "users",
    )

    def __init__(self, switched: SwitchedCatalog, cohort: str, binding: CohortBinding) -> None:
        self._switched = switched
        self._catalog = switched.catalog
        self._cohort = cohort
        self._names = mappings_of(binding)
        self._profiles: dict[tuple[str, ...], _Profile] = {}
        self._by_version: dict[Version | None, _Profile] = {}
        self._of_users: dict[bytes, tuple[_Profile, Decision]] = {}
        self._of_earlier_users: dict[bytes, tuple[_Profile, Decision]] = {}
        self.users: dict[tuple[str, str], SwitchUsers] = {}
        self._folded: dict[Applied, int] = {}
        states = [switched.in_force(SwitchName(cohort, name)) for name in self._names]
        has_exceptions = any(state.exceptions for state in states)
        self.settled = None if has_exceptions else self._profile(None).settled

    def decide(self, version: Version | None, identify: Identify) -> Decision:
        profile = self._by_version.get(version)
        if profile is None:
            profile = self._by_version[version] = self._profile(version)
            _forget_oldest(self._by_version, MAX_VERSIONS)
        if profile.settled is not None:
            return profile.settled
        user = identify()
        known = self._of_users.get(user) or self._of_earlier_users.get(user)
        if known is not None and known[0] is profile:
            return known[1]
        decision = profile.decide(user)
        if len(self._of_users) >= MAX_USERS // 2:
            # Half of them at once: to find the oldest of a dictionary whose first entries are gone
            # takes longer than to decide anew.
            self._of_earlier_users, self._of_users = self._of_users, {}
        self._of_users[user] = profile, decision
        return decision

    def preview(self, version: Version | None, user: bytes | None) -> Decision:
        profile = self._profile(version)
        return profile.settled or profile.decide(user)

    def _profile(self, version: Version | None) -> _Profile:
        """What is common to the versions that fall under the same exceptions."""
        switched, cohort = self._switched, self._cohort
        found = [
            (name, *switched.in_force(SwitchName(cohort, name)).for_version(version))
            for name in self._names
        ]
        key = tuple([exception for _, exception, _ in found])
        profile = self._profiles.get(key)
        if profile is None:
            profile = self._profiles[key] = _Profile(
                self,
                {
                    name: (exception, setting.mode)
                    for name, exception, setting in found
                    if setting.mode is not Mode.CANARY
                },
                tuple(
                    self._canary(name, exception, setting)
                    for name, exception, setting in found
                    if setting.mode is Mode.CANARY
                ),
            )
        return profile

    def _canary(self, mapping: str, exception: str, setting: Setting) -> _CanaryOf:
        users = self.users.setdefault((mapping, exception), SwitchUsers(Sketch(), Sketch()))
        salt = self._switched.salt(self._cohort, mapping)
        # Without the key, nobody can be told from others: then nobody is in.
        share = setting.share if self._switched.key else 0
        return _CanaryOf(mapping, exception, Canary(self._switched.key, salt, share), users)

    def decided(self, modes: Mapping[str, tuple[str, Mode]]) -> Decision:
        left_out = frozenset(name for name, (_, mode) in modes.items() if mode is not Mode.ON)
        shadows = tuple(
            Shadow(
                SwitchName(self._cohort, name),
                self._catalog.without(self._cohort, left_out - {name}),
            )
            for name, (_, mode) in modes.items()
            if mode is Mode.SHADOW
        )
        applied = tuple(
            Applied(SwitchName(self._cohort, name), exception, mode)
            for name, (exception, mode) in modes.items()
        )
        return Decision(self._catalog.without(self._cohort, left_out), shadows, applied)

    def forget(self, decisions: Iterable[Decision]) -> None:
        """Keep the counts of decisions that nobody is given any more, and nothing else of them."""
        self._of_users.clear()
        self._of_earlier_users.clear()
        for decision in decisions:
            _add(self._folded, decision)

    def counts(self) -> dict[Applied, int]:
        """For how many sockets and requests what was decided about each switch."""
        total = dict(self._folded)
        for profile in self._profiles.values():
            for decision in profile.made():
                _add(total, decision)
        return total


def _forget_oldest(remembered: dict[Any, Any], most: int) -> None:
    if len(remembered) > most:
        del remembered[next(iter(remembered))]  # A dictionary keeps its order.


def _add(total: dict[Applied, int], decision: Decision) -> None:
    for applied in decision.applied:
        total[applied] = total.get(applied, 0) + decision.taken


def _add_up(total: dict[Applied, int], more: Mapping[Applied, int]) -> None:
    for applied, count in more.items():
        total[applied] = total.get(applied, 0) + count


class SwitchedCatalog:
    """The mappings of all cohorts, under one table of switches.

    What it decides for a client is fixed. It counts how often it decided so, and remembers for how
    many users, as `counts` and `users` tell.

    Attributes:
        catalog: the mappings.
        first: the switches that there are, and the state that the configuration gives each.
        table: what was set since.
        key: of the canaries.
        serial: larger for each that this process puts to work; tables can go back.
    """

    __slots__ = (
        "_cohorts",
        "_counted",
        "_settled",
        "_under",
        "catalog",
        "first",
        "key",
        "serial",
        "table",
    )

    def __init__(
        self,
        catalog: Catalog,
        first: First | None = None,
        table: Table = EMPTY,
        key: bytes = b"",
        *,
        serial: int = 0,
    ) -> None:
        """Decide what can be decided without a client.

        Args:
            catalog, table, key, serial: see the attributes.
            first: what the configuration says; all other switches are `on`.
        """
        self.catalog = catalog
        self.table = table
        self.key = key
        self.serial = serial
        # The last one that `under` was asked for, and what those before it have counted.
        self._under: SwitchedCatalog | None = None
        self._counted: dict[Applied, int] = {}
        self.first: First = {
            SwitchName(cohort, name): (first or {}).get(SwitchName(cohort, name), ALL_ON)
            for cohort, binding in catalog.bindings.items()
            for name in mappings_of(binding)
        }
        self._cohorts = {
            cohort: _CohortSwitches(self, cohort, binding)
            for cohort, binding in catalog.bindings.items()
        }
        self._settled = {
            cohort: switches.settled
            for cohort, switches in self._cohorts.items()
            if switches.settled is not None
        }

    def decide(self, cohort: str | None, version: Version | None, identify: Identify) -> Decision:
        """Decide what applies to a client.

        0.1 µs where it is settled for its cohort, 0.6 where it is known of the user, 3 at first.

        Args:
            cohort: None for a client in none.
            version: of the client, for exceptions.
            identify: says who the user is.
        """
        if cohort is None:
            return NOTHING
        decision = self._settled.get(cohort)
        if decision is None:
            switches = self._cohorts.get(cohort)
            if switches is None:
                return NOTHING
            decision = switches.decide(version, identify)
        decision.taken += 1
        return decision

    def preview(self, cohort: str | None, version: Version | None, user: bytes | None) -> Decision:
        """What `decide` comes to, for whoever asks about a client that is not there.

        Nothing is counted or remembered of it, and any thread may ask.

        Args:
            cohort, version: as there.
            user: None for nobody: one who is in no canary, unless everybody is.
        """
        binding = None if cohort is None else self.catalog.bindings.get(cohort)
        if cohort is None or binding is None:
            return NOTHING
        return _CohortSwitches(self, cohort, binding).preview(version, user)

    def in_shadow(self) -> frozenset[SwitchName]:
        """The switches that are in shadow, for some versions at least."""
        return frozenset(
            switch
            for switch in self.first
            for state in (self.in_force(switch),)
            for setting in (state.setting, *(each.setting for each in state.exceptions))
            if setting is not None and setting.mode is Mode.SHADOW
        )

    def under(self, newer: SwitchedCatalog) -> SwitchedCatalog:
        """These mappings under the table of another one; made once for the last asked for.

        For a client that is bound to these mappings while a switch is turned, and the files are
        read anew. Nobody else knows it: what it decides is among the counts here.
        """
        if self._under is None or self._under.serial != newer.serial:
            self._counted = self._counts_under()
            self._under = SwitchedCatalog(
                self.catalog, self.first, newer.table, newer.key, serial=newer.serial
            )
        return self._under

    def in_force(self, switch: SwitchName) -> SwitchState:
        """What a switch does."""
        return self.table.in_force(switch, self.first)

    def salt(self, cohort: str, mapping: str) -> str:
        """What tells the canary of one switch from those of others, but for its inverse."""
        other = self.catalog.inverses.get(mapping, mapping)
        return str(SwitchName(cohort, min(mapping, other)))

    def users(self) -> Iterator[tuple[SwitchName, str, SwitchUsers]]:
        """The users of each canary: its switch, the name of its exception, and how many."""
        for cohort, switches in self._cohorts.items():
            for (mapping, exception), users in switches.users.items():
                yield SwitchName(cohort, mapping), exception, users

    def counts(self) -> dict[Applied, int]:
        """For how many sockets and requests what was decided about each switch."""
        total = self._counts_under()
        for switches in self._cohorts.values():
            _add_up(total, switches.counts())
        return total

    def _counts_under(self) -> dict[Applied, int]:
        total = dict(self._counted)
        if self._under is not None:
            _add_up(total, self._under.counts())
        return total


def mappings_of(binding: CohortBinding) -> tuple[str, ...]:
    """The mappings that a cohort names anywhere, each once, in their order."""
    names = [*binding.to_client, *binding.to_server]
    for route in binding.http:
        names += [*route.to_server, *route.to_client]
    return tuple(dict.fromkeys(names))
