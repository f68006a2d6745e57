"""Which programs apply to a client: what its cohort names, less what the switches leave out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.configuration.document import Document, parse
from proxy.mapping.catalog import Catalog, CohortBinding, Composer, RouteBinding, build
from proxy.mapping.decision import NOTHING, Applied, Decision
from proxy.mapping.engine.program import Program
from proxy.mapping.programs import NO_PROGRAMS
from proxy.mapping.switched import (
    MAX_DECISIONS,
    MAX_USERS,
    MAX_VERSIONS,
    SwitchedCatalog,
    mappings_of,
)
from proxy.switching.setting import OFF, ON, Mode, Setting
from proxy.switching.table import (
    SwitchName,
    SwitchState,
    Table,
    VersionException,
)
from proxy.versions.version import Version, parse_range

KEY = bytes(range(32))
HALF = Setting(Mode.CANARY, 5000)
SHADOW = Setting(Mode.SHADOW)


def mapping(
    name: str, direction: str = "to_client", inverse: str = "", channel: str = "websocket"
) -> Document:
    """One that adds its name as a field."""
    text = f"""\
name: {name}
description: d
channel: {channel}
direction: {direction}
{f"inverse: {inverse}" if inverse else ""}
rules:
  - name: r
    match: {{all: [{{field: kind, equals: k}}, {{field: {name}, exists: false}}]}}
    do: [{{set: {{{name}: 1}}}}]
    examples: [{{in: {{kind: k}}, out: {{kind: k, {name}: 1}}}}]
"""
    return parse(text, f"{name}.yaml")


def catalog_of(names: str = "abc", **bindings: CohortBinding) -> Catalog:
    return build(
        [mapping(name) for name in names],
        bindings or {"modern": CohortBinding(to_client=tuple(names))},
    )


CATALOG = catalog_of()


def table(states: Mapping[str, Setting | SwitchState], *, all_off: bool = False) -> Table:
    return Table(
        1,
        {
            SwitchName("modern", name): state
            if isinstance(state, SwitchState)
            else SwitchState(state)
            for name, state in states.items()
        },
        all_off,
    )


def unasked() -> bytes:
    raise AssertionError("nobody has to know who the user is")


def as_user(number: int) -> Callable[[], bytes]:
    return lambda: b"u:%d" % number


def version(text: str) -> Version:
    found = Version.parse(text)
    assert found is not None
    return found


def added(decision: Decision) -> str:
    """The names of the mappings that a decision applies to a message."""
    program = decision.programs.to_client
    return "" if program is None else added_by(program)


def added_by(program: Program) -> str:
    made = program.apply(b'{"kind":"k"}')
    assert made is not None
    return "".join(key for key in json.loads(made[0]) if key != "kind")


# Where it is settled.


def test_with_all_switches_on_everything_is_as_without_them() -> None:
    switched = SwitchedCatalog(CATALOG, key=KEY)
    decision = switched.decide("modern", None, unasked)
    assert decision.programs is CATALOG.for_cohort("modern")
    assert decision.shadows == ()
    assert added(decision) == "abc"
    # Nobody is asked for, and nothing is made: one decision for all.
    for text in ("2", "2.1.3", "99"):
        assert switched.decide("modern", version(text), unasked) is decision
    assert decision.taken == 4


@given(st.sets(st.sampled_from("abc")))
def test_a_mapping_that_is_off_is_left_out_of_its_chain(off: set[str]) -> None:
    switched = SwitchedCatalog(CATALOG, table=table(dict.fromkeys(off, OFF)))
    decision = switched.decide("modern", None, unasked)
    assert added(decision) == "".join(name for name in "abc" if name not in off)
    assert {each.switch.mapping: each.mode for each in decision.applied} == {
        name: Mode.OFF if name in off else Mode.ON for name in "abc"
    }


@pytest.mark.parametrize("cohort", [None, "unheard-of"])
def test_who_is_in_no_cohort_is_left_alone(cohort: str | None) -> None:
    taken = NOTHING.taken
    assert SwitchedCatalog(CATALOG).decide(cohort, version("2"), unasked) is NOTHING
    assert (NOTHING.programs, NOTHING.taken) == (NO_PROGRAMS, taken)


def test_a_cohort_that_names_no_mapping_has_no_switches() -> None:
    switched = SwitchedCatalog(catalog_of("a", plain=CohortBinding()))
    assert switched.first == {}
    decision = switched.decide("plain", None, unasked)
    assert (decision.programs, decision.applied) == (NO_PROGRAMS, ())


def test_what_the_configuration_says_is_the_first_state() -> None:
    first = {
        SwitchName("modern", "a"): SwitchState(OFF),
        SwitchName("gone", "a"): SwitchState(OFF),
    }
    switched = SwitchedCatalog(CATALOG, first)
    assert set(switched.first) == {SwitchName("modern", name) for name in "abc"}
    assert added(switched.decide("modern", None, unasked)) == "bc"
    on = SwitchedCatalog(CATALOG, first, table({"a": ON}))
    assert added(on.decide("modern", None, unasked)) == "abc"


def test_everything_off_covers_canaries_and_exceptions() -> None:
    states: dict[str, Setting | SwitchState] = {
        "a": HALF,
        "b": SwitchState(OFF, (VersionException("e", parse_range(">=0"), ON),)),
    }
    switched = SwitchedCatalog(CATALOG, table=table(states, all_off=True), key=KEY)
    decision = switched.decide("modern", version("2"), unasked)
    assert decision.programs.to_client is None
    assert {each.mode for each in decision.applied} == {Mode.OFF}


def test_a_switch_covers_every_place_where_its_cohort_names_the_mapping() -> None:
    binding = CohortBinding(
        to_client=("a",),
        to_server=("up",),
        http=(
            RouteBinding("/one", ("get",), (), ("body", "tail")),
            RouteBinding("/two", (), ("sent",), ("body",)),
        ),
    )
    catalog = build(
        [
            mapping("a"),
            mapping("up", "to_server"),
            mapping("body", channel="http"),
            mapping("tail", channel="http"),
            mapping("sent", "to_server", channel="http"),
        ],
        {"modern": binding},
    )
    assert mappings_of(binding) == ("a", "up", "body", "tail", "sent")
    switched = SwitchedCatalog(catalog, table=table({"body": OFF, "up": OFF}))
    programs = switched.decide("modern", None, unasked).programs
    assert programs.to_client is not None
    assert programs.to_server is None
    one, two = programs.route("GET", b"/one"), programs.route("POST", b"/two")
    assert one is not None
    assert one.to_client is not None
    assert added_by(one.to_client) == "tail"
    assert two is not None
    assert two.to_client is None
    assert two.to_server is not None


# Shadows.


def test_a_shadow_tells_what_would_be_sent_if_it_were_on() -> None:
    switched = SwitchedCatalog(CATALOG, table=table({"a": SHADOW, "b": SHADOW, "c": OFF}))
    decision = switched.decide("modern", None, unasked)
    assert decision.programs.to_client is None
    told = {
        shadow.switch.mapping: shadow.programs.to_client and added_by(shadow.programs.to_client)
        for shadow in decision.shadows
    }
    assert told == {"a": "a", "b": "b"}
    with_chain = SwitchedCatalog(CATALOG, table=table({"b": SHADOW}))
    decision = with_chain.decide("modern", None, unasked)
    assert added(decision) == "ac"
    (shadow,) = decision.shadows
    assert shadow.programs is CATALOG.for_cohort("modern")


# Canaries.


def test_half_of_the_users_are_in_and_stay_in() -> None:
    switched = SwitchedCatalog(CATALOG, table=table({"b": HALF}), key=KEY)
    found = [added(switched.decide("modern", None, as_user(number))) for number in range(1000)]
    assert set(found) == {"abc", "ac"}
    again = [added(switched.decide("modern", None, as_user(number))) for number in range(1000)]
    assert again == found
    ((switch, exception, users),) = switched.users()
    assert (switch, exception) == (SwitchName("modern", "b"), "")
    assert abs(users.inside.count() - found.count("abc")) <= 80
    assert abs(users.outside.count() - found.count("ac")) <= 80


def test_users_of_whom_the_same_comes_out_share_their_decision() -> None:
    switched = SwitchedCatalog(CATALOG, table=table({"b": HALF}), key=KEY)
    decisions = {switched.decide("modern", None, as_user(number)) for number in range(1000)}
    assert len(decisions) == 2


def test_a_preview_comes_to_what_is_decided_and_leaves_no_trace() -> None:
    tables = {
        "settled": table({"a": OFF}),
        "canary": table({"b": HALF}),
        "exception": table(
            {"b": SwitchState(ON, (VersionException("e", parse_range("==2"), HALF),))}
        ),
        "all off": table({"b": HALF}, all_off=True),
    }
    for asked in tables.values():
        switched = SwitchedCatalog(CATALOG, table=asked, key=KEY)
        for number in range(50):
            user = b"u:%d" % number
            before = switched.counts(), list(switched.users())
            previewed = switched.preview("modern", version("2"), user)
            assert (switched.counts(), list(switched.users())) == before
            decided = switched.decide("modern", version("2"), as_user(number))
            assert (previewed.programs, previewed.applied) == (decided.programs, decided.applied)
    switched = SwitchedCatalog(CATALOG, table=tables["canary"], key=KEY)
    assert switched.preview("nobody", None, None) is NOTHING
    assert switched.preview(None, None, None) is NOTHING


def test_who_is_not_known_is_in_a_canary_only_if_everybody_is() -> None:
    for share, expected in ((0, "ac"), (9_999, "ac"), (10_000, "abc")):
        canary = table({"b": Setting(Mode.CANARY, share)})
        switched = SwitchedCatalog(CATALOG, table=canary, key=KEY)
        assert added(switched.preview("modern", None, None)) == expected


def test_without_the_key_nobody_is_in() -> None:
    everybody = Setting(Mode.CANARY, 10_000)
    switched = SwitchedCatalog(CATALOG, table=table({"b": everybody}))
    found = {added(switched.decide("modern", None, as_user(number))) for number in range(100)}
    assert found == {"ac"}


def test_a_mapping_and_its_inverse_have_the_same_users() -> None:
    there = parse(
        """\
name: z-there
description: d
channel: websocket
direction: to_client
inverse: back
rules:
  - name: r
    match: {field: kind, equals: a}
    do: [{set: {kind: b}}]
    examples: [{in: {kind: a}, out: {kind: b}}]
""",
        "there.yaml",
    )
    back = parse(
        """\
name: back
description: d
channel: websocket
direction: to_server
inverse: z-there
rules:
  - name: r
    match: {field: kind, equals: b}
    do: [{set: {kind: a}}]
    examples: [{in: {kind: b}, out: {kind: a}}]
""",
        "back.yaml",
    )
    catalog = build(
        [there, back, mapping("a")],
        {"modern": CohortBinding(to_client=("z-there", "a"), to_server=("back",))},
    )
    states = dict.fromkeys(("z-there", "back", "a"), HALF)
    switched = SwitchedCatalog(catalog, table=table(states), key=KEY)
    differ = 0
    for number in range(500):
        decision = switched.decide("modern", None, as_user(number))
        modes = {each.switch.mapping: each.mode for each in decision.applied}
        assert modes["z-there"] is modes["back"]
        differ += modes["a"] is not modes["back"]
    assert 150 < differ < 350


# Exceptions.


def test_an_exception_is_for_its_versions_alone() -> None:
    state = SwitchState(ON, (VersionException("broken", parse_range("==2.1.3"), OFF),))
    switched = SwitchedCatalog(CATALOG, table=table({"a": state}))
    broken = switched.decide("modern", version("2.1.3"), unasked)
    assert added(broken) == "bc"
    assert broken.applied[0] == Applied(SwitchName("modern", "a"), "broken", Mode.OFF)
    others = {switched.decide("modern", each, unasked) for each in (None, version("2.1.4"))}
    assert [added(each) for each in others] == ["abc"]
    assert switched.decide("modern", version("2.1.3.0"), unasked) is broken


def test_a_canary_of_an_exception_counts_its_own_users() -> None:
    state = SwitchState(HALF, (VersionException("e", parse_range("==3"), HALF),))
    switched = SwitchedCatalog(CATALOG, table=table({"a": state}), key=KEY)
    for number in range(30):
        switched.decide("modern", version("2"), as_user(number))
        switched.decide("modern", version("3"), as_user(number))
    users = {exception: users for _, exception, users in switched.users()}
    assert set(users) == {"", "e"}
    # One salt: a user is in or out whatever the version.
    assert bytes(users[""].inside) == bytes(users["e"].inside)
    assert users[""].inside.count() + users[""].outside.count() == 30


def test_who_comes_with_two_versions_gets_what_each_is_due() -> None:
    state = SwitchState(HALF, (VersionException("e", parse_range("==3"), HALF),))
    switched = SwitchedCatalog(CATALOG, table=table({"a": state, "b": HALF}), key=KEY)
    for number in range(50):
        for text in ("2", "3", "2", "3"):
            decision = switched.decide("modern", version(text), as_user(number))
            exceptions = {each.switch.mapping: each.exception for each in decision.applied}
            assert exceptions["a"] == ("e" if text == "3" else "")


# Bounds.


@pytest.mark.parametrize(("users", "names"), [(100_000, "ab"), (5_000, "abcdefghijkl")])
def test_a_crowd_of_users_and_versions_takes_bounded_memory_and_every_one_counts(
    users: int, names: str
) -> None:
    catalog = catalog_of(names)
    state = SwitchState(HALF, (VersionException("e", parse_range("<5"), OFF),))
    switched = SwitchedCatalog(
        catalog, table=table({**dict.fromkeys(names, HALF), "a": state}), key=KEY
    )
    expected: Counter[Decision] = Counter()
    for number in range(users):
        of_client = Version(0, (number % 2000, number), "")
        expected[switched.decide("modern", of_client, as_user(number))] += 1
    told: Counter[Applied] = Counter()
    for decision, count in expected.items():
        told.update(dict.fromkeys(decision.applied, count))
    assert switched.counts() == told
    cohort = switched._cohorts["modern"]
    assert len(cohort._by_version) == MAX_VERSIONS
    assert len(cohort._of_users) + len(cohort._of_earlier_users) <= MAX_USERS
    assert len(cohort._profiles) == 2
    assert all(len(profile._made) <= MAX_DECISIONS for profile in cohort._profiles.values())
    assert catalog._composer is not None
    assert catalog._composer.chain.cache_info().currsize <= Composer.MOST_CHAINS
    if len(names) > 2:
        assert len(expected) > 4 * MAX_DECISIONS, "not more sets came up than are remembered"


def test_the_versions_that_came_last_are_remembered() -> None:
    state = SwitchState(ON, (VersionException("e", parse_range("==3"), OFF),))
    switched = SwitchedCatalog(CATALOG, table=table({"a": state}))
    for number in range(10 * MAX_VERSIONS):
        switched.decide("modern", version(f"9.{number}"), unasked)
    switched.decide("modern", version("2"), unasked)
    assert version("2") in switched._cohorts["modern"]._by_version


def test_a_chain_is_composed_once_and_only_when_somebody_needs_it() -> None:
    catalog = catalog_of("abcdefgh")
    assert catalog._composer is not None
    chains = catalog._composer.chain
    made = chains.cache_info().currsize
    states = dict.fromkeys("abcdefgh", HALF)
    switched = SwitchedCatalog(catalog, table=table(states), key=KEY)
    assert chains.cache_info().currsize == made
    decision = switched.decide("modern", None, as_user(1))
    assert chains.cache_info().currsize == made + 1
    again = SwitchedCatalog(catalog, table=table(states), key=KEY)
    assert again.decide("modern", None, as_user(1)).programs.to_client is (
        decision.programs.to_client
    )


def test_counts_are_those_of_each_cohort() -> None:
    catalog = catalog_of(
        "ab", modern=CohortBinding(to_client=("a",)), old=CohortBinding(to_client=("b",))
    )
    switched = SwitchedCatalog(catalog)
    for cohort, times in (("modern", 3), ("old", 2), ("none", 5)):
        for _ in range(times):
            switched.decide(cohort, None, unasked)
    assert switched.counts() == {
        Applied(SwitchName("modern", "a"), "", Mode.ON): 3,
        Applied(SwitchName("old", "b"), "", Mode.ON): 2,
    }


# Another table.


def test_switches_in_shadow_are_told_whoever_they_are_for() -> None:
    exception = VersionException("old", parse_range("<2.1"), SHADOW)
    states: dict[str, Setting | SwitchState] = {
        "a": SHADOW,
        "b": SwitchState(ON, (exception,)),
        "c": OFF,
    }
    found = SwitchedCatalog(CATALOG, {}, table(states), KEY).in_shadow()
    assert found == {SwitchName("modern", "a"), SwitchName("modern", "b")}
    everything_off = table(states, all_off=True)
    assert SwitchedCatalog(CATALOG, {}, everything_off, KEY).in_shadow() == frozenset()


def test_the_same_mappings_under_another_table() -> None:
    switched = SwitchedCatalog(CATALOG, {SwitchName("modern", "c"): SwitchState(OFF)})
    others = catalog_of("xyz")
    stopped = SwitchedCatalog(others, table=table({}, all_off=True), serial=1)
    under = switched.under(stopped)
    assert under is switched.under(stopped)
    assert under.decide("modern", None, unasked).programs.to_client is None
    half = SwitchedCatalog(others, table=table({"a": HALF}), key=KEY, serial=2)
    under = switched.under(half)
    assert under.serial == 2
    found = {added(under.decide("modern", None, as_user(number))) for number in range(50)}
    assert found == {"ab", "b"}


def test_what_is_decided_under_other_tables_is_counted_once_for_all_of_them() -> None:
    switched = SwitchedCatalog(CATALOG, table=table({"a": OFF}))
    on, off = (Applied(SwitchName("modern", "a"), "", mode) for mode in (Mode.ON, Mode.OFF))
    switched.decide("modern", None, unasked)
    for serial, setting, times in ((1, ON, 2), (2, OFF, 3), (3, ON, 4), (3, ON, 1)):
        newer = SwitchedCatalog(CATALOG, table=table({"a": setting}), serial=serial)
        for _ in range(times):
            switched.under(newer).decide("modern", None, unasked)
    for _ in range(2):
        counts = switched.counts()
        assert (counts[on], counts[off]) == (2 + 4 + 1, 1 + 3)
