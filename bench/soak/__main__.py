"""`python -m bench.soak`: the exit code is 0 if every account balances and memory is flat."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import Final

import uvloop

from bench.soak.accounts import TOLERANCE, Ledger, Samples, growth, imbalances
from bench.soak.clients import Clients
from bench.soak.origin import Origin
from bench.soak.process import Segue
from bench.soak.setting import Setting

_MIB: Final = 1024 * 1024
_SAMPLES: Final = 300
"""How often memory is looked at."""

_JUDGED: Final = 60.0
"""Seconds of the shortest soak whose memory says something."""

_SETTLE: Final = 15.0
_RELOADED: Final = 15.0


async def soak(seconds: float) -> int:
    """Run; the exit code."""
    ledger = Ledger()
    origin = Origin(ledger)
    with tempfile.TemporaryDirectory(prefix="segue-soak-") as directory:
        async with origin.listening():
            setting = Setting(Path(directory), origin.address)
            segue = Segue(setting.file)
            page: Samples = {}
            code = -1
            try:
                await segue.start()
                clients = Clients(segue.address, ledger)
                clients.start()
                await _watch(segue, setting, ledger, seconds)
                await clients.stop()
                if segue.is_alive:
                    page = await _settled(segue)
            finally:
                code = await segue.stop()
    if code:
        ledger.faults.append(f"segue ended with {code}")
    ledger.faults += [f"log: {line}" for line in segue.suspect]
    return _judge(ledger, page, seconds)


async def _watch(segue: Segue, setting: Setting, ledger: Ledger, seconds: float) -> None:
    """Sample memory, reload, and say how far it is, until the time is over or Segue has ended."""
    begun = monotonic()
    reloading = asyncio.create_task(_reload(segue, setting, ledger, min(5.0, seconds / 10)))
    said = -1
    try:
        while (elapsed := monotonic() - begun) < seconds and segue.is_alive:
            ledger.memory.append(segue.resident())
            if said != (tenth := int(elapsed // min(10.0, seconds / 5))):
                said = tenth
                _say(f"{elapsed:5.0f} s  {_progress(ledger)}  {segue.cpu():6.1f} s CPU")
            await asyncio.sleep(seconds / _SAMPLES)
    finally:
        reloading.cancel()
        await asyncio.wait((reloading,))


def _progress(ledger: Ledger) -> str:
    reloads = ledger.good_reloads + ledger.bad_reloads
    return (
        f"{ledger.requests:9,} requests {ledger.messages:10,} messages {ledger.resets:6,} resets"
        f" {reloads:4} reloads {len(ledger.faults):3} faults {ledger.memory[-1] / _MIB:6.1f} MiB"
    )


async def _reload(segue: Segue, setting: Setting, ledger: Ledger, interval: float) -> None:
    """Change the configuration again and again; each time it must be read, or refused."""
    number = 0
    while True:
        await asyncio.sleep(interval)
        number += 1
        is_good = setting.change(number)
        ledger.good_reloads += is_good
        ledger.bad_reloads += not is_good
        before = segue.reloads
        segue.hang_up()
        try:
            async with asyncio.timeout(_RELOADED):
                while segue.reloads == before:  # noqa: ASYNC110 (the log is read elsewhere)
                    await asyncio.sleep(0.01)
        except TimeoutError:
            ledger.faults.append("a reload was not heeded")


async def _settled(segue: Segue) -> Samples:
    """Return the metrics page once everything that was open is closed, or should have been."""
    end = monotonic() + _SETTLE
    while True:
        page = await segue.metrics()
        still_open = sum(
            value
            for (name, _), value in page.items()
            if name in ("segue_open_connections", "segue_requests_in_flight")
        )
        if not still_open or monotonic() > end:
            return page
        await asyncio.sleep(0.1)


def _judge(ledger: Ledger, page: Samples, seconds: float) -> int:
    """Say what came of it; the exit code."""
    found = imbalances(ledger, page)
    grown = growth(ledger.memory)
    if grown is not None:
        warm, last, difference = grown
        _say(
            f"memory: {warm / _MIB:.1f} MiB after warm-up, {last / _MIB:.1f} MiB at the end:"
            f" {difference / _MIB:+.1f} MiB, of which {TOLERANCE / _MIB:.0f} are tolerated"
        )
        if seconds < _JUDGED:
            _say(f"memory is not judged in less than {_JUDGED:.0f} seconds")
        elif difference > TOLERANCE:
            found.append("memory grows")
    _say(
        f"accounts: {ledger.requests:,} requests, {ledger.handshakes:,} WebSockets,"
        f" {ledger.messages:,} messages, {ledger.polls:,} polls for which the server was asked"
        f" {ledger.polled:,} times"
    )
    for fault in found[:50]:
        _say(f"  {fault}")
    _say("NOT WELL" if found else "well: every account balances")
    return 1 if found else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 (a command-line tool)


def main() -> int:
    """Read the command line; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="of traffic")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(soak(options.seconds))


if __name__ == "__main__":
    sys.exit(main())
