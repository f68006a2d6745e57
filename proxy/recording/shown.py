"""What is shown of a message: placeholders in place of what people wrote, unless all is allowed.

Putting them in takes a hundred times as long as a rewrite of the message: it is for a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from proxy.errors import MappingFailure
from proxy.mapping.engine.program import Program
from proxy.mapping.engine.vocabulary import Vocabulary
from proxy.mapping.json.objects import open_list, open_object
from proxy.recording.placeholders import redacted
from proxy.recording.tap import Observed
from proxy.types import Channel

_KIND: Final = frozenset({"kind"})
"""The key whose values are shown where no mapping says by which field messages are told apart."""


class Shown(NamedTuple):
    """A message as it is shown.

    Attributes:
        before: the message, JSON; None for one that is no JSON object, of which nothing is shown.
        after: what stood in its place; None where that cannot be said: the mapping failed, or
            cannot be carried out on the placeholders alone.
        unshown: the rule that cannot be carried out on the placeholders; None where all can.
    """

    before: str | None
    after: tuple[str, ...] | None
    unshown: str | None = None


def shown(observed: Observed, keep: Sequence[str] | None, *, raw: bool) -> Shown:
    """Return what is shown of a message.

    What became of it is what the mapping makes of it as it is shown, so that the two fit together.

    Args:
        observed: the message.
        keep: the keys whose values are shown; where it is None, the words that the mapping itself
            names: all values of its `kinds.field` (`kind` without one), and those that its rules
            compare with.
        raw: whether everything is.
    """
    program, made = observed.program, observed.made
    # The bodies of HTTP can be lists; as a message's `out`, a list would be several messages.
    is_body = bool(observed.point.route) or (
        program is not None and program.channel is Channel.HTTP
    )
    before: str | None
    if raw:
        before = _plain(observed.message, lists=is_body)
    elif keep is None:
        vocabulary = Vocabulary() if program is None else program.vocabulary
        words = vocabulary.words
        before = redacted(observed.message, kind_keys(program), words, lists=is_body)
    else:
        before = redacted(observed.message, frozenset(keep), lists=is_body)
    if before is None:
        return Shown(None, None)
    if observed.failure is not None:
        return Shown(before, None)
    if program is not None and not raw:
        try:
            made = program.apply(before.encode())
        except MappingFailure as failure:
            return Shown(before, None, failure.rule)
    return Shown(before, (before,) if made is None else tuple(each.decode() for each in made))


def _plain(message: bytes, *, lists: bool) -> str | None:
    if open_object(message) is None and not (lists and open_list(message) is not None):
        return None
    return message.decode()


def kind_keys(program: Program | None) -> frozenset[str]:
    """The fields that name the kind of a message."""
    return (program.vocabulary.keys if program is not None else frozenset()) or _KIND


def reason(failure: MappingFailure) -> dict[str, str]:
    """Why a rule could not be carried out; fields of the rule are named, no values."""
    told = {
        "mapping": failure.mapping,
        "rule": failure.rule,
        "operation": failure.operation,
        "field": failure.field,
        "reason": failure.detail,
    }
    return {name: value for name, value in told.items() if value}


def one_line(json_text: str) -> str:
    """The same JSON without line breaks: they are space between its tokens, never in its texts."""
    return json_text.replace("\n", " ").replace("\r", " ")
