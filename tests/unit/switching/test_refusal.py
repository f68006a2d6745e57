"""Why changes are refused: the kind, for machines, and the text, for people."""

from __future__ import annotations

from proxy.switching.refusal import ChangeRefused, Why


def test_a_refusal_has_both() -> None:
    refused = ChangeRefused(Why.CLOSED, "at night")
    assert (refused.why, str(refused)) == (Why.CLOSED, "at night")
