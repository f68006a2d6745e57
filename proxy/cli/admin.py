"""Asking a running Segue, by the values that its endpoints are."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

import pydantic

from proxy.admin.endpoints import Endpoint
from proxy.cli.admin_place import Place, Unreachable
from proxy.cli.exit_codes import ExitCode, of_answer
from proxy.cli.terminal import printable

TIMEOUT: Final = 15.0
"""Seconds to wait for an answer."""

MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of the longest answer, or line of one, that is read; Segue's own are far below."""


Model = TypeVar("Model", bound=pydantic.BaseModel)


class Refused(Exception):
    """Segue cannot be reached, or will not do it. The text says why, and is safe to print.

    Attributes:
        status: of its answer; None where there was none, or none that can be read.
        problem: the problem document of the answer (RFC 9457) as it came, not safe to print; empty
            where it was none.
        asked: what was asked, where, and the status; empty where that is told anyhow.
        code: the exit code that follows from status and problem, for commands that have it.
    """

    def __init__(
        self,
        text: str,
        status: int | None = None,
        problem: Mapping[str, object] | None = None,
        asked: str = "",
    ) -> None:
        super().__init__(text)
        self.status = status
        self.problem = problem or {}
        self.asked = asked
        self.code = of_answer(status, self._type)

    @property
    def _type(self) -> str:
        return str(self.problem.get("type", ""))

    def said(self, text: str) -> Refused:
        """The same in other words."""
        return Refused(text, self.status, self.problem, self.asked)


def ask(
    where: Place,
    endpoint: Endpoint,
    asked: Mapping[str, object] | None = None,
    *,
    timeout: float = TIMEOUT,
    if_match: int | None = None,
    **segments: str,
) -> dict[str, Any]:
    """Ask an endpoint; return the answer's object, empty without any.

    Args:
        where: the running Segue.
        endpoint: what is asked.
        asked: what for: goes into the body, or the query.
        timeout: seconds to wait for the answer.
        if_match: the revision that a change builds on; None to say none.
        segments: of its path, by their names.

    Raises:
        Refused: there is no such answer.
    """
    path = endpoint.target(asked, **segments)
    body = json.dumps(asked) if endpoint.has_body else None
    fields = {} if if_match is None else {"If-Match": f'"{if_match}"'}
    with answer(where, endpoint.method, path, body, timeout, fields) as response:
        try:
            found = json.loads(response.read(MAX_ANSWER) or b"{}")
        except (OSError, http.client.HTTPException, ValueError, RecursionError):
            found = None
    if not isinstance(found, dict):
        raise Refused(f"an answer that cannot be read, of {where.name}{path}")
    return found


def told_as(model: type[Model], found: object, what: str) -> Model:
    """Return an answer as the endpoint's model.

    Raises:
        Refused: it is of another version's form; `what` begins the sentence.
    """
    try:
        return model.model_validate(found)
    except pydantic.ValidationError:
        raise Refused(f"{what} told in a form that this version does not know") from None


@contextlib.contextmanager
def answer(
    where: Place,
    method: str,
    path: str,
    body: str | None,
    timeout: float,
    fields: Mapping[str, str] | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """Ask, with further header fields; yields a successful answer, whose body may be on its way.

    Raises:
        Refused: nobody answers in time, or not with success.
    """
    connection = where.connection(timeout)
    try:
        try:
            kind = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, body, {**kind, **(fields or {}), **where.fields})
            response = connection.getresponse()
            if response.status >= 300:
                asked = f"{method} {where.name}{path.partition('?')[0]}"
                raise _refused(where, asked, response.status, response.read(MAX_ANSWER))
        except Unreachable as error:
            raise Refused(str(error)) from None
        except ssl.SSLError as error:
            raise Refused(f"{where.name}: {_tls_reason(error)}") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or "no answer"
            how = f" ({where.how})" if where.how else ""
            raise Refused(f"{where.name}{how}: {reason.lower()}; is segue running?") from None
        yield response
    finally:
        connection.close()


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = printable(error.verify_message)
        return f"its certificate is not trusted ({reason}); name its authority with --ca-file"
    return "the TLS handshake failed; is it https, and is the client certificate accepted?"


def _refused(where: Place, asked: str, status: int, body: bytes) -> Refused:
    problem = _problem(body)
    if "detail" not in problem:
        return Refused(f"refused without a reason ({status}): {asked}", status, problem)
    text = printable(str(problem["detail"]))
    if of_answer(status, "") is ExitCode.ROLE and where.credential:
        text += f" (asked with {where.credential})"
    return Refused(text, status, problem, f"{asked}: {status}")


def _problem(body: bytes) -> dict[str, object]:
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return problem if isinstance(problem, dict) else {}
