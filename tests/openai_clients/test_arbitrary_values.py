"""Whatever JSON comes, from programs or from tools: it is read, or refused as an error of ours."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.errors import TidegateError
from tidegate.pipeline.era.openai.body import read_object
from tidegate.pipeline.era.openai.chat_answer import ChatAnswer, Completion
from tidegate.pipeline.era.openai.chat_request import read_chat
from tidegate.pipeline.era.openai.embeddings import Embeddings, read_embeddings
from tidegate.pipeline.era.openai.model_names import tool_of
from tidegate.pipeline.era.openai.refusal import shape_of
from tidegate.pipeline.json_text import json_bytes

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8)
WORDS = st.sampled_from(["text", "user", "system", "assistant", "length", "float", "base64", "text", "chat"])
MEMBERS = st.sampled_from([
    "model", "messages", "role", "content", "type", "text", "max_tokens", "temperature", "top_p", "stop", "seed",
    "n", "tools", "response_format", "stream", "stream_options", "include_usage", "logprobs", "input",
    "encoding_format", "dimensions", "structuredContent", "isError", "_meta", "usage", "input_tokens",
    "output_tokens", "embeddings", "io.tidegate/served-by", "where", "tool", "why", "stop_reason"
])  # fmt: skip


def deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=4) | st.dictionaries(MEMBERS, inner, max_size=6)


ANYTHING = st.recursive(PLAIN | WORDS, deeper, max_leaves=24)
OBJECTS = st.dictionaries(MEMBERS, ANYTHING, max_size=8)


def written(value: Any) -> bytes:
    return json.dumps(value).replace("NaN", "0").replace("Infinity", "1e999").encode()


@settings(max_examples=80, deadline=None)
@given(OBJECTS, st.fixed_dictionaries({}, optional={"model": WORDS, "messages": st.lists(OBJECTS), "input": ANYTHING}))
def test_a_request_is_read_or_refused(odd: dict[str, Any], usual: dict[str, Any]) -> None:
    values = read_object(written({**odd, **usual}), 64)
    try:
        asked = read_chat(values)
    except TidegateError as error:
        json_bytes(shape_of(error)).decode()
    else:
        json_bytes(asked.arguments)
        assert asked.arguments["messages"]
        assert tool_of((("*", "chat"),), asked.model) == "chat"
    with suppress(TidegateError):
        assert all(isinstance(text, str) for text in read_embeddings(values).texts)


@settings(max_examples=80, deadline=None)
@given(OBJECTS, OBJECTS, ANYTHING)
def test_a_result_is_read_or_refused(result: dict[str, Any], structured: dict[str, Any], rows: Any) -> None:
    for odd in (result, {**result, "structuredContent": {**structured, "embeddings": rows}}):
        raw = written(odd)
        try:
            answer = ChatAnswer(raw, "chat")
        except TidegateError:
            pass
        else:
            completion = Completion("1", 1, "gpt-x")
            json.loads(completion.whole(answer))
            json.loads(completion.chunk({}, answer.finish_reason, tidegate=answer.served_by.said))
            assert all(" " <= sign <= "~" for sign in answer.served_by.header[1])
        for form in ("float", "base64"):
            embeddings = Embeddings(
                read_embeddings({"model": "m", "input": ["a", "b"], "encoding_format": form}), "embed", 1 << 20
            )
            with suppress(TidegateError):
                embeddings.take(raw)
                assert len(json.loads(embeddings.body())["data"]) == 2


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=60) | ANYTHING.map(written))
def test_bytes_are_one_object_or_refused(body: bytes) -> None:
    try:
        found = read_object(body, 64)
    except TidegateError:
        return
    assert isinstance(json.loads(body), dict)
    assert isinstance(found, dict)
