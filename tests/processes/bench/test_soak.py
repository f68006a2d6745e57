"""The soak: its books, and a short one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import pytest

from bench.soak.accounts import (
    BATCH,
    OUTCOMES,
    STEADY,
    TO_CLIENT,
    TO_SERVER,
    WILD,
    Ledger,
    growth,
    imbalances,
)
from tests.support.checkout import ROOT
from tests.support.waiting import PATIENCE

Page = dict[tuple[str, frozenset[tuple[str, str]]], float]
MIB = 1 << 20


def sample(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def messages(cohort: str, direction: str, outcome: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return sample(
        "segue_cohort_messages_total",
        cohort=cohort,
        direction=direction,
        outcome=outcome,
        mapping="m",
    )


def balanced() -> tuple[Ledger, Page]:
    """Ten messages of each kind on steady sockets, twelve on wild ones of which nine arrived."""
    ledger, page = Ledger(), Page()
    for direction, kinds in OUTCOMES.items():
        for kind, outcome in kinds.items():
            ledger.sent[STEADY, direction, kind] = 10
            if outcome != "dropped":
                arrived = 10 * BATCH if kind == "batch" else 10
                ledger.arrived[STEADY, direction, kind] = arrived
            key = messages(STEADY, direction, outcome)
            page[key] = page.get(key, 0) + 10
        ledger.sent[WILD, direction, "plain"] = 12
        ledger.arrived[WILD, direction, "plain"] = 9
        page[messages(WILD, direction, "passed")] = 10
        page[messages(WILD, direction, "undelivered")] = 1
    ledger.requests, ledger.handshakes, ledger.polls, ledger.polled = 20, 5, 8, 3
    ledger.good_reloads, ledger.bad_reloads = 2, 1
    page |= {
        sample("segue_requests_total", cohort="none", code="200"): 14,
        sample("segue_requests_total", cohort=STEADY, code="101"): 5,
        sample("segue_requests_total", cohort="none", code="499"): 1,
        sample("segue_handshakes_total", cohort=STEADY, result="accepted"): 5,
        sample("segue_handshakes_total", cohort=STEADY, result="refused"): 1,
        sample("segue_coalescing_requests_total", route="job"): 8,
        sample("segue_coalescing_upstream_requests_total", route="job"): 3,
        sample("segue_reloads_total", result="success"): 2,
        sample("segue_reloads_total", result="failure"): 1,
        sample("segue_upstream_connections", state="idle"): 4,
    }
    return ledger, page


def test_books_that_balance_have_nothing_to_say() -> None:
    assert imbalances(*balanced()) == []


NOT_KEPT = {("result", "refused"), ("state", "idle")}
"""Of these there are no books."""


@pytest.mark.parametrize("key", [key for key in balanced()[1] if not key[1] & NOT_KEPT])
def test_whatever_the_metrics_page_miscounts_is_found(
    key: tuple[str, frozenset[tuple[str, str]]],
) -> None:
    ledger, page = balanced()
    page[key] += 3
    assert len(imbalances(ledger, page)) == 1


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("segue_open_connections", {"kind": "http"}),
        ("segue_requests_in_flight", {}),
        ("segue_upstream_connections", {"state": "busy"}),
        ("segue_log_lines_dropped_total", {}),
    ],
)
def test_what_is_left_open_in_the_end_is_found(name: str, labels: dict[str, str]) -> None:
    ledger, page = balanced()
    page[sample(name, **labels)] = 1
    assert len(imbalances(ledger, page)) == 1


def lose(ledger: Ledger) -> None:
    ledger.arrived[STEADY, TO_CLIENT, "batch"] -= 1


def invent(ledger: Ledger) -> None:
    ledger.arrived[STEADY, TO_SERVER, "typing"] += 1


def invent_on_a_reset_socket(ledger: Ledger) -> None:
    ledger.arrived[WILD, TO_CLIENT, "plain"] += 2


def go_wrong(ledger: Ledger) -> None:
    ledger.faults.append("something else")


@pytest.mark.parametrize("change", [lose, invent, invent_on_a_reset_socket, go_wrong])
def test_a_message_too_few_or_too_many_is_found(change: Callable[[Ledger], None]) -> None:
    ledger, page = balanced()
    change(ledger)
    assert len(imbalances(ledger, page)) == 1


def test_memory_is_compared_after_warm_up_and_a_single_peak_decides_nothing() -> None:
    warming = [20 * MIB] * 20
    assert growth([*warming, *[60 * MIB] * 79, 90 * MIB]) == (60 * MIB, 60 * MIB, 0)
    grown = growth([*warming, *(60 * MIB + number * MIB for number in range(80))])
    assert grown is not None
    assert grown[2] == 70 * MIB
    assert growth([60 * MIB] * 9) is None


async def test_a_short_soak_of_a_real_process_balances() -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.soak", "--seconds", "2"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE):
        output, _ = await child.communicate()
    assert child.returncode == 0, output.decode()
    assert output.endswith(b"well: every account balances\n")
    assert b" 0 messages," not in output.splitlines()[-2]
