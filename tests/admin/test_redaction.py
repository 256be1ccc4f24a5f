"""No secret reaches an operator's screen."""

from __future__ import annotations

import json

from tidegate.admin.redaction import MARK, Redaction
from tidegate.config.snapshot import Backend, Client, Secret, Snapshot

SNAPSHOT = Snapshot(
    backends=(
        Backend(
            name="a",
            transport="stdio",
            command=("server", "--api-key", "sk-argument-1234567890", "--token=tok-with-equals-99", "--verbose"),
            env=(("KEY", Secret("env-secret-value")), ("DEBUG", Secret("1"))),
        ),
        Backend(
            name="b",
            transport="http",
            url="https://user:p%40ssword@example.com:8443/mcp/Zq8x7Wv6Ut5Sr4Qp3On2?api_key=abc123456def",
            headers=(("authorization", Secret("Bearer header-token-77")),),
        ),
    ),
    clients=(Client("laptop", "ab" * 32),),
)


def redacted(text: str) -> str:
    return Redaction(SNAPSHOT).text(text)


def test_values_of_environment_headers_and_flags_are_replaced_wherever_they_occur() -> None:
    for secret in (
        "env-secret-value",
        "Bearer header-token-77",
        "header-token-77",
        "sk-argument-1234567890",
        "tok-with-equals-99",
        "p%40ssword",
        "p@ssword",
        "abc123456def",
        "ab" * 32,
    ):
        assert redacted(f"it said: {secret}!") == f"it said: {MARK}!"


def test_short_and_plain_words_stay() -> None:
    assert redacted("exited with status 1 after --verbose") == "exited with status 1 after --verbose"


def test_urls_keep_their_origin_alone() -> None:
    value = Redaction(SNAPSHOT).value({"link": {"url": SNAPSHOT.backends[1].url, "streams": 1}})
    assert value == {"link": {"url": "https://example.com:8443", "streams": 1}}
    assert Redaction(SNAPSHOT).value({"url": "http://[::1]:x/"}) == {"url": MARK}
    assert Redaction(SNAPSHOT).value({"url": "http://[::1]:80/a"}) == {"url": "http://[::1]:80"}


def test_a_servers_own_words_are_left_out() -> None:
    value = Redaction(SNAPSHOT).value({"slots": [{"link": {"pid": 1, "stderr": ["password is hunter2"]}}]})
    assert json.dumps(value) == '{"slots": [{"link": {"pid": 1}}]}'


def test_without_secrets_nothing_changes() -> None:
    value: dict[str, object] = {"a": ["b", 1, None, True, {"c": "d"}]}
    assert Redaction(Snapshot()).value(value) == value
