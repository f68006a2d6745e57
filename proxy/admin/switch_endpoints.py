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

from proxy.admin.endpoints import Endpoint, HeaderField
from proxy.admin.orders import AdminRequest
from proxy.admin.switch_views import Changed, RevisionPage, RevisionView, SwitchesView, SwitchView
from proxy.switching.history import MAX_REASON
from proxy.switching.setting import Mode
from proxy.switching.table import OpenSockets
from proxy.types import LABEL, Role
from proxy.versions.version import parse_range

REVISION_TAG: Final = re.compile(r'"([0-9]{1,16})"')
"""A revision, as `ETag` and `If-Match` have it."""

MOST_TERM: Final = 366 * 86400
"""Seconds after which what is temporary is overdue at the latest."""

Reason = Annotated[str, Field(min_length=1, max_length=MAX_REASON, pattern=r"\S")]
Owner = Annotated[str, Field(max_length=256)]


def _checked_range(text: str | None) -> str | None:
    if text is not None:
        parse_range(text)
    return text


class ChangeRequest(AdminRequest):
    """What every change says.

    Attributes:
        reason: why; it is kept with the revision.
        open_sockets: what open WebSockets do; as the configuration says where null.
    """

    reason: Reason
    open_sockets: OpenSockets | None = None


class SetRequest(ChangeRequest):
    """What a switch is to be set to.

    Attributes:
        state: as the name says.
        percent: of a canary, with two decimals.
        versions: for these alone: an exception.
        name: of the exception.
        owner: who answers for what is temporary; whoever asks where empty.
        seconds: after which it is overdue; null for no time.
        restore: whether it ends by itself then.
        dry_run: only say what it would touch.
    """

    state: Mode
    percent: Annotated[float, Field(ge=0, le=100)] | None = None
    versions: Annotated[
        Annotated[str, Field(max_length=256)] | None, pydantic.AfterValidator(_checked_range)
    ] = None
    name: Annotated[str, Field(pattern=f"^{LABEL}$")] | None = None
    owner: Owner = ""
    seconds: Annotated[float, Field(gt=0, le=MOST_TERM)] | None = None
    restore: bool = False
    dry_run: bool = False


class DropQuery(ChangeRequest):
    """Why an exception is taken away, and what open sockets do."""


class UndoRequest(ChangeRequest):
    """Where to go back to: the revision before the newest where null."""

    to: Annotated[int, Field(ge=0, le=2**53)] | None = None


class AllOffRequest(AdminRequest):
    """Why everything is to be off."""

    reason: Reason


class RevisionsQuery(AdminRequest):
    """Which revisions: those before a number, the newest first."""

    before: Annotated[int, Field(ge=1, le=2**53)] | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20


_READ: Final = {503: "The store of switches is away."}
_CHANGED: Final = {
    404: "There is no switch, exception or revision of this name.",
    409: "It cannot be done as things are, or the configuration's file is the authority.",
    503: "The store of switches is away; what is in force stays.",
}
_CONDITIONAL: Final = {
    **_CHANGED,
    412: "The switch has changed meanwhile.",
    428: "It needs If-Match: only what lowers does not.",
}
_IF_MATCH: Final = HeaderField(
    "If-Match",
    'the revision on which the change builds, such as `"7"`, as `ETag` tells it',
    f"^{REVISION_TAG.pattern}$",
)
_ETAG: Final = HeaderField("ETag", "the revision that changed the switch last")

LIST: Final = Endpoint("GET", "/switches", Role.VIEWER, None, SwitchesView, refusals=_READ)
SHOW: Final = Endpoint(
    "GET",
    "/switches/{cohort}/{mapping}",
    Role.VIEWER,
    None,
    SwitchView,
    refusals=_READ,
    gives=(_ETAG,),
)
SET: Final = Endpoint(
    "PUT",
    "/switches/{cohort}/{mapping}",
    Role.OPERATOR,
    SetRequest,
    Changed,
    refusals={**_CONDITIONAL, 422: "No version of the cohort is in the exception's range."},
    takes=(_IF_MATCH,),
)
DROP: Final = Endpoint(
    "DELETE",
    "/switches/{cohort}/{mapping}/exceptions/{name}",
    Role.OPERATOR,
    DropQuery,
    Changed,
    refusals=_CONDITIONAL,
    takes=(_IF_MATCH,),
)
RESTORE_SWITCH: Final = Endpoint(
    "POST",
    "/switches/{cohort}/{mapping}/restore",
    Role.OPERATOR,
    ChangeRequest,
    Changed,
    refusals=_CONDITIONAL,
    takes=(_IF_MATCH,),
)
ALL_OFF: Final = Endpoint(
    "POST", "/switches/all-off", Role.OPERATOR, AllOffRequest, Changed, refusals=_CHANGED
)
RESTORE: Final = Endpoint(
    "POST",
    "/switches/restore",
    Role.OPERATOR,
    ChangeRequest,
    Changed,
    refusals=_CONDITIONAL,
    takes=(_IF_MATCH,),
)
REVISIONS: Final = Endpoint(
    "GET", "/revisions", Role.VIEWER, RevisionsQuery, RevisionPage, refusals=_READ
)
REVISION: Final = Endpoint(
    "GET", "/revisions/{number}", Role.VIEWER, None, RevisionView, refusals=_READ
)
UNDO: Final = Endpoint(
    "POST",
    "/undo",
    Role.OPERATOR,
    UndoRequest,
    Changed,
    refusals=_CONDITIONAL,
    takes=(_IF_MATCH,),
)
