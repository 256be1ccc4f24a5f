"""The official client of OpenAI as the judge: what it reads of the gateway's answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from daemon_process import wait_until
from openai import OpenAI
from openai_house import House


@pytest.fixture
def client(open_house: House) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{open_house.url}/v1", api_key="anything", max_retries=0, timeout=20) as client:
        yield client


def asked(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_a_chat_is_answered_whole(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-x", messages=asked("how are you"))
    assert answer.choices[0].message.content == "how are you "
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (1, 3, 4)
    assert (answer.object, answer.model) == ("chat.completion", "gpt-x")
    assert answer.id.startswith("chatcmpl-")


def test_an_answer_that_was_cut_says_so(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-x", messages=asked("how"), max_tokens=1)
    assert answer.choices[0].finish_reason == "length"


def test_the_tool_is_told_what_the_program_said(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="gpt-x",
        messages=[
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]},
            {"role": "assistant", "content": "three"},
            {"role": "developer", "content": "be kind"},
            {"role": "user", "content": "shape"},
        ],
        max_completion_tokens=9,
        max_tokens=8,
        temperature=0.5,
        top_p=0.25,
        stop="END",
        seed=-1,
        user="somebody",
        frequency_penalty=1,
        extra_headers={"x-tidegate-data-class": "patient, staff"},
    )
    assert json.loads(answer.choices[0].message.content or "") == {
        "messages": [
            {"role": "user", "content": "one two"},
            {"role": "assistant", "content": "three"},
            {"role": "user", "content": "shape"},
        ],
        "system": "be brief\n\nbe kind",
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.25,
        "stop": ["END"],
        "seed": 2**32 - 1,
        "data_class": ["patient", "staff"],
    }


def test_a_chat_is_streamed_piece_by_piece(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="gpt-x", messages=asked("how are you"), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].delta.content for chunk in chunks[1:4]] == ["how ", "are ", "you "]
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None, None, None, None, "stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 4
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert {(chunk.id, chunk.model, chunk.created) for chunk in chunks} == {(chunks[0].id, "gpt-x", chunks[0].created)}


@pytest.mark.parametrize("text", ["silent", "plain"])
def test_a_stream_of_a_tool_that_tells_nothing_on_the_way_has_it_all_at_once(client: OpenAI, text: str) -> None:
    stream = client.chat.completions.create(model="gpt-x", messages=asked(text), stream=True)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert said == f"{text} "


def test_a_stream_that_breaks_off_is_an_error(client: OpenAI) -> None:
    stream = client.chat.completions.create(model="gpt-x", messages=asked("break"), stream=True)
    said = [next(stream).choices[0].delta.content for _ in range(2)]
    assert said == ["", "break "]
    with pytest.raises(openai.APIError, match="it broke") as caught:
        next(stream)
    assert caught.value.code == "model_busy"


def test_a_whole_answer_unlike_its_pieces_is_an_error(client: OpenAI) -> None:
    stream = client.chat.completions.create(model="gpt-x", messages=asked("liar"), stream=True)
    with pytest.raises(openai.APIError, match="another one"):
        list(stream)


def test_an_answer_without_end_is_stopped(client: OpenAI, open_house: House) -> None:
    stream = client.chat.completions.create(model="gpt-x", messages=asked("flood"), stream=True)
    with pytest.raises(openai.APIError, match="result_bytes"):
        list(stream)
    wait_until(lambda: "flood" in open_house.stopped, "the tool was told to stop")


def test_a_client_that_leaves_stops_the_call(client: OpenAI, open_house: House) -> None:
    stream = client.chat.completions.create(model="gpt-x", messages=asked("forever"), stream=True)
    assert next(stream).choices[0].delta.role == "assistant"
    stream.close()
    wait_until(lambda: "forever" in open_house.stopped, "the tool was told to stop")


def test_texts_become_numbers(client: OpenAI) -> None:
    texts = ["a" * number for number in range(1, 151)]
    answer = client.embeddings.create(model="embedder", input=texts)
    assert [row.embedding for row in answer.data] == [
        [float(number + 1), float(number % 64), 0.5] for number in range(150)
    ]
    assert [row.index for row in answer.data] == list(range(150))
    assert answer.usage.prompt_tokens == 150
    plain = client.embeddings.create(model="embedder", input="abc", encoding_format="float", dimensions=3)
    assert plain.data[0].embedding == [3.0, 0.0, 0.5]


def test_models_are_those_that_lead_somewhere(client: OpenAI) -> None:
    # Of `gpt-*` nobody could choose one, so the tool's own name stands there.
    assert [model.id for model in client.models.list()] == ["chat", "embedder", "secret"]
    assert client.chat.completions.create(model="chat", messages=asked("hi")).model == "chat"
    assert client.models.retrieve("gpt-4o/mini").id == "gpt-4o/mini"
    for absent in ("gone", "nobody", "missing", "echo"):
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve(absent)


ERRORS = {
    "fail": (openai.BadRequestError, "tool_error"),
    "invalid": (openai.BadRequestError, "invalid_params"),
    "error model_busy": (openai.InternalServerError, "model_busy"),
    "error model_deadline": (openai.InternalServerError, "model_deadline"),
    "error no_memory": (openai.InternalServerError, "no_memory"),
    "error anything": (openai.InternalServerError, "upstream"),
    "garbage": (openai.InternalServerError, "upstream_protocol"),
}
STATUSES = {"error model_busy": 503, "error model_deadline": 504, "error anything": 502, "garbage": 502}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("text", ERRORS)
def test_what_goes_wrong_has_its_status_and_name(client: OpenAI, text: str, stream: bool) -> None:
    kind, code = ERRORS[text]
    with pytest.raises(kind) as caught:
        # What is told before anything was said is no part of a stream.
        client.chat.completions.create(model="gpt-x", messages=asked(text), stream=stream)
    assert isinstance(caught.value, openai.APIStatusError)
    assert caught.value.code == code
    assert caught.value.status_code == STATUSES.get(text, caught.value.status_code)
    assert ("retry-after" in caught.value.response.headers) is (code in ("model_busy", "no_memory"))


def test_a_server_that_dies_in_the_middle_is_a_bad_gateway(client: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="gpt-x", messages=asked("die"))
    assert (caught.value.status_code, caught.value.code) == (502, "upstream_closed")
    assert client.chat.completions.create(model="gpt-x", messages=asked("again")).choices
