"""What a server says, fitted to the client's revision: a table of cases, each with the source of its rule.

Sources are `schema.ts` of the revision named, unless a page is named. "kept" means: the very same object.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tidegate.pipeline.era.bridge.abilities import Abilities, asked_abilities, may_ask
from tidegate.pipeline.era.bridge.errors import error_for
from tidegate.pipeline.era.bridge.results import result_for
from tidegate.pipeline.era.bridge.vocabulary import lacking, understands
from tidegate.protocol.revisions import LEGACY, SUPPORTED

TEXT = {"type": "text", "text": "hi"}
IMAGE = {"type": "image", "data": "AAAA", "mimeType": "image/png"}
AUDIO = {"type": "audio", "data": "AAAAAAA=", "mimeType": "audio/wav"}
LINK = {"type": "resource_link", "uri": "file:///a", "name": "a", "mimeType": "text/csv", "size": 7}
SERVER_INFO = "io.modelcontextprotocol/serverInfo"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
TASK = "io.modelcontextprotocol/related-task"


def raw(value: object) -> bytes:
    return json.dumps(value).encode()


def said(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


RESULTS: list[tuple[str, str, str, Any, Any]] = [
    # (source, method, revisions, result, what the client sees)
    (
        "2026-07-28 Result.resultType",
        "tools/call",
        "2024-11-05..2025-11-25",
        {"resultType": "complete", "content": [TEXT]},
        {"content": [TEXT]},
    ),
    (
        "2026-07-28 CacheableResult",
        "resources/read",
        "2024-11-05..2025-11-25",
        {"contents": [], "resultType": "complete", "ttlMs": 5, "cacheScope": "public"},
        {"contents": []},
    ),
    (
        "2026-07-28 CacheableResult",
        "tools/list",
        "2024-11-05..2025-11-25",
        {"tools": [], "resultType": "complete", "ttlMs": 5, "cacheScope": "public", "nextCursor": "c"},
        {"tools": [], "nextCursor": "c"},
    ),
    (
        "Result is open: a tool's own member of that name is its own",
        "tools/call",
        "2024-11-05..2025-11-25",
        {"content": [], "ttlMs": 5},
        "kept",
    ),
    (
        "2026-07-28 ResultMetaObject",
        "completion/complete",
        "2024-11-05..2025-11-25",
        {"completion": {"values": []}, "_meta": {SERVER_INFO: {"name": "s", "version": "1"}}},
        {"completion": {"values": []}},
    ),
    (
        "2025-11-25 basic/utilities/tasks: related-task is no matter of the hop",
        "tools/call",
        "2024-11-05..2025-11-25",
        {"content": [], "_meta": {SERVER_INFO: {}, TASK: {"taskId": "t"}, SUBSCRIPTION: 1}},
        {"content": [], "_meta": {TASK: {"taskId": "t"}}},
    ),
    ("an empty `_meta` that the server wrote", "tools/call", "all", {"content": [], "_meta": {}}, "kept"),
    (
        "no member but a word in a text",
        "tools/call",
        "all",
        {"content": [said('"resultType" "audio" "structuredContent" "_meta" "resource_link"')]},
        "kept",
    ),
    (
        "nothing is taken from a stateless client",
        "tools/call",
        "2026-07-28..2026-07-28",
        {"resultType": "complete", "content": [AUDIO, LINK], "structuredContent": [1], "_meta": {SERVER_INFO: {}}},
        "kept",
    ),
    # Structured output.
    (
        "2025-06-18 CallToolResult.structuredContent",
        "tools/call",
        "2025-06-18..2025-11-25",
        {"content": [], "structuredContent": {"a": 1}},
        "kept",
    ),
    (
        "2025-06-18 CallToolResult.structuredContent",
        "tools/call",
        "2024-11-05..2025-03-26",
        {"content": [TEXT], "structuredContent": {"a": 1}},
        {"content": [TEXT]},
    ),
    (
        "2025-06-18 server/tools, Structured Content: its JSON as text",
        "tools/call",
        "2024-11-05..2025-03-26",
        {"content": [IMAGE], "structuredContent": {"a": 1}},
        {"content": [IMAGE, said('{"a": 1}')]},
    ),
    (
        "2026-07-28 CallToolResult.structuredContent: any value",
        "tools/call",
        "2024-11-05..2025-11-25",
        {"content": [], "structuredContent": [1, "é"]},
        {"content": [said('[1, "\\u00e9"]')]},
    ),
    (
        "2026-07-28 CallToolResult.structuredContent: any value",
        "tools/call",
        "2024-11-05..2025-11-25",
        {"structuredContent": 7},
        {"content": [said("7")]},
    ),
    (
        "null says nothing",
        "tools/call",
        "2024-11-05..2025-11-25",
        {"content": [], "structuredContent": None},
        {"content": []},
    ),
    # Content.
    (
        "2025-03-26 AudioContent",
        "tools/call",
        "2024-11-05..2024-11-05",
        {"content": [TEXT, {**AUDIO, "annotations": {"priority": 1}}], "isError": False},
        {
            "content": [
                TEXT,
                {
                    **said("[audio: audio/wav, 5 bytes; not in protocol revision 2024-11-05]"),
                    "annotations": {"priority": 1},
                },
            ],
            "isError": False,
        },
    ),
    ("2025-03-26 AudioContent", "tools/call", "2025-03-26..2025-11-25", {"content": [AUDIO]}, "kept"),
    (
        "2025-06-18 ResourceLink",
        "tools/call",
        "2024-11-05..2025-03-26",
        {"content": [LINK]},
        {"content": [said("[resource: a, file:///a, text/csv, 7 bytes]")]},
    ),
    (
        "2025-06-18 ResourceLink",
        "tools/call",
        "2024-11-05..2025-03-26",
        {"content": [{**LINK, "title": "Sales", "description": "By month"}]},
        {"content": [said("[resource: Sales, file:///a, text/csv, 7 bytes] By month")]},
    ),
    ("2025-06-18 ResourceLink", "tools/call", "2025-06-18..2025-11-25", {"content": [LINK]}, "kept"),
    (
        "2025-11-25 Icons",
        "tools/call",
        "2025-06-18..2025-06-18",
        {"content": [{**LINK, "icons": [{"src": "x"}]}]},
        {"content": [LINK]},
    ),
    (
        "2025-11-25 ContentBlock has no tool use",
        "tools/call",
        "2024-11-05..2025-11-25",
        {"content": [{"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}}]},
        {"content": [said('[use of tool f, call 1] {"a": 1}')]},
    ),
    (
        "2025-06-18: `_meta` on more interfaces; Annotations.lastModified",
        "tools/call",
        "2024-11-05..2025-03-26",
        {"content": [{**TEXT, "_meta": {"a": 1}, "annotations": {"priority": 1, "lastModified": "2025-01-01"}}]},
        {"content": [{**TEXT, "annotations": {"priority": 1}}]},
    ),
    (
        "2025-06-18 EmbeddedResource._meta, ResourceContents._meta",
        "tools/call",
        "2024-11-05..2025-03-26",
        {"content": [{"type": "resource", "resource": {"uri": "a:b", "text": "t", "_meta": {}}, "_meta": {}}]},
        {"content": [{"type": "resource", "resource": {"uri": "a:b", "text": "t"}}]},
    ),
    (
        "2025-06-18 PromptMessage.content",
        "prompts/get",
        "2025-03-26..2025-03-26",
        {"messages": [{"role": "user", "content": LINK}, {"role": "user", "content": AUDIO}]},
        {
            "messages": [
                {"role": "user", "content": said("[resource: a, file:///a, text/csv, 7 bytes]")},
                {"role": "user", "content": AUDIO},
            ]
        },
    ),
    (
        "2025-06-18 ResourceContents._meta",
        "resources/read",
        "2024-11-05..2025-03-26",
        {"contents": [{"uri": "a:b", "text": "t", "_meta": {"x": 1}}]},
        {"contents": [{"uri": "a:b", "text": "t"}]},
    ),
    (
        "2025-06-18 ResourceContents._meta",
        "resources/read",
        "2025-06-18..2025-11-25",
        {"contents": [{"uri": "a:b", "text": "t", "_meta": {"x": 1}}]},
        "kept",
    ),
    # What no revision has, whoever sent it: passed on.
    ("malformed", "tools/call", "all", {"content": "audio", "structured": {"type": "audio"}}, "kept"),
    ("malformed", "tools/call", "all", {"content": [1, None, "audio", {"type": ["audio"]}]}, "kept"),
    ("malformed", "prompts/get", "all", {"messages": [1, {"content": [{"type": 5}]}]}, "kept"),
    ("malformed", "tools/call", "all", ["resultType", "structuredContent", "audio"], "kept"),
    ("of its own", "vendor/method", "all", {"content": [AUDIO]}, "kept"),
]


def span(revisions: str) -> list[str]:
    if revisions == "all":
        return list(SUPPORTED)
    first, last = revisions.split("..")
    return [revision for revision in SUPPORTED if first <= revision <= last]


@pytest.mark.parametrize(
    ("method", "revision", "result", "seen"),
    [
        pytest.param(method, revision, result, seen, id=f"{number}-{revision}-{source}")
        for number, (source, method, revisions, result, seen) in enumerate(RESULTS)
        for revision in span(revisions)
    ],
)
def test_a_result_is_in_the_words_of_the_revision(method: str, revision: str, result: object, seen: object) -> None:
    given = raw(result)
    fitted = result_for(method, given, revision)
    if seen == "kept":
        assert fitted is given
    else:
        assert json.loads(fitted) == seen
        assert result_for(method, fitted, revision) is fitted


def test_a_result_of_repeated_keys_deep_inside_is_still_served() -> None:
    given = b'{"content":[{"type":"text","type":"audio","data":"AAAA","data":"AAAAAAAA"}]}'
    assert json.loads(result_for("tools/call", given, "2024-11-05"))["content"][0]["type"] == "text"


def test_white_space_and_spelling_of_what_stays_are_the_servers() -> None:
    given = b'{ "content" : [ {"type":"text","text":"\\u0041 1.0"} ] , "resultType":"complete", "n": 1.50 }'
    assert result_for("tools/call", given, "2025-11-25") == (
        b'{ "content" : [ {"type":"text","text":"\\u0041 1.0"} ], "n": 1.50 }'
    )


# -- errors -----------------------------------------------------------------------------------------------------

MODERN_SERVER, SESSION_SERVER = False, True
_NO_CODES: tuple[object, ...] = ("-32602", 1.5, None, True, [], 10**12, -(2**31) - 1)

ERRORS: list[tuple[str, str, str, bool, Any, Any]] = [
    # (source, method, revisions, server keeps a session, error, what the client sees)
    (
        "2025-11-25 server/resources, Error Handling",
        "resources/read",
        "2024-11-05..2025-11-25",
        MODERN_SERVER,
        {"code": -32602, "message": "m", "data": {"uri": "a:b"}},
        {"code": -32002, "message": "m", "data": {"uri": "a:b"}},
    ),
    (
        "no missing resource",
        "resources/read",
        "2024-11-05..2025-11-25",
        MODERN_SERVER,
        {"code": -32602, "message": "m"},
        "kept",
    ),
    (
        "no missing resource",
        "tools/call",
        "2024-11-05..2025-11-25",
        MODERN_SERVER,
        {"code": -32602, "message": "m", "data": {"uri": "a:b"}},
        "kept",
    ),
    (
        "2026-07-28 basic, Error Codes",
        "resources/read",
        "2026-07-28..2026-07-28",
        SESSION_SERVER,
        {"code": -32002, "message": "m", "data": {"uri": "a:b"}},
        {"code": -32602, "message": "m", "data": {"uri": "a:b"}},
    ),
    (
        "same era",
        "resources/read",
        "2024-11-05..2025-11-25",
        SESSION_SERVER,
        {"code": -32002, "message": "m"},
        "kept",
    ),
    (
        "same era",
        "tools/call",
        "2024-11-05..2025-11-25",
        SESSION_SERVER,
        {"code": -32021, "message": "mine"},
        "kept",
    ),
    (
        "2026-07-28 UnsupportedProtocolVersionError is about the hop",
        "tools/call",
        "all",
        MODERN_SERVER,
        {"code": -32022, "message": "m", "data": {"supported": ["2026-07-28"], "requested": "x"}},
        {"code": -32603, "message": "The server refused the request as the gateway wrote it: m"},
    ),
    (
        "2026-07-28 HeaderMismatchError is about the hop",
        "tools/call",
        "all",
        MODERN_SERVER,
        {"code": -32020, "message": "m"},
        {"code": -32603, "message": "The server refused the request as the gateway wrote it: m"},
    ),
    (
        "2026-07-28 MissingRequiredClientCapabilityError",
        "tools/call",
        "2024-11-05..2025-11-25",
        MODERN_SERVER,
        {"code": -32021, "message": "m", "data": {"requiredCapabilities": {"roots": {}}}},
        {"code": -32600, "message": "m", "data": {"requiredCapabilities": {"roots": {}}}},
    ),
    (
        "2026-07-28 MissingRequiredClientCapabilityError",
        "tools/call",
        "2026-07-28..2026-07-28",
        MODERN_SERVER,
        {"code": -32021, "message": "m", "data": {"requiredCapabilities": {"roots": {}}}},
        "kept",
    ),
    (
        "2026-07-28 basic, Error Codes: reserved",
        "tools/call",
        "2026-07-28..2026-07-28",
        SESSION_SERVER,
        {"code": -32050, "message": "m", "data": 1},
        {"code": -32603, "message": "m", "data": 1},
    ),
    (
        "2026-07-28 basic, Error Codes: reserved",
        "tools/call",
        "2026-07-28..2026-07-28",
        SESSION_SERVER,
        {"code": -32021, "message": "m"},
        {"code": -32603, "message": "m"},
    ),
    (
        "2025-11-25 URL_ELICITATION_REQUIRED is the caller's",
        "tools/call",
        "all",
        SESSION_SERVER,
        {"code": -32042, "message": "m", "data": {"elicitations": []}},
        "kept",
    ),
    ("legacy range", "tools/call", "all", SESSION_SERVER, {"code": -32001, "message": "m"}, "kept"),
    ("its own", "tools/call", "all", SESSION_SERVER, {"code": 42, "message": "m", "more": 1}, "kept"),
    *[
        (
            "2024-11-05 JSONRPCError: an integer",
            "tools/call",
            "all",
            SESSION_SERVER,
            {"code": code, "message": "m", "data": None},
            {"code": -32603, "message": "m", "data": None},
        )
        for code in _NO_CODES
    ],
    (
        "2024-11-05 JSONRPCError",
        "tools/call",
        "all",
        SESSION_SERVER,
        {},
        {"code": -32603, "message": "The server gave no reason"},
    ),
]


@pytest.mark.parametrize(
    ("method", "revision", "keeps_session", "error", "seen"),
    [
        pytest.param(method, revision, keeps, error, seen, id=f"{number}-{revision}-{source}")
        for number, (source, method, revisions, keeps, error, seen) in enumerate(ERRORS)
        for revision in span(revisions)
    ],
)
def test_an_error_is_in_the_numbers_of_the_revision(
    method: str, revision: str, keeps_session: bool, error: dict[str, Any], seen: Any
) -> None:
    given = raw(error)
    fitted, code = error_for(method, given, revision, keeps_session)
    if seen == "kept":
        assert fitted is given
        assert code == error["code"]
    else:
        assert json.loads(fitted) == seen
        assert code == seen["code"]


# -- abilities --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "asked"),
    [
        ({}, {}),
        ({"roots": {"listChanged": True}}, {"roots": {}}),
        ({"sampling": {}}, {"sampling": {}}),
        # 2025-11-25 client/elicitation, Capabilities: none named is form alone.
        ({"elicitation": {}}, {"elicitation": {"form": {}}}),
        ({"elicitation": {"applyDefaults": True}}, {"elicitation": {"form": {}}}),
        ({"elicitation": {"form": None, "url": None}}, {"elicitation": {"form": {}}}),
        ({"elicitation": {"url": {}}}, {"elicitation": {"url": {}}}),
        ({"elicitation": {"url": {"a": 1}, "form": {"b": 2}}}, {"elicitation": {"form": {}, "url": {}}}),
        ({"sampling": {"context": {}, "tools": {"x": 1}, "more": {}}}, {"sampling": {"tools": {}, "context": {}}}),
        ({"tasks": {"list": {}}, "experimental": {"a": {}}, "extensions": {"b": {}}}, {}),
        ({"roots": True, "sampling": None, "elicitation": []}, {}),
    ],
)
def test_what_a_client_declares_is_what_servers_may_use(declared: dict[str, object], asked: Abilities) -> None:
    assert asked_abilities(declared) == asked
    assert asked_abilities(asked) == asked


def test_equal_abilities_read_alike() -> None:
    one = asked_abilities(
        {"roots": {}, "sampling": {"context": {}, "tools": {}}, "elicitation": {"url": {}, "form": {}}}
    )
    other = asked_abilities(
        {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}, "context": {}}, "roots": {}}
    )
    assert json.dumps(one) == json.dumps(other)


FORM = asked_abilities({"elicitation": {}, "sampling": {}})
URL = asked_abilities({"elicitation": {"url": {}}, "sampling": {"tools": {}}, "roots": {}})


@pytest.mark.parametrize(
    ("abilities", "method", "params", "refusal"),
    [
        ({}, "elicitation/create", {}, "The client did not declare `elicitation`"),
        ({}, "sampling/createMessage", {}, "The client did not declare `sampling`"),
        ({}, "roots/list", {}, "The client did not declare `roots`"),
        (URL, "roots/list", {}, None),
        (FORM, "elicitation/create", {"message": "m"}, None),
        (FORM, "elicitation/create", {"mode": "form"}, None),
        (FORM, "elicitation/create", {"mode": None}, None),
        (FORM, "elicitation/create", {"mode": "url"}, "The client did not declare `elicitation.url`"),
        (URL, "elicitation/create", {"mode": "url"}, None),
        (URL, "elicitation/create", {"message": "m"}, "The client did not declare `elicitation.form`"),
        (URL, "elicitation/create", {"mode": "voice"}, "The client did not declare `elicitation.voice`"),
        (FORM, "sampling/createMessage", {"messages": []}, None),
        (FORM, "sampling/createMessage", {"tools": None, "toolChoice": None}, None),
        (
            FORM,
            "sampling/createMessage",
            {"tools": []},
            "The client did not declare `sampling.tools`, which `tools` needs",
        ),
        (
            FORM,
            "sampling/createMessage",
            {"toolChoice": {"mode": "none"}},
            "The client did not declare `sampling.tools`, which `toolChoice` needs",
        ),
        (URL, "sampling/createMessage", {"tools": []}, None),
        (URL, "tasks/get", {}, "A server may not ask a client `tasks/get`"),
    ],
)
def test_a_question_needs_the_ability_it_uses(
    abilities: Abilities, method: str, params: object, refusal: str | None
) -> None:
    assert may_ask(abilities, method, raw(params)) == refusal


def test_a_question_without_params_is_judged_by_its_method() -> None:
    assert may_ask(URL, "roots/list", b"") is None
    assert may_ask(FORM, "roots/list", b"") == "The client did not declare `roots`"


@pytest.mark.parametrize("server", SUPPORTED)
@pytest.mark.parametrize("client", SUPPORTED)
def test_only_an_older_server_within_the_session_era_is_surely_understood(client: str, server: str) -> None:
    sure = client == server or (client in LEGACY and server in LEGACY and server < client)
    assert understands(client, server) is sure
    if sure:
        for kind in ("tools", "prompts", "resources", "block", "sampling", "content", "capabilities"):
            assert set(lacking(kind, client)) <= set(lacking(kind, server))


def test_every_session_revision_is_in_the_table() -> None:
    assert set(LEGACY) == set(span("2024-11-05..2025-11-25"))
