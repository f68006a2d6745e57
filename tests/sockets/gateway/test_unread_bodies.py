"""The refresh token of a session that has ended, in every spelling that a server may understand.

The server here understands all of them, and was not told of the session's end.
"""

from __future__ import annotations

import codecs
import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import pytest

from tests.support.issuer import LOGIN, LOGOUT, REFRESH, Issuer, Seen, browser, in_front, issuing
from tests.support.rig import Segue

JSON, FORM = "application/json", "application/x-www-form-urlencoded"


class Forgiving(Issuer):
    """Finds a refresh token wherever one may be."""

    def refresh_of(self, seen: Seen) -> str:
        body = seen.body
        if seen.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        for text in self._decoded(body):
            for found in self._read(text):
                if self.is_good(found, "r"):
                    return found
        return str(seen.query["refresh"])

    def _decoded(self, body: bytes) -> Iterator[str]:
        for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-7", "latin-1"):
            try:
                yield body.decode(encoding)
            except UnicodeError:
                continue

    def _read(self, text: str) -> Iterator[str]:
        found: list[tuple[str, Any]] = []

        def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            found.extend(pairs)
            return dict(pairs)

        with suppress(ValueError):
            json.loads(text, object_pairs_hook=note)
        found += parse_qsl(text) + [
            pair for part in text.split(";") for pair in parse_qsl(part.strip())
        ]
        for name, value in found:
            if name.strip(" \0[]").lower() == "refresh":
                yield from (value if isinstance(value, list) else [str(value)])
        for part in text.split("--x\r\n"):  # multipart
            if 'name="refresh"' in part:
                yield part.partition("\r\n\r\n")[2].partition("\r\n")[0]


def spelled(token: str) -> Mapping[str, tuple[int, str, Mapping[str, str], bytes]]:
    """What is refused: by name, the status, the target's query, fields, and the body."""
    text = json.dumps({"refresh": token})
    plain, typed = text.encode(), {"Content-Type": JSON}
    form, as_form = f"refresh={token}", {"Content-Type": FORM}
    utf16 = {"Content-Type": f"{JSON}; charset=utf-8; charset=utf-16"}
    part = f'--x\r\nContent-Disposition: form-data; name="refresh"\r\n\r\n{token}\r\n--x--\r\n'
    return {
        "two charsets": (415, "", utf16, text.encode("utf-16")),
        "another charset": (
            415,
            "",
            {"Content-Type": f"{JSON}; charset=utf-7"},
            text.encode("utf-7"),
        ),
        "UTF-16 and no word of it": (400, "", typed, text.encode("utf-16")),
        "UTF-32 and no word of it": (400, "", typed, text.encode("utf-32")),
        "a byte order mark": (400, "", typed, codecs.BOM_UTF8 + plain),
        "a content coding": (415, "", {**typed, "Content-Encoding": "gzip"}, gzip.compress(plain)),
        "too deep": (
            400,
            "",
            typed,
            b'{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"," + plain[1:],
        ),
        "a member twice": (
            400,
            "",
            typed,
            json.dumps({"refresh": token})[:-1].encode() + b',"refresh":"x"}',
        ),
        "in capitals": (400, "", typed, json.dumps({"REFRESH": token}).encode()),
        "in a list": (400, "", typed, json.dumps({"refresh": [token]}).encode()),
        "a form of another type": (415, "", {"Content-Type": "application/x-form"}, form.encode()),
        "a form without a type": (400, "", {"Content-Type": ""}, form.encode()),
        "a form that looks like JSON": (
            400,
            "",
            {"Content-Type": "text/plain"},
            json.dumps({"a": f"&{form}&"}).encode(),
        ),
        "JSON with the type of a form": (400, "", as_form, plain),
        "JSON behind white space with the type of a form": (400, "", as_form, b"\r\n " + plain),
        "UTF-16 with the type of a form": (400, "", as_form, text.encode("utf-16")),
        "UTF-16 without a mark, with the type of a form": (
            400,
            "",
            as_form,
            text.encode("utf-16-le"),
        ),
        "JSON with the type of two": (415, "", {"Content-Type": f"{JSON}, {FORM}"}, plain),
        "multipart": (415, "", {"Content-Type": "multipart/form-data; boundary=x"}, part.encode()),
        "a form with a field twice": (400, "", as_form, f"{form}&refresh=x".encode()),
        "a form with semicolons": (400, "", as_form, f"a=1;{form}".encode()),
        "a form with a list": (400, "", as_form, f"refresh[]={token}".encode()),
        "in the query": (400, f"?{form}", typed, b"{}"),
    }


SPELLINGS = list(spelled("t"))


def test_the_server_of_these_tests_understands_all_of_them() -> None:
    server = Forgiving()
    token = server.pair()["refresh"]
    for name, (_, query, fields, body) in spelled(token).items():
        if name != "too deep":
            asked = {key: values[0] for key, values in parse_qs(query[1:]).items()}
            seen = Seen("POST", REFRESH, asked, fields, {}, body)
            assert server.refresh_of(seen) == token, name


async def end_all(proxy: Segue) -> None:
    assert proxy.server._data.sessions is not None
    administration = proxy.server._data.sessions.administration
    page = await administration.page(user=None, after="", limit=500)
    for each in page.sessions:
        assert await administration.end(each.record.session, "anna")


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_an_ended_session_stays_ended(tmp_path: Path, spelling: str) -> None:
    issuer = Forgiving()
    async with issuing(issuer), in_front(issuer, tmp_path) as proxy, browser(proxy) as client:
        async with client.post(LOGIN, json={}) as answer:
            refresh = (await answer.json())["refresh"]
        await end_all(proxy)
        status, query, fields, body = spelled(refresh)[spelling]
        for path in (REFRESH, LOGOUT):
            async with client.post(path + query, data=body, headers=fields) as answer:
                assert answer.status == status
        assert not issuer.at(REFRESH)
        assert not issuer.at(LOGOUT)


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_whoever_lacks_the_cookie_of_a_session_gets_none(
    tmp_path: Path, spelling: str
) -> None:
    issuer = Forgiving()
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, SESSIONS__BINDING="cookie") as proxy,
        browser(proxy) as owner,
        browser(proxy) as thief,
    ):
        async with owner.post(LOGIN, json={}) as answer:
            refresh = (await answer.json())["refresh"]
        status, query, fields, body = spelled(refresh)[spelling]
        async with thief.post(REFRESH + query, data=body, headers=fields) as answer:
            assert answer.status == status
            assert "Set-Cookie" not in answer.headers
        assert not issuer.at(REFRESH)
