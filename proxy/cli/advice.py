"""Changes of switches, and which command comes next where Segue refuses one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.admin.endpoints import Endpoint
from proxy.admin.switch_endpoints import ALL_OFF
from proxy.cli.admin import TIMEOUT, Refused, ask
from proxy.cli.admin_place import Place
from proxy.cli.exit_codes import ExitCode
from proxy.cli.switch_reads import read_switches

_CONFLICT: Final = 409
_FORBIDDEN: Final = 403


def change(
    where: Place,
    endpoint: Endpoint,
    asked: Mapping[str, object],
    *,
    if_match: int | None = None,
    newest: int | None = None,
    named: int | None = None,
    **segments: str,
) -> dict[str, Any]:
    """Ask for a change; return the answer's object.

    Args:
        where: the running Segue.
        endpoint: what is asked.
        asked: what for.
        if_match: the revision that the change builds on; None to say none.
        newest: that of what is changed, as it was read just before.
        named: the one that the command line names, if any.
        segments: of its path, by their names.

    Raises:
        Refused: it is not made; the text ends with what to do then.
    """
    try:
        return ask(where, endpoint, asked, timeout=TIMEOUT, if_match=if_match, **segments)
    except Refused as refused:
        if _is_of_the_future(refused, named, newest):
            text = f"--if-revision {named}: there is no such revision; the newest is {newest}"
            raise refused.said(text) from None
        raise refused.said(f"{refused}{_next(refused, where, endpoint, named)}") from None


def _is_of_the_future(refused: Refused, named: int | None, newest: int | None) -> bool:
    is_old = refused.code is ExitCode.CHANGED_MEANWHILE
    return is_old and named is not None and newest is not None and named > newest


def _next(refused: Refused, where: Place, endpoint: Endpoint, named: int | None) -> str:
    if refused.code is ExitCode.CHANGED_MEANWHILE:
        again = "try it again" if named is None else "repeat it without --if-revision"
        return f". See `segue history`; if it is still wanted, {again}"
    if refused.status == _FORBIDDEN and endpoint is ALL_OFF:
        return ". Turn those of your cohorts off: `segue switch set COHORT/MAPPING off`"
    if refused.status == _CONFLICT and refused.code is ExitCode.FAILED and _all_off(where):
        return ". `segue switch all restore --reason TEXT` ends that"
    return ""


def _all_off(where: Place) -> bool:
    try:
        return read_switches(where)[0].all_off
    except Refused:
        return False  # The first refusal is the one to tell of.
