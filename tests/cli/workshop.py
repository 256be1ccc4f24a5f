"""A server for the command line's tests: one tool for each thing that a person may meet. Stateless era, on stdio.

    python workshop.py

Standard library only, so it starts at once. Every call runs in a thread of its own.
"""

from __future__ import annotations

import base64
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

PREFIX = "io.modelcontextprotocol/"
PNG = base64.b64encode(b"\x89PNG not really a picture").decode()
BYTES = base64.b64encode(bytes(range(256))).decode()
ESCAPES = "\x1b]0;owned\x07\x1b[2Jred\x9b31m\u202etxt.exe"
CANCEL_WAIT_S = 20.0

TOOLS: list[Json] = [
    {
        "name": "echo",
        "title": "Echo",
        "description": "Says what it was given.\nThe second line is only in the long form.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "text": {"type": "string", "description": "What to say"},
                "times": {"type": "integer", "minimum": 1, "maximum": 5, "default": 1},
                "ratio": {"type": "number"},
                "loud": {"type": "boolean"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "counts": {"type": "array", "items": {"$ref": "#/$defs/count"}},
                "extra": {"type": "object"},
                "colour": {"enum": ["red", "green"]},
                "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            },
            "required": ["text"],
            "$defs": {"count": {"type": "integer"}},
        },
        "annotations": {"readOnlyHint": True, "openWorldHint": False},
    },
    {
        "name": "strict",
        "description": "Takes one argument and no other.",
        "inputSchema": {
            "type": "object",
            "properties": {"mode": {"type": "string", "x-mcp-header": "Mode"}},
            "additionalProperties": False,
        },
    },
    {
        "name": "look",
        "description": "Wants a picture, and gets none.",
        "inputSchema": {
            "type": "object",
            "properties": {"image": {"type": "string", "contentEncoding": "base64"}, "note": {"type": "string"}},
        },
    },
    {
        "name": "paint",
        "description": "Answers with a picture, sound, bytes and a link.",
        "inputSchema": {"type": "object"},
    },
    {"name": "fail", "description": "Fails.", "inputSchema": {"type": "object"}},
    {"name": "steps", "description": "Tells how far it is.", "inputSchema": {"type": "object"}},
    {"name": "chatter", "description": "Logs.", "inputSchema": {"type": "object"}},
    {"name": "hold", "description": "Ends only when it is cancelled.", "inputSchema": {"type": "object"}},
    {"name": "was_cancelled", "description": "Waits until `hold` was cancelled.", "inputSchema": {"type": "object"}},
    {"name": "ask", "description": "Asks a person.", "inputSchema": {"type": "object"}},
    {"name": "ask_anyway", "description": "Asks whoever it is.", "inputSchema": {"type": "object"}},
    {"name": "visit", "description": "Asks a person to open a page.", "inputSchema": {"type": "object"}},
    {"name": "nasty", "description": f"Steers terminals: {ESCAPES}", "inputSchema": {"type": "object"}},
    {"name": "structured", "description": "Has no text.", "inputSchema": {"type": "object"}},
]

PROMPTS: list[Json] = [
    {
        "name": "greet",
        "description": "Greets somebody.",
        "arguments": [
            {"name": "who", "description": "Whom to greet", "required": True},
            {"name": "tone", "description": "How"},
        ],
    },
    {"name": "picture", "description": "Shows a picture."},
]

RESOURCES: list[Json] = [
    {"uri": "workshop://note", "name": "note", "mimeType": "text/plain", "description": "A note"},
    {"uri": "workshop://logo.png", "name": "logo", "mimeType": "image/png"},
]

_write_lock = threading.Lock()
_cancelled = threading.Event()


class Refused(Exception):
    def __init__(self, code: int, message: str, data: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


def write(message: Json) -> None:
    with _write_lock:
        sys.stdout.write(json.dumps(message, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def notify(method: str, params: Json) -> None:
    write({"jsonrpc": "2.0", "method": method, "params": params})


def text(said: str, **more: object) -> Json:
    return {"content": [{"type": "text", "text": said}], **more}


def progress(meta: Json, done: float, message: str, total: float | None = None) -> None:
    if "progressToken" in meta:
        params: Json = {"progressToken": meta["progressToken"], "progress": done, "message": message}
        notify("notifications/progress", params if total is None else {**params, "total": total})


def paint() -> Json:
    return {
        "content": [
            {"type": "text", "text": "a picture"},
            {"type": "image", "data": PNG, "mimeType": "image/png"},
            {"type": "audio", "data": PNG, "mimeType": "audio/wav"},
            {
                "type": "resource",
                "resource": {"uri": "file:///etc/../../../evil\x1b[31m", "blob": BYTES, "mimeType": "application/zip"},
            },
            {"type": "resource_link", "uri": "workshop://note", "name": "note"},
        ]
    }


def steps(meta: Json) -> Json:
    for number in (1, 2, 3):
        progress(meta, number, f"step {number}", 3)
    return text("done")


def hold(meta: Json) -> Json:
    _cancelled.clear()
    progress(meta, 1, "holding")
    _cancelled.wait(CANCEL_WAIT_S)
    return text("let go")


FORM: Json = {
    "method": "elicitation/create",
    "params": {
        "message": "Who are you?",
        "requestedSchema": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 2, "title": "Your name"},
                "size": {
                    "type": "string",
                    "oneOf": [{"const": "s", "title": "Small"}, {"const": "l", "title": "Large"}],
                },
                "age": {"type": "integer", "minimum": 18},
                "news": {"type": "boolean", "default": False},
            },
            "required": ["name", "size"],
        },
    },
}
PAGE: Json = {
    "method": "elicitation/create",
    "params": {"mode": "url", "message": "Please sign in.", "url": "https://example.com/sign-in"},
}


def ask(params: Json, question: Json) -> Json:
    if "inputResponses" not in params:
        return {"resultType": "input_required", "inputRequests": {"one": question}, "requestState": "opaque \u2603"}
    said = {"answers": params["inputResponses"], "state": params.get("requestState")}
    return text(json.dumps(said, ensure_ascii=False))


def call(params: Json) -> Json:
    meta = params["_meta"]
    name = params["name"]
    if name == "ask" and "elicitation" not in meta[PREFIX + "clientCapabilities"]:
        raise Refused(-32021, "This needs elicitation.", {"requiredCapabilities": {"elicitation": {}}})
    tools: dict[str, Callable[[], Json]] = {
        "echo": lambda: text(json.dumps(params.get("arguments", {}), ensure_ascii=False)),
        "strict": lambda: text(str(params.get("arguments"))),
        "look": lambda: text("`image` is no picture", isError=True),
        "paint": paint,
        "fail": lambda: text("it broke \x1b[31m", isError=True),
        "steps": lambda: steps(meta),
        "chatter": lambda: chatter(meta),
        "hold": lambda: hold(meta),
        "was_cancelled": lambda: text("yes" if _cancelled.wait(CANCEL_WAIT_S) else "no"),
        "ask": lambda: ask(params, FORM),
        "ask_anyway": lambda: ask(params, FORM),
        "visit": lambda: ask(params, PAGE),
        "nasty": lambda: text(ESCAPES),
        "structured": lambda: {"content": [], "structuredContent": {"answer": 42, "odd": "\x9b"}},
    }
    if name not in tools:
        raise Refused(-32602, f"Unknown tool: {name}")
    return tools[name]()


def chatter(meta: Json) -> Json:
    if PREFIX + "logLevel" in meta:
        notify("notifications/message", {"level": "info", "logger": "bench", "data": "sawing \x1b[1m"})
    return text("done")


def get_prompt(params: Json) -> Json:
    if params["name"] == "picture":
        content: Json = {"type": "image", "data": PNG, "mimeType": "image/png"}
        return {"messages": [{"role": "user", "content": content}]}
    given = params.get("arguments", {})
    said = f"Greet {given.get('who')}, {given.get('tone', 'kindly')}."
    return {
        "messages": [
            {"role": "user", "content": {"type": "text", "text": said}},
            {"role": "assistant", "content": {"type": "text", "text": "Hello."}},
        ]
    }


def read(params: Json) -> Json:
    uri = params["uri"]
    if uri == "workshop://note":
        found: Json = {"uri": uri, "mimeType": "text/plain", "text": f"note {ESCAPES}"}
    elif uri == "workshop://logo.png":
        found = {"uri": uri, "mimeType": "image/png", "blob": BYTES}
    else:
        raise Refused(-32602, f"Resource not found: {uri}", {"uri": uri})
    return {"contents": [found], "ttlMs": 0, "cacheScope": "private"}


def listed(key: str, entries: list[Json]) -> Callable[[Json], Json]:
    return lambda params: {key: entries, "ttlMs": 0, "cacheScope": "private"}


METHODS: dict[str, Callable[[Json], Json]] = {
    "server/discover": lambda params: {
        "supportedVersions": ["2026-07-28"],
        "capabilities": {"tools": {}, "prompts": {}, "resources": {}, "logging": {}},
        "ttlMs": 0,
        "cacheScope": "private",
    },
    "tools/list": listed("tools", TOOLS),
    "prompts/list": listed("prompts", PROMPTS),
    "resources/list": listed("resources", RESOURCES),
    "resources/templates/list": listed(
        "resourceTemplates", [{"uriTemplate": "workshop://shelf/{name}", "name": "shelf", "description": "One shelf"}]
    ),
    "tools/call": call,
    "prompts/get": get_prompt,
    "resources/read": read,
}


def serve(message: Json) -> None:
    meta = {"_meta": {PREFIX + "serverInfo": {"name": "workshop", "version": "1"}}}
    try:
        method = METHODS.get(message["method"])
        if method is None:
            raise Refused(-32601, "Method not found")
        result = {"resultType": "complete", **method(message.get("params", {})), **meta}
        write({"jsonrpc": "2.0", "id": message["id"], "result": result})
    except Refused as refused:
        error: Json = {"code": refused.code, "message": str(refused)}
        if refused.data is not None:
            error["data"] = refused.data
        write({"jsonrpc": "2.0", "id": message["id"], "error": error})


def main() -> None:
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("method") == "notifications/cancelled":
            _cancelled.set()
        elif "id" in message and "method" in message:
            threading.Thread(target=serve, args=(message,), daemon=True).start()


if __name__ == "__main__":
    main()
