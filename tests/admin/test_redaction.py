"""No secret reaches an operator's screen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.admin.redaction import _SPOKEN, MARK, Redaction, _hidden
from tidegate.config.model_workers import with_workers
from tidegate.config.snapshot import Backend, Client, Model, Secret, Snapshot

WORDS = (
    "Password",
    "passwd=",
    "pass",
    "phrase",
    "Api-Key:",
    "KEY",
    "Bearer ",
    "basic ",
    "://",
    "gho_",
    "AKIA",
    "sk-",
    "is",
)
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


def test_what_workers_of_models_are_told_is_no_secret_and_what_else_they_get_is() -> None:
    backend = Backend(
        "m", "stdio", models=(Model(path="voice", shipped=True),), env=(("HOME_KEY", Secret("key-of-a-home")),)
    )
    (worker,) = with_workers(Snapshot(backends=(backend,))).backends
    redaction = Redaction(Snapshot(backends=(worker,)))
    for name, secret in worker.env:
        hidden = redaction.text(secret.reveal()) == MARK
        assert hidden is (name == "HOME_KEY"), name


def test_urls_keep_their_origin_alone() -> None:
    value = Redaction(SNAPSHOT).value({"link": {"url": SNAPSHOT.backends[1].url, "streams": 1}})
    assert value == {"link": {"url": "https://example.com:8443", "streams": 1}}
    assert Redaction(SNAPSHOT).value({"url": "http://[::1]:x/"}) == {"url": MARK}
    assert Redaction(SNAPSHOT).value({"url": "http://[::1]:80/a"}) == {"url": "http://[::1]:80"}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("password is hunter2", "password is …"),
        ("DB_PASSWORD=hunter22 host=db", "DB_PASSWORD=… host=db"),
        ('{"api_key": "abcd1234", "n": 1}', '{"api_key": "…", "n": 1}'),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer …"),
        ("connecting to postgres://me:hunter2@db/x", "connecting to postgres://me:…@db/x"),
        ("using ghp_abcdefgh12345678 now", "using … now"),
        ("KEY is env-secret-value", "KEY is …"),
        (
            "t.toml:4: clients.a.token_sha256: expected 64 digits",
            "t.toml:4: clients.a.token_sha256: expected 64 digits",
        ),
        ("12 tokens used, 3 secrets found", "12 tokens used, 3 secrets found"),
    ],
)
def test_a_servers_own_words_lose_what_calls_itself_a_secret(said: str, shown: str) -> None:
    value = Redaction(SNAPSHOT).value({"slots": [{"error": said, "link": {"pid": 1, "stderr": [said]}}]})
    assert value == {"slots": [{"error": shown, "link": {"pid": 1, "stderr": [shown]}}]}


def test_after_a_reload_the_secrets_of_before_stay_hidden() -> None:
    redaction = Redaction(SNAPSHOT)
    redaction.learn(Snapshot(backends=(Backend(name="c", transport="stdio", env=(("K", Secret("the-new-one")),)),)))
    assert redaction.text("env-secret-value, then the-new-one") == "…, then …"


@given(st.lists(st.sampled_from(WORDS) | st.text("ab=: @/", max_size=9), max_size=9).map("".join))
def test_what_is_not_worth_the_whole_search_has_nothing_in_it(said: str) -> None:
    redaction = Redaction(Snapshot())
    assert redaction.spoken(said) == _SPOKEN.sub(_hidden, said)


@given(st.text(max_size=300))
def test_any_words_can_be_read_through(said: str) -> None:
    shown = Redaction(SNAPSHOT).spoken(said)
    assert len(shown) <= len(said)


def test_without_secrets_nothing_changes() -> None:
    value: dict[str, object] = {"a": ["b", 1, None, True, {"c": "d"}]}
    assert Redaction(Snapshot()).value(value) == value
