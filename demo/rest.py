"""The REST calls of the demonstration, each shown as it is made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from demo.faults import ShowFailed
from demo.screen import Screen, Span, Style
from demo.verdict import Counts

ACCOUNT: Final = {"email": "demo@example.org", "password": "correct horse"}
"""The demonstration's user."""

_TIMEOUT: Final = aiohttp.ClientTimeout(total=30)


class Answer(NamedTuple):
    """What a server answered: the status code and the body."""

    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            ShowFailed: it is none.
        """
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise ShowFailed("an answer was not a JSON object")
        return value

    def text(self, name: str) -> str:
        """A text in the JSON object.

        Raises:
            ShowFailed: there is none of that name.
        """
        value = self.json().get(name)
        if not isinstance(value, str):
            raise ShowFailed(f'an answer had no "{name}"')
        return value


class Rest:
    """Calls to one origin, as one user once there is a token, by a client that tells a version."""

    def __init__(self, http: aiohttp.ClientSession, origin: str, version: str = "") -> None:
        self._http = http
        self._origin = origin
        self._version = {"X-Client-Version": version} if version else {}
        self.access = ""

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        fields: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make one call, with further header fields where there are some.

        Raises:
            ShowFailed: there was no answer.
        """
        headers = {**self._version, **(fields or {})}
        if self.access:
            headers["Authorization"] = f"Bearer {self.access}"
        try:
            async with self._http.request(
                method, self._origin + path, json=body, headers=headers, timeout=_TIMEOUT
            ) as response:
                return Answer(response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ShowFailed(f"{method} {path}: no answer ({type(error).__name__})") from None

    async def expected(self, method: str, path: str, status: int, body: object = None) -> Answer:
        """Make one call that has to succeed.

        Raises:
            ShowFailed: there was no answer, or one with another status.
        """
        answer = await self.call(method, path, body)
        if answer.status != status:
            raise ShowFailed(f"{method} {path}: status {answer.status}, expected {status}")
        return answer

    async def shown(
        self, screen: Screen, method: str, path: str, expected: int, body: object = None
    ) -> Answer:
        """Make one call and show it.

        Raises:
            ShowFailed: there was no answer, or one with another status than `expected`.
        """
        answer = await self.call(method, path, body)
        style = Style.GOOD if answer.status == expected else Style.BAD
        screen.line(f"  {method:<5} ", Span(str(answer.status), style), f"  {path}")
        if answer.status != expected:
            raise ShowFailed(f"{method} {path}: status {answer.status}, expected {expected}")
        return answer


async def message_counts(admin: Rest) -> Counts:
    """What the proxy's metrics page says of messages, by mapping, direction and outcome.

    Raises:
        ShowFailed: the page could not be read.
    """
    return {
        (labels["mapping"], labels["direction"], labels["outcome"]): value
        for labels, value in await _samples(admin, "segue_messages_total")
    }


async def renewals(admin: Rest) -> int:
    """How many tokens the proxy's metrics page says were renewed.

    Raises:
        ShowFailed: the page could not be read.
    """
    samples = await _samples(admin, "segue_session_refreshes_total")
    return sum(value for labels, value in samples if labels["result"] == "renewed")


async def shadow_counts(admin: Rest, switch: str) -> Mapping[str, int]:
    """What the metrics page says would have become of messages by a switch in shadow, by outcome.

    Raises:
        ShowFailed: the page could not be read.
    """
    samples = await _samples(admin, "segue_switch_shadow_messages_total")
    return {labels["outcome"]: value for labels, value in samples if labels["switch"] == switch}


async def _samples(admin: Rest, name: str) -> list[tuple[Mapping[str, str], int]]:
    answer = await admin.call("GET", "/metrics")
    if answer.status != 200:
        raise ShowFailed(f"GET /metrics: status {answer.status}")
    return [
        (sample.labels, int(sample.value))
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
        if sample.name == name
    ]
