"""Why logins open no sessions: told once an hour, and never with a token."""

from __future__ import annotations

import structlog
from structlog.testing import capture_logs

from proxy.sessions.unopened import Unopened, UnopenedLog


def test_each_reason_is_told_once_an_hour() -> None:
    now = [0.0]
    with capture_logs() as lines:
        log = UnopenedLog(structlog.get_logger(), lambda: now[0])
        for now[0] in (0.0, 10.0, 3599.0, 3600.0):
            log.tell(Unopened.FULL)
            log.tell(Unopened.NO_JWT)
    assert [line["reason"] for line in lines] == [Unopened.FULL, Unopened.NO_JWT] * 2
    assert {line["set"] for line in lines if line["reason"] == Unopened.FULL} == {"store.sessions"}


def test_no_name_that_could_be_a_token_is_told() -> None:
    with capture_logs() as lines:
        log = UnopenedLog(structlog.get_logger(), lambda: 0.0)
        names = ["tokens.access", "e" * 41, "a b", "\x1b[2J", *map(str, range(50))]
        log.tell(Unopened.NOT_FOUND, texts=names, cookies=[])
    (line,) = lines
    assert line["texts"] == ["tokens.access", *map(str, range(8))]
    assert line["cookies"] == []


def test_all_reasons_say_what_helps() -> None:
    with capture_logs() as lines:
        log = UnopenedLog(structlog.get_logger(), lambda: 0.0)
        for reason in Unopened:
            log.tell(reason)
    assert all(line["set"] for line in lines)
    events = {line["event"] for line in lines if line["reason"] != Unopened.SCHEME}
    assert events == {"logins open no sessions"}
    (other,) = [line["event"] for line in lines if line["reason"] == Unopened.SCHEME]
    assert other == "the token of a session is not looked at"
