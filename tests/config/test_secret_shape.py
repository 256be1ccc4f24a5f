"""What looks like a secret in files that other programs wrote."""

from __future__ import annotations

import pytest

from tidegate.config.secret_shape import looks_secret, secret_url_spans, value_looks_secret


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GITHUB_TOKEN", "abc"),
        ("DB_PASSWORD", "1234"),
        ("PASSWORD", "true"),
        ("apiKey", "abcdef"),
        ("X-Api-Key", "abcdef"),
        ("CLIENT_SECRET", "x"),
        ("Authorization", "Bearer abc"),
        ("AUTH", "hunter22"),
        ("SENTRY_DSN", "sentry-dsn-value"),
        ("ANYTHING", "ghp_0123456789abcdef"),
        ("ANYTHING", "sk-proj-0123456789"),
        ("ANYTHING", "eyJhbGciOi.eyJzdWIi.abc"),
        ("ANYTHING", "9f86d081884c7d659a2feaa0c55ad015"),
        ("DATABASE_URL", "postgres://user:pw@db/x"),
        ("TOKEN", "12345678"),
    ],
)
def test_a_secret_is_recognised_by_its_name_or_its_shape(name: str, value: str) -> None:
    assert looks_secret(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEBUG", "true"),
        ("MAX_TOKENS", "4096"),
        ("TOKEN_LIMIT", "4096"),
        ("HOME", "/home/somebody"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/etc/key.json"),
        ("TOKEN_URL", "https://login.example.org/oauth/token"),
        ("GITHUB_TOKEN", "${GITHUB_TOKEN}"),
        ("GITHUB_TOKEN", ""),
        ("KEYBOARD", "de-latin1-nodeadkeys"),
        ("MODEL", "claude-sonnet-4-20250514"),
        ("PACKAGE", "@modelcontextprotocol/server-filesystem"),
        ("LANG", "en_US.UTF-8"),
        ("AUTH_MODE", "none"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ],
)
def test_ordinary_settings_are_left_alone(name: str, value: str) -> None:
    assert not looks_secret(name, value)


@pytest.mark.parametrize(
    ("url", "pieces"),
    [
        ("https://h.example/mcp", []),
        ("https://user@h.example/mcp?page=2", []),
        ("https://e:e@e.example/e", ["e"]),
        ("https://h/?api_key=abc&x=1&token=d%20e", ["abc", "d%20e"]),
        ("https://h/s/9f86d081884c7d659a2feaa0c55ad015/mcp", ["9f86d081884c7d659a2feaa0c55ad015"]),
        ("https://h/?api_key=${KEY}", []),
        ("https://[bad/", []),
    ],
)
def test_the_secret_pieces_of_a_url_are_found_where_they_stand(url: str, pieces: list[str]) -> None:
    assert [url[start:end] for start, end in secret_url_spans(url)] == pieces


def test_an_argument_is_judged_by_its_value_alone() -> None:
    assert value_looks_secret("xoxb-1234-abcd")
    assert not value_looks_secret("--verbose")
