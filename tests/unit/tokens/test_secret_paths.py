"""One-time tokens in paths: taken out however a path is spelled, and nothing else is."""

from __future__ import annotations

import pytest

from proxy.configuration.sections import LogSettings
from proxy.tokens.redaction import REDACTED
from proxy.tokens.secret_paths import MAX_PATTERN, SecretPaths, check_secret_path

SHIPPED = SecretPaths(LogSettings().redact_paths)
LINES = 8 * 1024
"""Characters of the longest request line that is read."""


def redacted(path: str, *patterns: str) -> str:
    """The path, with `X` in the place of what was taken out."""
    for pattern in patterns:
        check_secret_path(pattern)
    return SecretPaths(patterns).redact(path).replace(REDACTED, "X")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/reset/c2VjcmV0", "/reset/X"),
        ("/reset/c2VjcmV0/", "/reset/X/"),
        ("/reset/MQ/c8sd-1f/", "/reset/X/X/"),
        ("/reset", "/reset"),
        ("/reset/", "/reset/"),
        ("/app/v2/invite/abc", "/app/v2/invite/X"),
        ("/api/password_reset/confirm/MQ/c8sd-1f/", "/api/password_reset/X/X/X/"),
        ("/users/resetPassword/abc", "/users/resetPassword/X"),
        ("/auth/magic-link/abc", "/auth/magic-link/X"),
        ("/accounts/confirm-email/abc/", "/accounts/confirm-email/X/"),
        ("/newsletter/Unsubscribe/a@example.com/abc", "/newsletter/Unsubscribe/X/X"),
        ("/activate/MQ/abc", "/activate/X/X"),
        ("/api/auth/token/verify/", "/api/auth/token/verify/"),
        ("/api/jobs/17/", "/api/jobs/17/"),
        ("/presets/17", "/presets/17"),
        ("/ws/jobs/1/", "/ws/jobs/1/"),
        ("/", "/"),
        ("", ""),
        ("*", "*"),
    ],
)
def test_shipped_patterns_take_out_what_is_behind_the_usual_words(path: str, expected: str) -> None:
    assert SHIPPED.redact(path).replace(REDACTED, "X") == expected


@pytest.mark.parametrize(
    "path",
    [
        "/%72eset/SECRET",
        "/%2572eset/SECRET",
        "/%252572eset/SECRET",
        "/RESET/SECRET",
        "/re-set/SECRET",
        "/reset;jsessionid=1/SECRET",
        "/reset/SECRET;a=1",
        "/reset/;SECRET",
        "/reset/;a/SECRET",
        "/;a/reset/SECRET",
        "/reset/;a/../SECRET",
        "//reset//SECRET",
        "/reset/./SECRET",
        "/reset/a/../SECRET",
        "/x/../reset/SECRET",
        "/reset/x/%2e%2e/SECRET",
        "/reset%2FSECRET",
        "/reset%2fa%2FSECRET",
        "/reset%5CSECRET",
        "/reset\\SECRET",
        "/a%2Freset/SECRET",
        "http://h/reset/SECRET",
        "http://reset/reset/SECRET",
        "/../../reset/SECRET",
        "/reset/SECRET%",
        "/reset/SECRET%ff",
        "/\ud800/reset/SECRET",
    ],
)
@pytest.mark.parametrize("pattern", ["reset/{}", "reset/**"])
def test_no_spelling_gets_past_a_pattern(path: str, pattern: str) -> None:
    assert "SECRET" not in SecretPaths([pattern]).redact(path)
    assert "SECRET" not in SecretPaths([pattern, "/x/{}"]).redact(path)


def test_a_placeholder_is_one_segment_and_the_rest_stays() -> None:
    assert redacted("/reset/a/b", "reset/{}") == "/reset/X/b"
    assert redacted("/reset/a/b/c", "reset/{}/{}") == "/reset/X/X/c"
    assert redacted("/reset/a", "reset/{}/{}") == "/reset/a"
    assert redacted("/teams/7/invite/abc", "teams/{}/invite/{}") == "/teams/X/invite/X"
    assert redacted("/teams/7/members/abc", "teams/{}/invite/{}") == "/teams/7/members/abc"
    assert redacted("/reset/reset/a", "reset/{}") == "/reset/X/X"


def test_a_slash_at_the_beginning_is_that_of_the_path() -> None:
    assert redacted("/s/abc", "/s/{}") == "/s/X"
    assert redacted("/api/s/abc", "/s/{}") == "/api/s/abc"
    assert redacted("http://h/s/abc", "/s/{}") == "http://h/s/X"
    assert redacted("/x/../s/abc", "/s/{}") == "/x/../s/X"
    assert redacted("/abc/7", "/{}/7") == "/X/7"
    assert redacted("/a/b/c", "/**") == "/X/X/X"
    assert redacted("/s/", "/s/{}") == "/s/"
    assert redacted("/s/abc/reset/def", "/s/{}", "reset/**") == "/s/X/reset/X"


def test_without_patterns_a_path_stays_as_it_is() -> None:
    assert redacted("/reset/a%20b;c/../d") == "/reset/a%20b;c/../d"


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "/",
        "reset",
        "/reset/",
        "**",
        "{}",
        "{}/reset",
        "**/reset/{}",
        "reset/**/x",
        "reset/*",
        "reset/{id}",
        "reset/{}x",
        "reset//{}",
        "reset/{}?a=1",
        "reset/%7Bx/{}",
        "rés/{}",
        "reset/{} ",
        "reset/{}\n",
        "//reset/{}",
        "a/" * (MAX_PATTERN // 2) + "{}",
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"expected a path such as `reset/\*\*`"):
        check_secret_path(pattern)


@pytest.mark.parametrize(
    "path",
    [
        "/reset" * (LINES // 6),
        "/" * LINES,
        "/a" * (LINES // 2),
        "/.." * (LINES // 3),
        "%25" * (LINES // 3),
        "/reset%2F" * (LINES // 9),
        "/;" * (LINES // 2),
        "\\" * LINES,
    ],
)
def test_what_a_client_chose_is_gone_through_once(path: str) -> None:
    patterns = [f"reset/{'{}/' * times}**" for times in range(20)]
    secret = SecretPaths(patterns)
    once = secret.redact(path)
    assert secret.redact(once) == once
    assert once.count("/") == path.count("/"), "each segment is itself, or taken out"
