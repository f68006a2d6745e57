"""How long a test waits for what has to come."""

from __future__ import annotations

from typing import Final

PATIENCE: Final = 120.0
"""Seconds after which a test is considered hung, on a machine with much else to do.

Nothing is expected to take a part of it: a test waits for an event, and this only ends the wait for
one that never comes.
"""
