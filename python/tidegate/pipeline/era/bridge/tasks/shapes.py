"""Tasks of 2025-11-25 and of the extension that came after it, each in the words of the other. Pure.

The two name the same things differently (`ttl`, `ttlMs`), nest them differently (`task` of a `CreateTaskResult` is
flat in the extension, the result of a finished task is inside it) and mean something else by one status: a tool that
reports an error has *failed* in 2025-11-25 and *completed* in the extension. Sources: 2025-11-25
basic/utilities/tasks and `schema.ts`; SEP-2663 "Tasks", "Task Creation", "Task Polling".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidegate.pipeline.codec import patch_object
from tidegate.pipeline.era.bridge.pieces import members, text_of, without_meta
from tidegate.pipeline.era.bridge.vocabulary import TASKS
from tidegate.pipeline.json_text import json_bytes
from tidegate.protocol.meta_keys import RELATED_TASK, TASKS_EXTENSION

TERMINAL: Final = ("completed", "failed", "cancelled")
_KEPT: Final = ("taskId", "status", "statusMessage", "createdAt", "lastUpdatedAt")
_EXTENSION: Final[dict[str, object]] = {"extensions": {TASKS_EXTENSION: {}}}
_OF_SESSIONS: Final[dict[str, object]] = {"cancel": {}, "requests": {"tools": {"call": {}}}}

Members = list[tuple[str, bytes | None]]


# -- who knows what -------------------------------------------------------------------------------------------


def knows_tasks(revision: str) -> bool:
    """Whether a session of this revision may have tasks in it."""
    return revision == TASKS


def declares_extension(capabilities: Mapping[str, object]) -> bool:
    """Whether a client or a server of the stateless era has tasks."""
    extensions = capabilities.get("extensions")
    return isinstance(extensions, dict) and isinstance(extensions.get(TASKS_EXTENSION), dict)


def runs_tools(capabilities: Mapping[str, object]) -> bool:
    """Whether a server of 2025-11-25 takes `tools/call` as a task."""
    found: object = capabilities
    for name in ("tasks", "requests", "tools", "call"):
        found = found.get(name) if isinstance(found, dict) else None
    return isinstance(found, dict)


def with_extension(capabilities: bytes) -> bytes:
    """A client's capabilities (raw JSON object) that also declare the extension."""
    extensions = members(capabilities).get("extensions", b"{}")
    if not extensions.startswith(b"{"):
        extensions = b"{}"
    return patch_object(capabilities, [("extensions", patch_object(extensions, [(TASKS_EXTENSION, b"{}")]))])


def task_capabilities(capabilities: dict[str, object], revision: str, *, stateless: bool) -> dict[str, object]:
    """What servers declared, and tasks in the way of the client's era where they have them in the other's way."""
    if stateless:
        if declares_extension(capabilities) or not runs_tools(capabilities):
            return capabilities
        extensions = capabilities.get("extensions")
        known = extensions if isinstance(extensions, dict) else {}
        return {**capabilities, "extensions": {**known, TASKS_EXTENSION: {}}}
    if not knows_tasks(revision) or runs_tools(capabilities) or not declares_extension(capabilities):
        return capabilities
    return {**capabilities, "tasks": _OF_SESSIONS}


def extension_required(error: bytes) -> bool:
    """Whether an error (raw JSON object) says that the request needs a client with the extension, and nothing else."""
    known = members(error)
    if known.get("code") != b"-32021":
        return False
    required = members(members(known.get("data", b"")).get("requiredCapabilities", b""))
    return list(required) == ["extensions"] and list(members(required["extensions"])) == [TASKS_EXTENSION]


EXTENSION_REQUIRED: Final[dict[str, object]] = {"requiredCapabilities": _EXTENSION}
"""`data` of the error -32021 that asks for it."""


# -- a task for a session's client -----------------------------------------------------------------------------


def session_task(task: bytes) -> bytes:
    """A `Task` of 2025-11-25 from one of the extension, whatever else is in the object."""
    known = members(task)
    changes = _common(known)
    changes.append(("ttl", _whole(known.get("ttlMs")) or b"null"))
    interval = _whole(known.get("pollIntervalMs"))
    if interval is not None:
        changes.append(("pollInterval", interval))
    written = patch_object(b"{}", changes)
    if text_of(known.get("status")) == "completed" and reports_error(known.get("result", b"")):
        written = patch_object(written, [("status", b'"failed"')])
    return written


def session_created(result: bytes) -> bytes:
    """A `CreateTaskResult` of 2025-11-25 from one of the extension."""
    made = b'{"task":' + session_task(result) + b"}"
    meta = members(result).get("_meta")
    return made if meta is None else patch_object(made, [("_meta", meta)])


def related(result: bytes, task_id: str) -> bytes:
    """A result, or the params of a question, that says which task it belongs to."""
    meta = members(result).get("_meta", b"{}")
    entry = b'{"taskId":' + json_bytes(task_id) + b"}"
    base = meta if meta.startswith(b"{") else b"{}"
    return patch_object(result, [("_meta", patch_object(base, [(RELATED_TASK, entry)]))])


# -- a task for a stateless client -----------------------------------------------------------------------------


def stateless_task(task: bytes, result_type: str, inlined: Members | None = None) -> bytes:
    """A flat `Task` of the extension from a `Task` of 2025-11-25; `inlined`: further or other members."""
    known = members(task)
    changes: Members = [("resultType", json_bytes(result_type)), *_common(known)]
    changes.append(("ttlMs", _whole(known.get("ttl")) or b"null"))
    interval = _whole(known.get("pollInterval"))
    if interval is not None:
        changes.append(("pollIntervalMs", interval))
    return patch_object(patch_object(b"{}", changes), inlined or [])


def stateless_created(result: bytes) -> bytes:
    """A `CreateTaskResult` of the extension from one of 2025-11-25."""
    known = members(result)
    meta = known.get("_meta")
    return stateless_task(known.get("task", b"{}"), "task", None if meta is None else [("_meta", meta)])


def completed(result: bytes) -> Members:
    """How a task of the extension says that it ended with a result, be it one that reports an error."""
    changes: Members = [("resultType", b'"complete"')] if "resultType" not in members(result) else []
    return [("status", b'"completed"'), ("result", patch_object(unrelated(result), changes))]


def failed(error: bytes) -> Members:
    """How a task of the extension says that its request ended with a JSON-RPC error."""
    return [("status", b'"failed"'), ("error", error)]


def asking(requests: bytes) -> Members:
    """How a task of the extension says what it wants to know. `requests`: raw JSON object of requests by key."""
    return [("status", b'"input_required"'), ("inputRequests", requests)]


def unrelated(result: bytes) -> bytes:
    """Less the entry that names the task."""
    return without_meta(result, (RELATED_TASK,))


# -- both ------------------------------------------------------------------------------------------------------


def reports_error(result: bytes) -> bool:
    """Whether a tool's result (raw JSON object) is its way to say that it failed."""
    return members(result).get("isError") == b"true"


def status_of(task: bytes) -> str:
    return text_of(members(task).get("status")) or ""


def task_id_of(task: bytes) -> str | None:
    return text_of(members(task).get("taskId"))


def milliseconds(task: bytes, name: str) -> int | None:
    """`ttl`, `ttlMs`, `pollInterval` or `pollIntervalMs`; None for none, for no limit, and for what is no number."""
    value = _whole(members(task).get(name))
    return int(value) if value is not None else None


def _common(known: dict[str, bytes]) -> Members:
    return [(name, known[name]) for name in _KEPT if name in known]


def _whole(raw: bytes | None) -> bytes | None:
    """Milliseconds, which one era writes as any number and the other as a whole one."""
    if raw is None or raw[:1] not in b"0123456789":
        return None
    if raw.isdigit():
        return raw if len(raw) < 16 else None
    value = float(raw)
    return b"%d" % round(value) if value < 1e15 else None
