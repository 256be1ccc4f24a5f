"""Tasks of the two eras in each other's words: every status and member, and what neither should have sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tidegate.pipeline.era.bridge.tasks.shapes import (
    asking,
    completed,
    declares_extension,
    extension_required,
    failed,
    knows_tasks,
    milliseconds,
    related,
    runs_tools,
    session_created,
    session_task,
    stateless_created,
    stateless_task,
    status_of,
    task_capabilities,
    task_id_of,
    unrelated,
    with_extension,
)

EXTENSION = "io.modelcontextprotocol/tasks"
RELATED = "io.modelcontextprotocol/related-task"
COMMON = {
    "taskId": "t",
    "status": "working",
    "createdAt": "2026-01-01T00:00:00Z",
    "lastUpdatedAt": "2026-01-02T00:00:00Z",
}
SESSION = {**COMMON, "statusMessage": "half \u2028", "ttl": 60000, "pollInterval": 500}
STATELESS = {**COMMON, "statusMessage": "half \u2028", "ttlMs": 60000, "pollIntervalMs": 500}
OF_SESSIONS = {"cancel": {}, "requests": {"tools": {"call": {}}}}


def raw(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_a_task_keeps_what_both_have_and_renames_the_rest() -> None:
    assert json.loads(session_task(raw({"resultType": "complete", **STATELESS, "x": 1}))) == SESSION
    assert json.loads(stateless_task(raw({**SESSION, "x": 1}), "complete")) == {"resultType": "complete", **STATELESS}


@pytest.mark.parametrize("status", ["working", "input_required", "completed", "failed", "cancelled"])
def test_every_status_is_one_of_the_other_era(status: str) -> None:
    assert status_of(session_task(raw({**STATELESS, "status": status}))) == status
    assert status_of(stateless_task(raw({**SESSION, "status": status}), "complete")) == status


def test_a_tool_that_reports_an_error_failed_in_sessions_and_completed_in_the_extension() -> None:
    wrong = {"content": [], "isError": True}
    task = json.loads(session_task(raw({**STATELESS, "status": "completed", "result": wrong})))
    assert task == {**SESSION, "status": "failed"}
    task = json.loads(stateless_task(raw({**SESSION, "status": "failed"}), "complete", completed(raw(wrong))))
    assert task["status"] == "completed"
    assert task["result"] == {**wrong, "resultType": "complete"}


def test_an_error_is_inlined_as_failed() -> None:
    error = {"code": -32603, "message": "limit"}
    task = json.loads(stateless_task(raw({**SESSION, "status": "completed"}), "complete", failed(raw(error))))
    assert task["status"] == "failed"
    assert task["error"] == error


def test_questions_are_inlined_as_input_required() -> None:
    task = json.loads(stateless_task(raw(SESSION), "complete", asking(b'{"q1":{"method":"roots/list"}}')))
    assert task["status"] == "input_required"
    assert task["inputRequests"] == {"q1": {"method": "roots/list"}}


def test_a_created_task_is_nested_in_sessions_and_flat_in_the_extension() -> None:
    meta = {"_meta": {"a": 1}}
    assert json.loads(session_created(raw({"resultType": "task", **STATELESS, **meta}))) == {"task": SESSION, **meta}
    made = json.loads(stateless_created(raw({"task": SESSION, **meta})))
    assert made == {"resultType": "task", **STATELESS, **meta}


@pytest.mark.parametrize(
    ("ttl", "read"),
    [(None, None), (0, 0), (1.5, 2), ("60", None), (-1, None), (10**20, None), (True, None), ([], None), (1e300, None)],
)
def test_times_are_whole_milliseconds_or_none(ttl: object, read: int | None) -> None:
    assert milliseconds(raw({"ttl": ttl}), "ttl") == read
    assert json.loads(stateless_task(raw({**SESSION, "ttl": ttl}), "task"))["ttlMs"] == read
    assert json.loads(session_task(raw({**STATELESS, "ttlMs": ttl})))["ttl"] == read


def test_a_task_without_times_never_ends_and_suggests_no_interval() -> None:
    task = json.loads(session_task(raw(COMMON)))
    assert task == {**COMMON, "ttl": None}


@pytest.mark.parametrize("task", [b"{}", b"[]", b"null", b'"x"', b'{"taskId":1,"status":[]}'])
def test_what_is_no_task_raises_nothing(task: bytes) -> None:
    assert task_id_of(task) is None
    assert status_of(task) == ""
    session_task(task)
    session_created(task)
    stateless_task(task, "complete")
    stateless_created(task)


def test_a_result_names_its_task_once() -> None:
    named = json.loads(related(raw({"content": [], "_meta": {"a": 1}}), 't"1'))
    assert named == {"content": [], "_meta": {"a": 1, RELATED: {"taskId": 't"1'}}}
    assert json.loads(related(raw(named), "u"))["_meta"][RELATED] == {"taskId": "u"}
    assert json.loads(related(raw({"_meta": None}), "u")) == {"_meta": {RELATED: {"taskId": "u"}}}
    assert json.loads(unrelated(raw(named))) == {"content": [], "_meta": {"a": 1}}
    assert json.loads(unrelated(related(b"{}", "u"))) == {}


# -- who knows what -----------------------------------------------------------------------------------------------


def test_each_era_sees_tasks_declared_in_its_own_way() -> None:
    tools: dict[str, object] = {"tools": {}}
    modern: dict[str, object] = {**tools, "extensions": {EXTENSION: {}, "x/y": {}}}
    session: dict[str, object] = {**tools, "tasks": {"list": {}, **OF_SESSIONS}}
    assert task_capabilities(modern, "2025-11-25", stateless=False) == {**modern, "tasks": OF_SESSIONS}
    assert task_capabilities(modern, "2025-06-18", stateless=False) is modern
    assert task_capabilities(modern, "2026-07-28", stateless=True) is modern
    assert task_capabilities(session, "2025-11-25", stateless=False) is session
    assert task_capabilities(session, "2026-07-28", stateless=True) == {**session, "extensions": {EXTENSION: {}}}
    for none in (
        tools,
        {**tools, "tasks": {"cancel": {}}},
        {"extensions": {"x/y": {}}},
        {"tasks": 1, "extensions": []},
    ):
        assert task_capabilities(none, "2025-11-25", stateless=False) is none
        assert task_capabilities(none, "2026-07-28", stateless=True) is none


def test_only_one_revision_of_sessions_has_tasks() -> None:
    assert [knows_tasks(revision) for revision in ("2025-06-18", "2025-11-25", "2026-07-28")] == [False, True, False]


def test_the_extension_is_declared_beside_others() -> None:
    assert json.loads(with_extension(b'{"sampling":{}}')) == {"sampling": {}, "extensions": {EXTENSION: {}}}
    assert json.loads(with_extension(b'{"extensions":{"x/y":{}}}')) == {"extensions": {"x/y": {}, EXTENSION: {}}}
    assert json.loads(with_extension(b'{"extensions":[]}')) == {"extensions": {EXTENSION: {}}}
    assert declares_extension(json.loads(with_extension(b"{}")))
    assert not declares_extension({"extensions": {EXTENSION: None}})
    assert not runs_tools({"tasks": {"requests": {"sampling": {}}}})


@pytest.mark.parametrize(
    ("required", "wanted"),
    [
        ({"extensions": {EXTENSION: {}}}, True),
        ({"extensions": {EXTENSION: {}, "x/y": {}}}, False),
        ({"extensions": {EXTENSION: {}}, "sampling": {}}, False),
        ({"sampling": {}}, False),
        ({}, False),
        (None, False),
    ],
)
def test_an_error_that_wants_the_extension_and_nothing_else(required: object, wanted: bool) -> None:
    error = {"code": -32021, "message": "m", "data": {"requiredCapabilities": required}}
    assert extension_required(raw(error)) is wanted
    assert not extension_required(raw({**error, "code": -32602}))
