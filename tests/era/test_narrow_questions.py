"""Catalogue entries, capabilities and questions, fitted to the client's revision: tables with their sources.

As in `test_narrow.py`: sources are `schema.ts` of the revision named; "kept" means the very same object.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tidegate.pipeline.era.bridge.abilities import asked_abilities
from tidegate.pipeline.era.bridge.entries import capabilities_for, entry_for
from tidegate.pipeline.era.bridge.questions import question_for
from tidegate.protocol.revisions import SUPPORTED

INPUT = {"type": "object"}
TEXT = {"type": "text", "text": "hi"}
OTHER = {"type": "text", "text": "ho"}
IMAGE = {"type": "image", "data": "AAAA", "mimeType": "image/png"}
OLD, FIRST_HTTP, STRUCTURED, TASKS, STATELESS = reversed(SUPPORTED)


def raw(value: object) -> bytes:
    return json.dumps(value).encode()


def span(first: str, last: str) -> list[str]:
    return [revision for revision in SUPPORTED if first <= revision <= last]


ENTRIES: list[tuple[str, str, str, str, Any, Any]] = [
    # (source, kind, first and last revision, entry, what the client sees)
    ("what all have", "tools", OLD, STATELESS, {"name": "t", "inputSchema": INPUT, "description": "d"}, "kept"),
    (
        "2026-07-28 x-mcp-header is a keyword of the schema",
        "tools",
        OLD,
        STATELESS,
        {"name": "t", "inputSchema": {**INPUT, "properties": {"a": {"type": "string", "x-mcp-header": "A"}}}},
        "kept",
    ),
    (
        "2025-06-18 BaseMetadata.title; 2025-03-26 ToolAnnotations",
        "tools",
        OLD,
        OLD,
        {"name": "t", "title": "T", "inputSchema": INPUT, "annotations": {"title": "A"}, "_meta": {}},
        {"name": "t", "inputSchema": INPUT},
    ),
    (
        "2025-03-26 ToolAnnotations.title",
        "tools",
        FIRST_HTTP,
        FIRST_HTTP,
        {"name": "t", "title": "T", "inputSchema": INPUT},
        {"name": "t", "inputSchema": INPUT, "annotations": {"title": "T"}},
    ),
    (
        "2025-03-26 ToolAnnotations.title",
        "tools",
        FIRST_HTTP,
        FIRST_HTTP,
        {"name": "t", "title": "T", "inputSchema": INPUT, "annotations": {"readOnlyHint": True}},
        {"name": "t", "inputSchema": INPUT, "annotations": {"readOnlyHint": True, "title": "T"}},
    ),
    (
        "2025-03-26 ToolAnnotations.title: the server's own stays",
        "tools",
        FIRST_HTTP,
        FIRST_HTTP,
        {"name": "t", "title": "T", "inputSchema": INPUT, "annotations": {"title": "A"}},
        {"name": "t", "inputSchema": INPUT, "annotations": {"title": "A"}},
    ),
    (
        "2025-11-25 Icons; ToolExecution, which 2026-07-28 has no more",
        "tools",
        STRUCTURED,
        STRUCTURED,
        {"name": "t", "inputSchema": INPUT, "icons": [], "execution": {}},
        {"name": "t", "inputSchema": INPUT},
    ),
    (
        "2025-11-25 ToolExecution",
        "tools",
        TASKS,
        TASKS,
        {"name": "t", "inputSchema": INPUT, "icons": [], "execution": {}},
        "kept",
    ),
    (
        "2025-11-25 ToolExecution, which 2026-07-28 has no more",
        "tools",
        STATELESS,
        STATELESS,
        {"name": "t", "inputSchema": INPUT, "icons": [], "execution": {}},
        {"name": "t", "inputSchema": INPUT, "icons": []},
    ),
    (
        "2025-06-18 Tool.outputSchema: an object at its root",
        "tools",
        STRUCTURED,
        TASKS,
        {"name": "t", "inputSchema": INPUT, "outputSchema": {"type": "array"}},
        {"name": "t", "inputSchema": INPUT},
    ),
    (
        "2025-06-18 Tool.outputSchema: an object at its root",
        "tools",
        STRUCTURED,
        STATELESS,
        {"name": "t", "inputSchema": INPUT, "outputSchema": {"type": "object"}},
        "kept",
    ),
    (
        "2026-07-28 SEP-2106",
        "tools",
        STATELESS,
        STATELESS,
        {"name": "t", "inputSchema": {**INPUT, "properties": {"a": True}}, "outputSchema": {"anyOf": []}},
        "kept",
    ),
    (
        "2025-11-25 Tool.inputSchema.properties: objects",
        "tools",
        STRUCTURED,
        TASKS,
        {
            "name": "t",
            "inputSchema": {**INPUT, "properties": {"a": True, "b": False, "c": {}}, "additionalProperties": False},
            "outputSchema": {"type": "object", "properties": {"a": True}},
        },
        {
            "name": "t",
            "inputSchema": {**INPUT, "properties": {"a": {}, "b": {"not": {}}, "c": {}}, "additionalProperties": False},
            "outputSchema": {"type": "object", "properties": {"a": {}}},
        },
    ),
    (
        "2025-06-18 BaseMetadata.title, also of arguments",
        "prompts",
        OLD,
        FIRST_HTTP,
        {"name": "p", "title": "P", "arguments": [{"name": "a", "title": "A"}, {"name": "title"}]},
        {"name": "p", "arguments": [{"name": "a"}, {"name": "title"}]},
    ),
    (
        "2024-11-05 Annotated; 2025-06-18 Annotations.lastModified",
        "resources",
        OLD,
        FIRST_HTTP,
        {"uri": "a:b", "name": "r", "size": 1, "annotations": {"priority": 1, "lastModified": "x"}, "title": "R"},
        {"uri": "a:b", "name": "r", "size": 1, "annotations": {"priority": 1}},
    ),
    (
        "2025-11-25 Icons",
        "templates",
        STRUCTURED,
        STRUCTURED,
        {"uriTemplate": "a:{b}", "name": "r", "title": "R", "icons": [], "_meta": {"a": 1}},
        {"uriTemplate": "a:{b}", "name": "r", "title": "R", "_meta": {"a": 1}},
    ),
    ("malformed", "tools", OLD, STATELESS, {"name": 1, "inputSchema": [True]}, "kept"),
    ("malformed", "prompts", OLD, STATELESS, ["title", "arguments"], "kept"),
]


@pytest.mark.parametrize(
    ("kind", "revision", "entry", "seen"),
    [
        pytest.param(kind, revision, entry, seen, id=f"{number}-{revision}-{source}")
        for number, (source, kind, first, last, entry, seen) in enumerate(ENTRIES)
        for revision in span(first, last)
    ],
)
def test_an_entry_is_in_the_words_of_the_revision(kind: str, revision: str, entry: object, seen: object) -> None:
    given = raw(entry)
    fitted = entry_for(kind, given, revision)
    if seen == "kept":
        assert fitted is given
    else:
        assert json.loads(fitted) == seen


def test_a_key_that_is_no_text_is_passed_on() -> None:
    given = b'{"name":"t","title":"T","inputSchema":{"type":"object","properties":{"\\ud800":true}}}'
    plain = given.replace(b"true", b"{}")
    assert entry_for("tools", given, STRUCTURED) == plain
    assert entry_for("tools", given, OLD) == plain.replace(b'"title":"T",', b"")


@pytest.mark.parametrize(
    ("revision", "gone"),
    [
        (OLD, {"completions", "tasks", "extensions"}),
        (FIRST_HTTP, {"tasks", "extensions"}),
        (STRUCTURED, {"tasks", "extensions"}),
        (TASKS, {"extensions"}),
        (STATELESS, {"tasks"}),
    ],
)
def test_capabilities_are_those_of_the_revision(revision: str, gone: set[str]) -> None:
    every = ("tools", "logging", "completions", "tasks", "extensions", "experimental", "vendor")
    declared: dict[str, object] = {name: {} for name in every}
    assert set(capabilities_for(declared, revision)) == set(every) - gone
    plain: dict[str, object] = {"tools": {"listChanged": True}}
    assert capabilities_for(plain, revision) is plain


# -- questions ------------------------------------------------------------------------------------------------


def user(content: object, **more: object) -> dict[str, object]:
    return {"role": "user", "content": content, **more}


CHOICE = {"type": "string", "oneOf": [{"const": "a", "title": "A"}, {"const": "b"}], "default": "a"}
SEVERAL = {"type": "array", "items": {"type": "string", "enum": ["a"]}}

QUESTIONS: list[tuple[str, str, str, str, Any, Any]] = [
    # (source, method, first and last revision, params, what the client sees)
    (
        "2025-11-25 SamplingMessage.content: one block or several",
        "sampling/createMessage",
        OLD,
        STRUCTURED,
        {"messages": [user([TEXT])], "maxTokens": 1},
        {"messages": [user(TEXT)], "maxTokens": 1},
    ),
    (
        "2025-11-25 SamplingMessage.content, _meta",
        "sampling/createMessage",
        OLD,
        STRUCTURED,
        {"messages": [user([TEXT, IMAGE], _meta={}), user(OTHER), user([])]},
        {"messages": [user(TEXT), user(IMAGE), user(OTHER), user({"type": "text", "text": ""})]},
    ),
    (
        "2025-11-25 SamplingMessage.content",
        "sampling/createMessage",
        TASKS,
        STATELESS,
        {"messages": [user([TEXT, IMAGE], _meta={}), user(OTHER), user([])], "tools": [], "toolChoice": {}},
        "kept",
    ),
    (
        "2025-11-25 ToolUseContent, ToolResultContent, tools",
        "sampling/createMessage",
        OLD,
        STRUCTURED,
        {
            "messages": [
                user([{"type": "tool_use", "id": "1", "name": "f", "input": {}}]),
                user([{"type": "tool_result", "toolUseId": "1", "content": [TEXT, OTHER], "isError": True}]),
                user({"type": "tool_result", "toolUseId": "2", "content": [], "structuredContent": {"a": 1}}),
            ],
            "tools": [],
            "toolChoice": {},
        },
        {
            "messages": [
                user({"type": "text", "text": "[use of tool f, call 1] {}"}),
                user({"type": "text", "text": "[error of tool, call 1]\nhi\nho"}),
                user({"type": "text", "text": '[result of tool, call 2] {"a": 1}'}),
            ]
        },
    ),
    (
        "2026-07-28 ToolResultContent.structuredContent: any value",
        "sampling/createMessage",
        TASKS,
        TASKS,
        {"messages": [user([{"type": "tool_result", "toolUseId": "1", "content": [], "structuredContent": [1]}])]},
        {"messages": [user([{"type": "tool_result", "toolUseId": "1", "content": [{"type": "text", "text": "[1]"}]}])]},
    ),
    (
        "2025-11-25 Tool.outputSchema in a question",
        "sampling/createMessage",
        TASKS,
        TASKS,
        {"messages": [], "tools": [{"name": "t", "inputSchema": INPUT, "outputSchema": {"type": "array"}}]},
        {"messages": [], "tools": [{"name": "t", "inputSchema": INPUT}]},
    ),
    (
        "2025-11-25 TaskAugmentedRequestParams; 2026-07-28 has questions within results",
        "sampling/createMessage",
        STATELESS,
        STATELESS,
        {"messages": [], "task": {"ttl": 1}, "_meta": {"progressToken": 1}},
        {"messages": []},
    ),
    (
        "2025-11-25 TaskAugmentedRequestParams",
        "elicitation/create",
        TASKS,
        TASKS,
        {"message": "m", "task": {"ttl": 1}, "_meta": {"progressToken": 1}},
        "kept",
    ),
    (
        "2026-07-28 RequestMetaObject is no part of a session",
        "roots/list",
        OLD,
        TASKS,
        {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "a": 1}},
        {"_meta": {"a": 1}},
    ),
    ("progress is a session's", "roots/list", STATELESS, STATELESS, {"_meta": {"progressToken": 1}}, {}),
    (
        "2025-11-25 ElicitRequestFormParams.mode",
        "elicitation/create",
        STRUCTURED,
        STRUCTURED,
        {"mode": "form", "message": "m", "requestedSchema": {"properties": {"a": {"type": "string", "default": "x"}}}},
        {"message": "m", "requestedSchema": {"properties": {"a": {"type": "string", "default": "x"}}}},
    ),
    (
        "2025-11-25 ElicitRequestFormParams.mode",
        "elicitation/create",
        TASKS,
        STATELESS,
        {"mode": "form", "message": "m", "requestedSchema": {"properties": {"a": CHOICE}}},
        "kept",
    ),
    ("null is no mode", "elicitation/create", STRUCTURED, STATELESS, {"mode": None, "message": "m"}, {"message": "m"}),
    (
        "2025-06-18 EnumSchema.enumNames",
        "elicitation/create",
        STRUCTURED,
        STRUCTURED,
        {"message": "oneOf", "requestedSchema": {"properties": {"a": CHOICE, "b": SEVERAL, "c": True}}},
        {
            "message": "oneOf",
            "requestedSchema": {
                "properties": {
                    "a": {"type": "string", "enum": ["a", "b"], "enumNames": ["A", "b"], "default": "a"},
                    "b": SEVERAL,
                    "c": True,
                }
            },
        },
    ),
    (
        "2026-07-28 has no elicitationId",
        "elicitation/create",
        STATELESS,
        STATELESS,
        {"mode": "url", "message": "m", "url": "https://a.example", "elicitationId": "e"},
        {"mode": "url", "message": "m", "url": "https://a.example"},
    ),
    (
        "2025-11-25 ElicitRequestURLParams.elicitationId",
        "elicitation/create",
        TASKS,
        TASKS,
        {"mode": "url", "message": "m", "url": "https://a.example", "elicitationId": "e"},
        "kept",
    ),
    ("malformed", "sampling/createMessage", OLD, STATELESS, {"messages": [1, {"content": 5}, {}], "tools": 3}, None),
    ("malformed", "elicitation/create", OLD, STATELESS, {"requestedSchema": {"properties": ["oneOf"]}}, "kept"),
]


@pytest.mark.parametrize(
    ("method", "revision", "params", "seen"),
    [
        pytest.param(method, revision, params, seen, id=f"{number}-{revision}-{source}")
        for number, (source, method, first, last, params, seen) in enumerate(QUESTIONS)
        for revision in span(first, last)
    ],
)
def test_a_question_is_in_the_words_of_the_revision(method: str, revision: str, params: Any, seen: Any) -> None:
    given = raw(params)
    fitted = question_for(method, given, revision)
    if seen == "kept":
        assert fitted is given
    elif seen is not None:
        assert json.loads(fitted) == seen
        assert question_for(method, fitted, revision) is fitted


def test_a_visit_to_a_url_gets_an_unguessable_id_where_one_is_needed() -> None:
    given = raw({"mode": "url", "message": "m", "url": "https://a.example"})
    named = [json.loads(question_for("elicitation/create", given, TASKS))["elicitationId"] for _ in range(2)]
    assert named[0] != named[1]
    assert min(map(len, named)) > 20


@pytest.mark.parametrize(
    ("revision", "sampling", "kept"),
    [
        (STRUCTURED, {}, True),
        (TASKS, {}, False),
        (TASKS, {"context": {}}, True),
        (STATELESS, {}, False),
        (STATELESS, {"context": {}}, True),
    ],
)
def test_the_context_of_servers_is_asked_for_only_where_declared(
    revision: str, sampling: dict[str, object], kept: bool
) -> None:
    given = raw({"messages": [], "includeContext": "thisServer"})
    abilities = asked_abilities({"sampling": sampling})
    fitted = question_for("sampling/createMessage", given, revision, abilities)
    assert ("includeContext" in json.loads(fitted)) is kept
    assert question_for("sampling/createMessage", given, revision) is given


def test_a_question_without_params_stays_without() -> None:
    for revision in SUPPORTED:
        assert question_for("roots/list", b"", revision) == b""
