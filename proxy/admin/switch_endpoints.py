"""The endpoints of switches and revisions, as data, and what each is asked for.

`GET /switches` shows all of them, `GET /switches/COHORT/MAPPING` one; `PUT` there turns it, or
makes an exception for some versions, which `DELETE .../exceptions/NAME` takes away; `POST
.../restore` ends all that was set of it. `POST /switches/all-off` has everything pass as it is,
`POST /switches/restore` ends that. `GET /revisions` is what was done, `POST /undo` goes back. A
change that raises says on which revision it builds, in `If-Match` (RFC 9110 section 13.1.1).
"""

from __future__ import annotations

import re
from typing import Annotated, Final

import pydantic
from pydantic import Field

from proxy.admin.endpoints import OF_A_SWITCH, SOME_SWITCH, Endpoint, Example, HeaderField
from proxy.admin.orders import AdminRequest
from proxy.admin.switch_views import (
    Changed,
    DryRun,
    RevisionPage,
    RevisionView,
    SwitchesView,
    SwitchView,
)
from proxy.switching.history import MAX_REASON
from proxy.switching.setting import Mode
from proxy.switching.table import OpenSockets
from proxy.types import LABEL, Role, check_label
from proxy.versions.version import parse_range

REVISION_TAG: Final = re.compile(r'"([0-9]{1,16})"')
"""A revision, as `ETag` and `If-Match` have it."""

MOST_TERM: Final = 366 * 86400
"""Seconds after which what is temporary is overdue at the latest."""

Reason = Annotated[str, Field(min_length=1, max_length=MAX_REASON, pattern=r"[^\s\x85\ufeff]")]
"""What is white space differs: ECMA-262, which JSON Schema goes by, and Rust disagree on two."""
Owner = Annotated[str, Field(max_length=256)]


def _checked_range(text: str | None) -> str | None:
    if text is not None:
        parse_range(text)
    return text


class ChangeRequest(AdminRequest):
    """What every change says.

    Attributes:
        reason: why; it is kept with the revision.
        open_sockets: what open WebSockets do: `keep` what they have, have it from their
            `next_message` on, or `reconnect`; as `switching.open_sockets` of the configuration
            says where null.
    """

    reason: Reason
    open_sockets: OpenSockets | None = None


class SetRequest(ChangeRequest):
    """What a switch is to be set to.

    Attributes:
        state: what it does: `off` passes messages as they are, `shadow` rewrites and compares a
            copy, `canary` applies the mapping for a share of the users, `on` for all.
        percent: of the users, for a canary, which needs it, with two decimals at most; null for
            everything else.
        versions: for these alone, a range such as `==2.1.3`: an exception, which needs `name` too;
            null: for all that are in no exception.
        name: of the exception; one of this name that is there is changed.
        owner: who answers for what is temporary; whoever asks where empty.
        seconds: after which it is overdue; null for no time.
        restore: whether it ends by itself then, and is what it was again; needs `seconds`.
        dry_run: change nothing, and only say what it would touch: the answer is a `DryRun`.
    """

    state: Mode
    percent: Annotated[float, Field(ge=0, le=100)] | None = None
    versions: Annotated[
        Annotated[str, Field(max_length=256)] | None, pydantic.AfterValidator(_checked_range)
    ] = None
    name: (
        Annotated[str, Field(pattern=f"^{LABEL}$"), pydantic.AfterValidator(check_label)] | None
    ) = None
    owner: Owner = ""
    seconds: Annotated[float, Field(gt=0, le=MOST_TERM)] | None = None
    restore: bool = False
    dry_run: bool = False


class DropQuery(ChangeRequest):
    """Why an exception is taken away, and what open sockets do."""


class UndoRequest(ChangeRequest):
    """Which changes are taken back: the newest, or all since an earlier revision.

    Attributes:
        to: the revision whose settings are brought back, all later ones being undone; 0: as
            configured; the one before the newest where null.
    """

    to: Annotated[int, Field(ge=0, le=2**53)] | None = None


class AllOffRequest(AdminRequest):
    """Why everything is to be off.

    Attributes:
        reason: why; it is kept with the revision.
    """

    reason: Reason


class RevisionsQuery(AdminRequest):
    """Which revisions, the newest first.

    Attributes:
        before: only those with a lower number than this: of the last one that was shown, to read
            on; null: from the newest.
        limit: how many at most.
    """

    before: Annotated[int, Field(ge=1, le=2**53)] | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20


_READ: Final = {503: "The store of switches is away."}
CHANGED: Final = {
    409: "It cannot be done as things are, or the configuration's file is the authority.",
    503: "The store of switches is away; what is in force stays. The change may have been made:"
    " look at the revisions when it is back.",
}
CONDITIONAL: Final = {
    **CHANGED,
    412: "It was changed since the revision in `If-Match`: `detail` says by whom, to what.",
    428: "It needs `If-Match`: only what lowers does not.",
}
NO_SWITCH: Final = "There is no switch of this name."
_NO_STEP_DOWN: Final = (
    "This is no step down, and everything is off, or the configuration's file is the authority"
)
IF_MATCH: Final = HeaderField(
    "If-Match",
    'the revision on which the change builds, such as `"7"`: of a switch as `ETag` and `revision`'
    " tell it, else the newest of all; needed for all that raises",
    f"^{REVISION_TAG.pattern}$",
)
_ETAG: Final = HeaderField("ETag", 'the revision that changed the switch last, such as `"7"`')
_AT_SEVEN: Final = {"If-Match": '"7"'}
_AT_EIGHT: Final = {"If-Match": '"8"'}
_OF_AN_EXCEPTION: Final = {**OF_A_SWITCH, "name": "of the exception"}

LIST: Final = Endpoint("GET", "/switches", Role.VIEWER, None, SwitchesView, refusals=_READ)
SHOW: Final = Endpoint(
    "GET",
    "/switches/{cohort}/{mapping}",
    Role.VIEWER,
    None,
    SwitchView,
    refusals={**_READ, 404: NO_SWITCH},
    gives=(_ETAG,),
    segments=OF_A_SWITCH,
    example=Example(segments=SOME_SWITCH),
)
SET: Final = Endpoint(
    "PUT",
    "/switches/{cohort}/{mapping}",
    Role.OPERATOR,
    SetRequest,
    Changed,
    refusals={
        **CONDITIONAL,
        404: NO_SWITCH,
        409: f"{_NO_STEP_DOWN}; or there are as many exceptions as there can be.",
        422: "No version of the cohort is in the exception's range.",
    },
    takes=(IF_MATCH,),
    segments=OF_A_SWITCH,
    alternative=DryRun,
    example=Example(
        {"state": "canary", "percent": 10, "reason": "first users of 2.4", "seconds": 3600},
        SOME_SWITCH,
        _AT_SEVEN,
    ),
)
DROP: Final = Endpoint(
    "DELETE",
    "/switches/{cohort}/{mapping}/exceptions/{name}",
    Role.OPERATOR,
    DropQuery,
    Changed,
    refusals={
        **CONDITIONAL,
        404: "There is no switch of this name, or it has no such exception.",
        409: f"{_NO_STEP_DOWN}.",
    },
    takes=(IF_MATCH,),
    segments=_OF_AN_EXCEPTION,
    example=Example(
        {"reason": "2.1.3 is fixed"}, {**SOME_SWITCH, "name": "broken-2-1-3"}, _AT_SEVEN
    ),
)
RESTORE_SWITCH: Final = Endpoint(
    "POST",
    "/switches/{cohort}/{mapping}/restore",
    Role.OPERATOR,
    ChangeRequest,
    Changed,
    refusals={**CONDITIONAL, 404: NO_SWITCH, 409: f"{_NO_STEP_DOWN}; or nothing was set of it."},
    takes=(IF_MATCH,),
    segments=OF_A_SWITCH,
    example=Example({"reason": "the canary went well"}, SOME_SWITCH, _AT_EIGHT),
)
ALL_OFF: Final = Endpoint(
    "POST",
    "/switches/all-off",
    Role.OPERATOR,
    AllOffRequest,
    Changed,
    refusals={**CHANGED, 409: "Everything is off already (`type` is `/problems/already-so`)."},
    example=Example({"reason": "frames are wrong since noon"}),
)
RESTORE: Final = Endpoint(
    "POST",
    "/switches/restore",
    Role.OPERATOR,
    ChangeRequest,
    Changed,
    refusals={
        **CONDITIONAL,
        409: "Everything is not off, or the configuration's file is the authority.",
    },
    takes=(IF_MATCH,),
    example=Example({"reason": "the server is fixed"}, fields=_AT_EIGHT),
)
REVISIONS: Final = Endpoint(
    "GET",
    "/revisions",
    Role.VIEWER,
    RevisionsQuery,
    RevisionPage,
    refusals=_READ,
    example=Example({"limit": 1}),
)
REVISION: Final = Endpoint(
    "GET",
    "/revisions/{number}",
    Role.VIEWER,
    None,
    RevisionView,
    refusals={**_READ, 404: "There is no such revision, or it is not kept any more."},
    segments={"number": "of the revision"},
    example=Example(segments={"number": "8"}),
)
UNDO: Final = Endpoint(
    "POST",
    "/undo",
    Role.OPERATOR,
    UndoRequest,
    Changed,
    refusals={
        **CONDITIONAL,
        404: "There is no such revision to go back to, or it is not kept any more.",
    },
    takes=(IF_MATCH,),
    example=Example({"reason": "it was the wrong switch"}, fields=_AT_EIGHT),
)
