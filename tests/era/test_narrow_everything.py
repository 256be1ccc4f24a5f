"""Whatever words a server of any revision says, its client sees only what its own revision has."""

from __future__ import annotations

import json
from typing import Any

import closed_shapes
import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidegate.pipeline.era.bridge.entries import entry_for
from tidegate.pipeline.era.bridge.questions import question_for
from tidegate.pipeline.era.bridge.results import result_for
from tidegate.protocol.revisions import LEGACY, SUPPORTED

ECONOMICAL = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

words = st.sampled_from(["", "a", "é", '"', "audio", '"_meta"', "structuredContent", "\ud800"])
numbers = st.integers(0, 99)
flags = st.booleans()
objects = st.dictionaries(words, st.one_of(numbers, words, flags, st.none()), max_size=2)
values = st.one_of(objects, numbers, words, flags, st.none(), st.lists(words, max_size=2))
metas = st.fixed_dictionaries(
    {},
    optional={
        "io.modelcontextprotocol/serverInfo": objects,
        "a/b": values,
        "io.modelcontextprotocol/related-task": objects,
    },
)
Strategy = st.SearchStrategy[Any]


def shaped(needed: dict[str, Strategy], /, **optional: Strategy) -> Strategy:
    return st.fixed_dictionaries(needed, optional=optional)


notes = shaped({}, priority=st.sampled_from([0, 0.5, 1]), audience=st.just(["user"]), lastModified=words)
icons = st.just([{"src": "x"}])
more: dict[str, Strategy] = {"annotations": notes, "_meta": metas}
texts = shaped({"type": st.just("text"), "text": words}, **more)
images = shaped({"type": st.just("image"), "data": st.just("AAAA"), "mimeType": words}, **more)
audios = shaped({"type": st.just("audio"), "data": st.just("AAAA"), "mimeType": words}, **more)
helds = shaped({"uri": words, "text": words}, mimeType=words, _meta=metas)
embeddeds = shaped({"type": st.just("resource"), "resource": helds}, **more)
named: dict[str, Strategy] = {"title": words, "icons": icons, "_meta": metas, "description": words}
links = shaped(
    {"type": st.just("resource_link"), "uri": words, "name": words}, size=numbers, annotations=notes, **named
)
blocks = st.one_of(texts, images, audios, embeddeds, links)
uses = shaped({"type": st.just("tool_use"), "id": words, "name": words, "input": objects}, _meta=metas)
tool_results = shaped(
    {"type": st.just("tool_result"), "toolUseId": words, "content": st.lists(blocks, max_size=2)},
    structuredContent=values, isError=flags, _meta=metas,
)  # fmt: skip
asked = st.one_of(texts, images, audios, uses, tool_results)

envelope: dict[str, Strategy] = {"resultType": st.just("complete"), "_meta": metas}
cacheable: dict[str, Strategy] = {**envelope, "ttlMs": numbers, "cacheScope": st.just("public")}
RESULTS: dict[str, Strategy] = {
    "tools/call": shaped(
        {"content": st.lists(blocks, max_size=3)}, structuredContent=values, isError=flags, **envelope
    ),
    "prompts/get": shaped(
        {"messages": st.lists(shaped({"role": st.just("user"), "content": blocks}), max_size=3)}, **envelope
    ),
    "resources/read": shaped({"contents": st.lists(helds, max_size=3)}, **cacheable),
}

keys = words.filter(str.isprintable)
properties = st.dictionaries(keys, st.one_of(flags, st.just({"type": "string"})), max_size=3)
inputs = shaped({"type": st.just("object")}, properties=properties, additionalProperties=flags)
outputs: Strategy = st.one_of(
    inputs, shaped({"type": st.sampled_from(["array", ["object"], "string"])}), st.just({"anyOf": [{}]})
)
hints = shaped({}, title=words, readOnlyHint=flags)
tools = shaped(
    {"name": words, "inputSchema": inputs},
    outputSchema=outputs, annotations=hints, execution=st.just({"taskSupport": "optional"}), **named,
)  # fmt: skip
arguments = shaped({"name": words}, title=words, required=flags)
ENTRIES: dict[str, Strategy] = {
    "tools": tools,
    "prompts": shaped({"name": words}, arguments=st.lists(arguments, max_size=2), **named),
    "resources": shaped({"name": words, "uri": words}, size=numbers, annotations=notes, **named),
    "templates": shaped({"name": words, "uriTemplate": words}, annotations=notes, **named),
}
contents = st.one_of(asked, st.lists(asked, max_size=3))
samplings = shaped(
    {
        "messages": st.lists(
            shaped({"role": st.just("user"), "content": contents}, _meta=metas), max_size=3
        ),
        "maxTokens": numbers,
    },
    tools=st.lists(tools, max_size=1), toolChoice=st.just({"mode": "auto"}), task=st.just({"ttl": 1}),
    _meta=st.just({"progressToken": 1}),
)  # fmt: skip


def check(fitted: bytes, shape: closed_shapes.Shape) -> None:
    # `jsonschema.validate` would check the shape itself each time, which takes longer than all else here.
    jsonschema.Draft202012Validator(shape).validate(json.loads(fitted))


@pytest.mark.parametrize("revision", LEGACY)
@pytest.mark.parametrize("method", RESULTS)
@ECONOMICAL
@given(data=st.data())
def test_a_result_of_any_words_becomes_one_of_the_revision(method: str, revision: str, data: st.DataObject) -> None:
    fitted = result_for(method, json.dumps(data.draw(RESULTS[method])).encode(), revision)
    check(fitted, closed_shapes.result(method, revision))
    assert result_for(method, fitted, revision) is fitted


@pytest.mark.parametrize("revision", SUPPORTED)
@pytest.mark.parametrize("kind", ENTRIES)
@ECONOMICAL
@given(data=st.data())
def test_an_entry_of_any_words_becomes_one_of_the_revision(kind: str, revision: str, data: st.DataObject) -> None:
    fitted = entry_for(kind, json.dumps(data.draw(ENTRIES[kind])).encode(), revision)
    check(fitted, closed_shapes.entry(kind, revision))
    assert entry_for(kind, fitted, revision) is fitted


@pytest.mark.parametrize("revision", SUPPORTED)
@ECONOMICAL
@given(params=samplings)
def test_a_sampling_request_of_any_words_becomes_one_of_the_revision(revision: str, params: dict[str, Any]) -> None:
    fitted = question_for("sampling/createMessage", json.dumps(params).encode(), revision)
    check(fitted, closed_shapes.sampling(revision))
    assert question_for("sampling/createMessage", fitted, revision) is fitted
