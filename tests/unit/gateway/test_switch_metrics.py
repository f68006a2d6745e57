"""What switches decided is counted once, whatever replaces their catalogue meanwhile."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.control.loading import load
from proxy.gateway.switch_metrics import DecisionTotals
from proxy.mapping.switched import SwitchedCatalog
from proxy.snapshot import Live
from proxy.switching.setting import OFF, ON, Mode, Setting
from proxy.switching.table import SwitchName, SwitchState, Table
from tests.support.checkout import ROOT

SHADOW = Setting(Mode.SHADOW)
SWITCH = SwitchName("modern", "old-to-new")


@pytest.mark.parametrize("seed", range(5))
def test_totals_only_grow_and_miss_nothing_of_requests_that_began_before(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    snapshot = load(ROOT / "config.yaml", {"SEGUE_STATE_DIR": str(tmp_path)}, {})
    live = Live(snapshot)
    totals = DecisionTotals(live)
    served, before, decided = [snapshot], 0, 0
    for number in range(1_000):
        # A request may have begun up to three changes ago.
        switches = chance.choice(served[-4:]).switches
        if chance.random() < 0.3:
            # The files were read anew during its handshake, and a switch was turned.
            switches = switches.under(live.current.switches)
        switches.decide("modern", None, lambda: b"user")
        decided += 1
        if chance.random() < 0.3:
            state = SwitchState(chance.choice([ON, OFF, SHADOW]))
            table = Table(number, {SWITCH: state})
            switches = SwitchedCatalog(snapshot.catalog, None, table, b"key", serial=number + 1)
            served.append(replace(snapshot, switches=switches))
            live.replace(served[-1])
        if chance.random() < 0.1:
            now = sum(totals.totals().values())
            assert now >= before
            before = now
    assert sum(totals.totals().values()) == decided
