"""What a running Segue sees of needs, looked at when a test says so, and not by the clock."""

from __future__ import annotations

from proxy.control.sunset import SunsetRecords
from proxy.storage import cancellation
from proxy.switching.sunset_watch import Look
from tests.support.rig import Segue


async def stopped(proxy: Segue) -> SunsetRecords:
    """The records of a Segue that looks no more by itself."""
    records = proxy.server._sunset
    assert records._running is not None
    await cancellation.end(records._running)
    return records


async def looked(proxy: Segue) -> Look:
    """What there was since the look before."""
    return await proxy.server._data.needs.look()
