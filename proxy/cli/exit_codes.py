"""The exit codes of all commands, in one place; docs/commands.md has the same in a table."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    """Done: a change is in force in the process that answered."""

    FAILED = 1
    """Something is wrong, or Segue cannot be reached, or it refuses for a reason without a code."""

    USAGE = 2
    """The command line cannot be understood."""

    CHANGED_MEANWHILE = 3
    """What was to be changed is not what it was when it was read (`If-Match`)."""

    ROLE = 4
    """Who asks is not known, or may not do it."""

    AUTHORITY = 5
    """The configuration is the authority, and nothing else may change it."""

    INTERRUPTED = 130
    """Ctrl-C."""


AUTHORITY_PROBLEM: Final = "configuration-authority"
"""What the `type` of the problem document of a 409 ends with where the configuration decides."""

COMMON: Final = frozenset({ExitCode.OK, ExitCode.FAILED, ExitCode.USAGE, ExitCode.INTERRUPTED})
"""Those of every command that asks no running Segue, and does not say otherwise."""

ASKING: Final = COMMON | {ExitCode.ROLE}
"""Those of a command that asks one; to it, each other refusal is a failure."""

CHANGING: Final = ASKING | {ExitCode.CHANGED_MEANWHILE, ExitCode.AUTHORITY}
"""Those of a command that changes switches."""


WORDS: Final = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "failed",
    ExitCode.USAGE: "command line",
    ExitCode.CHANGED_MEANWHILE: "changed meanwhile",
    ExitCode.ROLE: "not allowed",
    ExitCode.AUTHORITY: "the configuration decides",
    ExitCode.INTERRUPTED: "Ctrl-C",
}
"""What each stands for, in the help of commands."""


def of_answer(status: int | None, problem_type: str) -> ExitCode:
    """What an answer that is no success ends a command with.

    Args:
        status: of the answer; None: there was none.
        problem_type: the `type` of its problem document (RFC 9457); empty without any.
    """
    match status:
        case 412 | 428:
            return ExitCode.CHANGED_MEANWHILE
        case 401 | 403:
            return ExitCode.ROLE
        case 409 if is_problem(problem_type, AUTHORITY_PROBLEM):
            return ExitCode.AUTHORITY
    return ExitCode.FAILED


def is_problem(problem_type: str, kind: str) -> bool:
    """Whether the last segment of a URI is this, whatever stands before it."""
    return problem_type.replace(":", "/").replace("#", "/").rpartition("/")[2] == kind
