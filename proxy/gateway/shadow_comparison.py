"""What would have become of a message if a switch were on, in relation to what was sent."""

from __future__ import annotations

import time

from proxy.errors import MappingFailure
from proxy.gateway.shadow_queue import OfferedMessage
from proxy.gateway.shadow_switch import ShadowedSwitch
from proxy.mapping.engine.difference import difference
from proxy.mapping.engine.explanation import MessageOutcome
from proxy.mapping.engine.program import Program
from proxy.types import OnError


def compare(
    offered: OfferedMessage, shadow: ShadowedSwitch, program: Program, *, raw: bool
) -> None:
    """Work out what would have become of a message, and count it when that is done.

    Args:
        offered: the message, and what was sent.
        shadow: the switch.
        program: what would be applied if it were on.
        raw: whether an example may be kept as it is.
    """
    message, account = offered.message, shadow.account
    sent = (message,) if offered.made is None else offered.made
    failed = offered.failure
    if failed is not None:
        sent = _sent_after(failed, message)
    failure: MappingFailure | None = None
    try:
        made = program.apply(message)
    except MappingFailure as raised:
        failure = raised
        would = _sent_after(raised, message)
    else:
        would = (message,) if made is None else made
    rules: tuple[str, ...] = ()
    if failure is not None and not _same(failure, failed):
        outcome, rules = MessageOutcome.FAILED, (failure.rule,)
    elif sent == would:
        outcome = MessageOutcome.PASSED
    else:
        outcome = MessageOutcome.MAPPED if would else MessageOutcome.DROPPED
        named = program.rules_for(message)
        rules = tuple([rule for mapping, rule in named if mapping == shadow.mapping])
    if outcome is not MessageOutcome.PASSED:
        found = difference(sent, would)
        example = account.note(outcome, rules, found, offered.point, time.time())
        if example is not None:
            example.keep(sent, would, program, raw=raw)
    if failure is not None and outcome is MessageOutcome.FAILED:
        account.count_failure(failure)
    else:
        account.count(outcome, rules)


def _sent_after(failure: MappingFailure, message: bytes) -> tuple[bytes, ...]:
    return (message,) if failure.on_error is OnError.PASS else ()


def _same(failure: MappingFailure, other: MappingFailure | None) -> bool:
    """Whether a failure is one that there is without the switch, too."""
    return other is not None and (failure.mapping, failure.rule, failure.operation) == (
        other.mapping,
        other.rule,
        other.operation,
    )
