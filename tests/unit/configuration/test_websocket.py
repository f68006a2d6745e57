"""The bounds of WebSockets of a session: what is taken, and what it is by default."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from proxy.configuration.websocket import SocketBound, WebSockets

PATH = "/ws/jobs/{}/"


def test_what_a_path_alone_means() -> None:
    bound = SocketBound.model_validate({"path": PATH})
    assert (bound.most, bound.excess, bound.code, bound.pace) == (4, "close_oldest", 1000, 4.0)
    assert bound.pattern == PATH
    # Whatever the method, of which a handshake has but one.
    assert bound.methods == frozenset()


def test_a_segment_may_have_a_name_and_cookies_are_named() -> None:
    bound = SocketBound.model_validate({"path": "/ws/jobs/{id}/", "cookies": ["sessionid"]})
    assert bound.pattern == PATH
    assert bound.cookies == ("sessionid",)


def test_there_is_none_by_default() -> None:
    assert WebSockets().per_session == ()


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1012, 1013, 3000, 4001, 4999])
def test_codes_that_may_be_said(code: int) -> None:
    assert SocketBound.model_validate({"path": PATH, "code": str(code)}).code == code


@pytest.mark.parametrize(
    "wrong",
    [
        *({"code": str(code)} for code in (999, 1002, 1005, 1006, 1015, 2999, 5000)),
        {"most": "0"},
        {"pace": 0},
        {"excess": "refuse"},
        {"path": "/ws/*"},
        {"path": "/ws/{id}/{id}/"},
        {"cookies": ["a b"]},
        {"other": 1},
    ],
    ids=str,
)
def test_what_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SocketBound.model_validate({"path": PATH, **wrong})
