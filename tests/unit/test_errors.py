"""Whose fault it is: the status and label that follow from each error."""

from __future__ import annotations

import inspect
from http import HTTPStatus

import pytest

from proxy import errors
from proxy.errors import (
    ClientError,
    ConfigError,
    Diagnostic,
    MappingFailure,
    SegueError,
    Unavailable,
    UpstreamError,
)
from proxy.types import OnError

KINDS: list[type[SegueError]] = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, SegueError) and kind is not SegueError
]


@pytest.mark.parametrize(
    ("name", "status", "label", "base"),
    [
        ("ClientError", 400, "bad_request", SegueError),
        ("HeadersTooLarge", 431, "headers_too_large", ClientError),
        ("TargetTooLong", 414, "target_too_long", ClientError),
        ("CodingNotImplemented", 501, "coding_not_implemented", ClientError),
        ("RequestTimeout", 408, "request_timeout", ClientError),
        ("MethodNotAllowed", 405, "method_not_allowed", ClientError),
        ("UnsupportedVersion", 505, "http_version", ClientError),
        ("ClientGone", 499, "client_gone", ClientError),
        ("UpstreamError", 502, "upstream_broken", SegueError),
        ("UpstreamUnreachable", 502, "upstream_unreachable", UpstreamError),
        ("UpstreamTimeout", 504, "upstream_timeout", UpstreamError),
        ("Unavailable", 503, "unavailable", SegueError),
        ("OutOfResources", 503, "out_of_resources", Unavailable),
        ("StoreAway", 503, "store_away", Unavailable),
        ("StoreBusy", 503, "store_busy", errors.StoreAway),
        ("StoreReadOnly", 503, "store_read_only", errors.StoreAway),
        ("SessionUnavailable", 503, "session_unavailable", Unavailable),
        ("SessionEnded", 401, "session_ended", ClientError),
        ("MisdirectedRequest", 421, "misdirected", ClientError),
        ("OriginRefused", 403, "origin_refused", ClientError),
        ("NotServed", 404, "not_served", ClientError),
        ("StoreFull", 503, "store_full", Unavailable),
        ("MappingFailure", 502, "mapping_failed", SegueError),
        ("ConfigError", 500, "config", SegueError),
    ],
)
def test_each_error_says_whose_fault_it_is(
    name: str, status: int, label: str, base: type[SegueError]
) -> None:
    kind: type[SegueError] = getattr(errors, name)
    assert (kind.status, kind.label) == (status, label)
    assert issubclass(kind, base)
    assert kind in KINDS


def test_a_want_says_whether_another_server_helps() -> None:
    assert not errors.OutOfResources("no file left").elsewhere
    assert errors.OutOfResources("no port left", elsewhere=True).elsewhere


def test_no_two_errors_share_a_label() -> None:
    every: list[type[SegueError]] = [SegueError, *KINDS]
    labels = [kind.label for kind in every]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_error_says_can_be_sent(kind: type[SegueError]) -> None:
    assert kind.title
    # 499 is the one status without a registration: nobody is there to read it.
    assert kind.status == 499 or kind.status in set(HTTPStatus)


def test_an_error_carries_its_detail_and_may_have_none() -> None:
    assert SegueError().detail == ""
    assert UpstreamError("the server sent half a head").detail == "the server sent half a head"
    assert str(UpstreamError("half a head")) == "half a head"


def test_a_mapping_failure_names_mapping_and_rule() -> None:
    failure = MappingFailure("legacy", "status", "no field jobId", OnError.DROP)
    assert (failure.mapping, failure.rule, failure.on_error) == ("legacy", "status", OnError.DROP)
    assert failure.detail == "no field jobId"


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (
            Diagnostic("config.yaml", 3, 7, "listen.port", "not a port"),
            "config.yaml:3:7: listen.port: not a port",
        ),
        (Diagnostic("config.yaml", 1, 1, "", "is empty"), "config.yaml:1:1: is empty"),
        (
            Diagnostic("SEGUE_LISTEN__PORT", 0, 0, "listen.port", "not a port"),
            "SEGUE_LISTEN__PORT: listen.port: not a port",
        ),
        (Diagnostic("--config", 0, 0, "", "no such file"), "--config: no such file"),
    ],
)
def test_a_problem_says_where_it_is_as_precisely_as_is_known(
    problem: Diagnostic, text: str
) -> None:
    assert str(problem) == text


def test_a_config_error_lists_every_problem_once_in_file_order() -> None:
    late = Diagnostic("a.yaml", 12, 1, "x", "late")
    early = Diagnostic("a.yaml", 2, 5, "y", "early")
    other = Diagnostic("b.yaml", 1, 1, "z", "other")
    error = ConfigError(iter([other, late, early, late]))
    assert error.problems == (early, late, other)
    assert str(error) == error.detail == f"{early}\n{late}\n{other}"


def test_what_may_be_repeated_is_said_by_the_error_and_holds_for_its_kinds() -> None:
    class BrokenOff(errors.UpstreamError):
        """A kind that somebody adds."""

    assert BrokenOff("it broke off").may_be_repeated
    for error in (errors.UpstreamTimeout("late"), errors.UpstreamUnreachable("nobody there")):
        assert not error.may_be_repeated


def test_problem_is_told_in_what_no_terminal_obeys() -> None:
    problem = Diagnostic("e\x1b[2J\nvil.yaml", 1, 2, 'a["\x9b5m"]', "unknown key \u202e")
    assert str(problem) == 'e\\x1b[2J\\nvil.yaml:1:2: a["\\x9b5m"]: unknown key \\u202e'
    assert str(ConfigError([problem])) == str(problem)
    assert str(Diagnostic("é.yaml", 0, 0, "", "größer")) == "é.yaml: größer"
