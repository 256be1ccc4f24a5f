"""An MCP server with tools in the shapes of local models, which does what the last message says.

Runs alone, by `python -I -S`: a server of 2026-07-28 on stdio. What it is told to stop goes into a file, its argument.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

Json = dict[str, Any]
_OUT = threading.Lock()
_CANCELLED: dict[Any, threading.Event] = {}
LISTED = {"ttlMs": 0, "cacheScope": "private"}
SCHEMAS: Json = {
    "chat": {"type": "object", "properties": {"messages": {"type": "array"}}},
    "embed": {"type": "object", "properties": {"texts": {"type": "array"}}},
}
TOOLS = ("chat", "embed", "secret_chat", "echo")


def say(message: Json) -> None:
    with _OUT:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def result(request: Json, body: Json) -> None:
    say({"id": request["id"], "result": {"resultType": "complete", **body}})


def bad(request: Json, words: str) -> None:
    result(request, {"content": [{"type": "text", "text": words}], "isError": True})


def chat(request: Json) -> None:
    params = request["params"]
    if "messages" not in params["arguments"]:
        bad(request, "`messages` must be a list")
        return
    arguments, token = params["arguments"], params["_meta"].get("progressToken")
    asked = arguments["messages"][-1]["content"]
    gone = _CANCELLED[request["id"]]
    if asked == "shape":
        told = {**arguments, "data_class": params["_meta"].get("io.tidegate/data-class")}
        pieces = [json.dumps(told)]
    elif asked == "flood":
        pieces = ["x" * 65_536] * 100_000
    elif asked == "forever":
        pieces = ["tick "] * 10_000_000
    else:
        pieces = [f"{word} " for word in asked.split(" ")]
    if asked == "fail":
        result(request, {"content": [{"type": "text", "text": "too long for the model"}], "isError": True})
        return
    if asked.startswith("error "):
        slug = asked.removeprefix("error ")
        say({"id": request["id"], "error": {"code": -32603, "message": f"it is {slug}", "data": {"reason": slug}}})
        return
    if asked == "invalid":
        say({"id": request["id"], "error": {"code": -32602, "message": "`messages` is odd"}})
        return
    if asked == "die":
        os._exit(1)
    if asked == "garbage":
        result(request, {"content": [], "structuredContent": {"content": 7}})
        return
    said: list[str] = []
    for number, piece in enumerate(pieces):
        if gone.is_set():
            with Path(sys.argv[1]).open("a", encoding="utf-8") as told:
                told.write(f"{asked}\n")
            return
        if token is not None and asked != "silent":
            progress = {"progressToken": token, "progress": number + 1, "message": piece}
            say({"method": "notifications/progress", "params": progress})
        said.append(piece)
        if asked == "break" or (asked == "midway error" and number == 0):
            say(
                {
                    "id": request["id"],
                    "error": {"code": -32603, "message": "it broke", "data": {"reason": "model_busy"}},
                }
            )
            return
        if asked == "forever":
            time.sleep(0.002)
    content = "something else" if asked == "liar" else "".join(said)
    body: Json = {"content": [{"type": "text", "text": content}]}
    if asked != "plain":
        usage = {"input_tokens": len(arguments["messages"]), "output_tokens": len(said)}
        stop = "length" if arguments.get("max_tokens") == 1 else "end"
        structured = {"role": "assistant", "content": content, "model": "fake", "stop_reason": stop, "usage": usage}
        body["structuredContent"] = structured
    if asked == "routed":
        why = "the local model is busy\r\nset-cookie: x=é" + "y" * 1000
        body["_meta"] = {"io.tidegate/served-by": {"tool": "cloud__chat", "where": "cloud", "why": why}}
    result(request, body)


def embed(request: Json) -> None:
    texts = request["params"]["arguments"].get("texts")
    if texts is None:
        bad(request, "`texts` must be a list")
        return
    rows: list[Any] = [[float(len(text)), float(index), 0.5] for index, text in enumerate(texts)]
    model = "fake"
    if "odd" in texts:
        rows[0] = [1.0]
    if "words" in texts:
        rows[0] = ["a", "b", "c"]
    if "few" in texts:
        rows.pop()
    if "other model" in texts:
        model = "other"
    body = {"model": model, "dimensions": 3, "embeddings": rows, "usage": {"input_tokens": len(texts)}}
    failed = {"isError": True} if "fail" in texts else {}
    result(request, {"content": [{"type": "text", "text": "embedded"}], "structuredContent": body, **failed})


def echo(request: Json) -> None:
    result(request, {"content": [{"type": "text", "text": "echo"}]})


def serve() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        method = request.get("method")
        if method == "server/discover":
            body = {
                "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {}},
                "ttlMs": 0,
                "cacheScope": "private",
            }
            meta = {"io.modelcontextprotocol/serverInfo": {"name": "fake", "version": "1"}}
            result(request, {**body, "_meta": meta})
        elif method == "tools/list":
            tools = [{"name": name, "inputSchema": SCHEMAS.get(name, {"type": "object"})} for name in TOOLS]
            result(request, {"tools": tools, **LISTED})
        elif method == "tools/call":
            _CANCELLED[request["id"]] = threading.Event()
            work = {"embed": embed, "echo": echo}.get(request["params"]["name"], chat)
            threading.Thread(target=work, args=(request,), daemon=True).start()
        elif method == "notifications/cancelled":
            gone = _CANCELLED.get(request["params"]["requestId"])
            if gone is not None:
                gone.set()
        elif "id" in request:
            say({"id": request["id"], "error": {"code": -32601, "message": "no"}})


serve()
