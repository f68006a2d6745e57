"""`segue sunset`: the table, the report, and what is said besides."""

from __future__ import annotations

from typing import Any

from proxy.admin.sunset import SunsetView
from proxy.cli.reload import _removed
from proxy.cli.styled import plain
from proxy.cli.sunset import notes, rows, verdict
from proxy.cli.sunset_report import report

NOW = 1_796_048_965.0
DAY = 86_400


def mapping(**more: Any) -> dict[str, Any]:
    return {
        "switch": "modern/old-to-new",
        "verdict": "needed",
        "last_needed": NOW - 60,
        "idle_days": 0,
        "watched": 1.0,
        "watched_since": NOW - 60,
        "blind": None,
        "open": 2,
        "users": 1180,
        "messages": 5000,
        "ignored": 7,
        "versions": [{"version": "2.0.4", "messages": 5000}],
        "days": [
            {"day": "2026-11-30", "users": 11, "messages": 500, "ignored": 0, "watched": 0.99}
        ],
        "websocket": True,
        "http": True,
        "announced": None,
        **more,
    }


def view(*mappings: dict[str, Any], **more: Any) -> SunsetView:
    return SunsetView.model_validate(
        {
            "now": NOW,
            "read_at": NOW,
            "idle": 14 * DAY,
            "enough": 0.95,
            "error": 0.0325,
            "silent": [],
            "mappings": mappings,
            **more,
        }
    )


IDLE = mapping(verdict="idle", idle_days=1, last_needed=NOW - DAY)
SAFE = mapping(
    verdict="safe", last_needed=None, idle_days=None, users=0, open=0, messages=0, versions=[]
)
UNKNOWN = mapping(verdict="unknown", watched=0.5, blind="it is off")


def test_a_row_says_it_in_words() -> None:
    found = [[plain((cell,)) for cell in row] for row in rows(view(mapping(), SAFE))]
    assert found == [
        ["modern/old-to-new", "needed", "1m 0s ago", "~1,180", "2", "100%", "2.0.4"],
        ["modern/old-to-new", "safe to delete", "-", "-", "-", "100%", "-"],
    ]
    words = [verdict(each) for each in view(IDLE, mapping(verdict="idle", idle_days=3)).mappings]
    assert words == ["idle for 1 day", "idle for 3 days"]


def test_what_is_not_watched_is_said() -> None:
    told = [plain(line) for line in notes(view(UNKNOWN, silent=["a", "b"], read_at=None))]
    assert told == [
        "these processes tell nothing, or their clock is wrong: a, b",
        "the store has not been read yet: what others saw is missing",
        "modern/old-to-new is not watched now: it is off",
    ]
    assert list(notes(view(mapping(blind="it is a canary")))) == []


def test_the_report_is_markdown_for_people() -> None:
    text = report(view(mapping(), IDLE, SAFE, UNKNOWN))
    row = "| modern/old-to-new | no: needed | 2026-11-30 14:28:25Z | about 1,180 |"
    assert row.replace("14:28:25Z", text.split("no: needed | 2026-11-30 ")[1][:9]) in text
    assert "not yet: idle for 1 day(s)" in text
    assert "**yes: safe to delete** | never seen | none seen |" in text
    assert "unknown: only 50% of the time was watched" in text
    assert "**Not watched at the moment**: it is off" in text
    assert "| 2026-11-30 | 11 | 500 | 99% |" in text
    assert "of probes and scanners, which do not count: 7" in text
    assert "Browsers' WebSockets cannot read" in text
    assert "standard error 3.2%" in text or "standard error 3.3%" in text
    assert "Clients are told nothing of its end" in text
    assert "No cohort names a mapping." in report(view())


def test_nothing_that_a_client_says_is_markdown() -> None:
    text = report(
        view(mapping(versions=[{"version": "<b>|[x](y)\x1b", "messages": 1}]), silent=["n"])
    )
    assert r"\<b\>\|\[x\]\(y\)\x1b" in text.replace("\\\\x1b", "\\x1b")
    assert "1 process(es) of Segue tell nothing" in text


def test_the_report_says_what_clients_are_told() -> None:
    told = {"deprecation": int(NOW) - DAY, "sunset": int(NOW) + DAY, "link": "https://e.org/a_b"}
    text = report(view(mapping(announced=told)))
    assert "deprecated since 2026-11-29" in text
    assert "the URIs stop answering at 2026-12-01" in text
    assert "https://e.org/a\\_b" in text
    assert "cannot read that" in text
    plain_told = {"deprecation": int(NOW) + DAY, "sunset": None, "link": None}
    text = report(view(mapping(announced=plain_told, http=False)))
    assert "deprecated from 2026-12-01" in text
    assert "whose clients cannot be told" in text
    only_http = report(view(mapping(announced=plain_told, websocket=False)))
    assert "cannot read that" not in only_http


def test_a_reload_says_what_it_removes() -> None:
    removed = {"switch": "a/b", "verdict": "needed", "last_needed": NOW, "users": 3}
    assert _removed(removed).startswith("this removes a/b, which is not safe to delete (needed)")
    assert "no need was seen, about 0 users" in _removed(
        {**removed, "last_needed": None, "users": 0}
    )
