"""What is told of the switches that decide about a client."""

from __future__ import annotations

from proxy.configuration.document import parse
from proxy.control.in_force import deciding_switches
from proxy.mapping.catalog import CohortBinding, build
from proxy.mapping.switched import SwitchedCatalog
from proxy.switching.setting import Mode, Setting
from proxy.switching.table import SwitchName, SwitchState, Table

MAPPING = """\
name: a
description: d
channel: websocket
direction: to_client
rules:
  - name: r
    match: {field: kind, equals: k}
    do: [{set: {a: true}}]
    examples: [{in: {kind: k}, out: {kind: k, a: true}}]
"""
CATALOG = build([parse(MAPPING, "a.yaml")], {"modern": CohortBinding(to_client=("a",))})


def test_nobody_is_said_to_be_in_a_canary_whose_key_is_missing() -> None:
    everybody = SwitchState(Setting(Mode.CANARY, 10_000))
    table = Table(3, {SwitchName("modern", "a"): everybody})
    for key, expected in ((b"", "nobody is in it"), (bytes(32), "this user is in it")):
        switched = SwitchedCatalog(CATALOG, table=table, key=key)
        decision = switched.preview("modern", None, b"u:1")
        (told,) = deciding_switches(switched, decision, None, {"a"}, has_user=True)
        assert expected in told.told
        assert told.applied is bool(key)


def test_switches_of_other_places_are_left_out() -> None:
    switched = SwitchedCatalog(CATALOG)
    decision = switched.preview("modern", None, None)
    assert deciding_switches(switched, decision, None, {"b"}, has_user=False) == []
