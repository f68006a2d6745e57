"""The revisions of a store are read to an end, whatever somebody has written into it."""

from __future__ import annotations

import pytest

from proxy.control.switch_history import SwitchHistory
from proxy.control.switch_store.base import Newest, StoredRevision
from proxy.control.switch_store.memory import MemorySwitchStore
from proxy.switching.history import Revision, write_revision
from proxy.switching.table import OpenSockets

DAMAGES = {"huge": 1 << 53, "its own": 4, "the next": 5, "the first": 1, "unreadable": None}


def written(number: int) -> bytes:
    return write_revision(
        Revision(
            number=number,
            at=1.0,
            author="ops",
            role="operator",
            reason="a test",
            kind="all-off",
            scope=(),
            open_sockets=OpenSockets.KEEP,
            before={},
            after={},
            all_off=True,
            digest="d",
        )
    )


@pytest.mark.parametrize("damaged", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("places", [{4}, {2, 3, 4}, {6}, {1, 2, 3, 4, 5, 6}])
async def test_numbers_that_do_not_fit_their_place_end_nowhere(
    damaged: int | None, places: set[int]
) -> None:
    store = MemorySwitchStore()
    for number in range(1, 7):
        told = number if number not in places else damaged
        revision = b"damaged" if told is None else written(told)
        assert await store.append(StoredRevision(number, revision, b"state"))
    history = SwitchHistory(store)
    found = [each.number for each in await history.between(Newest(), Newest(6, "tag"))]
    assert found == sorted(set(found))
    assert {number for number in range(1, 7) if number > max(places)} <= set(found)
    page = [each.number for each in await history.page(None, 100)]
    assert page == sorted(set(page), reverse=True)
