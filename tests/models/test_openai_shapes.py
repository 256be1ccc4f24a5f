"""What a service with OpenAI's API may say: understood as it is meant, or named as nonsense, and nothing else."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tidegate.models.chat_call import ChatCall
from tidegate.pipeline.json_text import json_bytes
from tidegate.pipeline.upstream.openai_shapes import Nonsense, Spoken, Withheld, chat_body, complaint, embedded

VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=8),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_CHAT = ("choices", "message", "delta", "content", "finish_reason", "stop_reason")
_OTHER = ("usage", "prompt_tokens", "completion_tokens", "model", "data", "embedding", "index", "error")
NAMES = some.sampled_from((*_CHAT, *_OTHER))
NEAR = some.recursive(
    VALUES | some.just("stop") | some.just([0.5, 1]),
    lambda inner: some.lists(inner, max_size=2) | some.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)
"""Of the right words in the wrong places."""


@given(some.lists(NEAR, min_size=1, max_size=4), some.booleans())
def test_whatever_it_says_is_an_answer_or_nonsense(said: list[object], streamed: bool) -> None:
    spoken = Spoken("big")
    try:
        for value in said:
            if streamed:
                spoken.chunk(json.dumps(value).encode())
            else:
                spoken.whole(json.dumps(value).encode())
        structured, text = spoken.answer()
    except (Nonsense, Withheld):
        return
    assert structured["content"] == text
    assert structured["stop_reason"] in ("end", "length", "stop")
    assert all(isinstance(count, int) and count >= 0 for count in structured.get("usage", {}).values())
    json.loads(json_bytes(structured))


@given(some.binary(max_size=40) | NEAR.map(lambda value: json.dumps(value).encode()), some.integers(1, 3))
def test_whatever_it_embeds_is_vectors_or_nonsense(body: bytes, texts: int) -> None:
    try:
        structured, _ = embedded(body, texts, "wide")
    except Nonsense:
        assert isinstance(complaint(body), str)
        return
    assert len(structured["embeddings"]) == texts
    for vector in structured["embeddings"]:
        assert len(vector) == structured["dimensions"] > 0
        assert all(math.isfinite(number) for number in vector)


@given(some.lists(some.text(min_size=1, max_size=5), min_size=1, max_size=6))
def test_pieces_are_the_whole(pieces: list[str]) -> None:
    spoken = Spoken("big")
    told = [
        spoken.chunk(json.dumps({"choices": [{"delta": {"content": piece}, "finish_reason": None}]}).encode())
        for piece in pieces
    ]
    assert told == pieces
    spoken.chunk(b'{"choices":[{"delta":{},"finish_reason":"length"}]}')
    spoken.chunk(b'{"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":9}}')
    structured, text = spoken.answer()
    assert text == "".join(pieces)
    assert structured["stop_reason"] == "length"
    assert structured["usage"] == {"input_tokens": 4, "output_tokens": 9}


def test_what_nobody_counted_is_left_out() -> None:
    spoken = Spoken("big")
    spoken.chunk(b'{"choices":[{"delta":{"content":"Hello"},"finish_reason":"stop"}]}')
    spoken.chunk(b'{"choices":[],"usage":{"completion_tokens":9}}')
    assert "usage" not in spoken.answer()[0]
    assert "usage" not in embedded(b'{"data":[{"embedding":[1.0]}]}', 1, "wide")[0]


def test_the_string_that_ended_it_is_told_where_the_service_says_it() -> None:
    spoken = Spoken("big")
    spoken.whole(b'{"choices":[{"message":{"content":"a"},"finish_reason":"stop","stop_reason":"END"}],"model":"b-2"}')
    structured, _ = spoken.answer()
    assert (structured["stop_reason"], structured["model"]) == ("stop", "b-2")


def test_an_answer_that_does_not_say_why_it_ended_is_none() -> None:
    with pytest.raises(Nonsense, match="may not be whole"):
        Spoken("big").whole(b'{"choices":[{"message":{"content":"a"},"finish_reason":null}]}')


def test_nothing_is_asked_for_that_the_caller_did_not_ask_for() -> None:
    call = ChatCall.read({"messages": [{"role": "user", "content": "x"}]}, most_tokens=100, most_bytes=10)
    assert json.loads(chat_body(call, "big", stream=True)) == {
        "model": "big",
        "messages": [{"role": "user", "content": "x"}],
        "max_tokens": 100,
        "temperature": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
