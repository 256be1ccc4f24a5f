"""A server as it was written for MCP 2024-11-05: one process for one client, JSON-RPC lines on stdin and stdout.

It knows a session that begins with `initialize`, and in the middle of a tool call it asks its client by sending it
requests. Of any later revision it knows nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from typing import Any, TypeAlias

from transcript import Message, Transcript

REVISION = "2024-11-05"
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602

Asking: TypeAlias = Generator[tuple[str, Message | None], Message, str]
"""A tool that runs: yields (method, params) of a question, is sent the result, returns its text."""

TOOL: Message = {
    "name": "report",
    "description": "One sentence on how a place is doing.",
    "inputSchema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}


def report(place: str) -> Asking:
    """Where are the notes? What do they come to? The first answer is needed for the second question."""
    answer = yield "roots/list", None
    folder = answer["roots"][0]["uri"]
    prompt = f"One sentence on {folder}: 31 °C, soil 12 %"
    question = {"role": "user", "content": {"type": "text", "text": prompt}}
    answer = yield "sampling/createMessage", {"messages": [question], "maxTokens": 50}
    return f"{place}: {answer['content']['text']}"


class Server:
    def __init__(self) -> None:
        self.transcript = Transcript("server")
        self.client: Message = {}
        """What the client said it can do."""
        self.asked = 0

    def serve(self) -> None:
        """Until stdin ends."""
        while (message := self.read()) is not None:
            if "id" in message and "method" in message:
                self.write({"jsonrpc": "2.0", "id": message["id"], **self.answer(message)})

    def answer(self, request: Message) -> Message:
        """The `result` or `error` of a request."""
        params = request.get("params", {})
        match request["method"]:
            case "initialize":
                self.client = params["capabilities"]
                server = {"name": "greenhouse-2024", "version": "1.0"}
                return {"result": {"protocolVersion": REVISION, "capabilities": {"tools": {}}, "serverInfo": server}}
            case "ping":
                return {"result": {}}
            case "tools/list":
                return {"result": {"tools": [TOOL]}}
            case "tools/call" if params["name"] == TOOL["name"]:
                return self.run(report(params["arguments"]["place"]))
            case "tools/call":
                return {"error": {"code": INVALID_PARAMS, "message": f"Unknown tool: {params['name']}"}}
        return {"error": {"code": METHOD_NOT_FOUND, "message": f"Method not found: {request['method']}"}}

    def run(self, tool: Asking) -> Message:
        """Asks what the tool asks, and waits each time, as servers of these days did."""
        try:
            method, params = next(tool)
            while True:
                answer = self.ask(method, params)
                if "error" in answer:
                    return said(f"The client would not say: {answer['error']['message']}", is_error=True)
                method, params = tool.send(answer["result"])
        except StopIteration as done:
            return said(str(done.value))

    def ask(self, method: str, params: Message | None) -> Message:
        """The client's response to a request of ours. Other requests that come meanwhile are answered."""
        if method.partition("/")[0] not in self.client:
            return {"error": {"code": METHOD_NOT_FOUND, "message": f"it has no {method}"}}
        self.asked += 1
        request: dict[str, Any] = {"jsonrpc": "2.0", "id": f"ask-{self.asked}", "method": method}
        self.write(request if params is None else {**request, "params": params})
        while (message := self.read()) is not None:
            if "method" not in message and message.get("id") == request["id"]:
                return message
            if "method" in message and "id" in message:
                self.write({"jsonrpc": "2.0", "id": message["id"], **self.answer(message)})
        raise SystemExit("the client went away in the middle of a call")

    def read(self) -> Message | None:
        line = sys.stdin.readline()
        return self.transcript.hears(json.loads(line)) if line else None

    def write(self, message: Message) -> None:
        sys.stdout.write(json.dumps(self.transcript.says(message)) + "\n")
        sys.stdout.flush()


def said(text: str, *, is_error: bool = False) -> Message:
    return {"result": {"content": [{"type": "text", "text": text}], "isError": is_error}}


if __name__ == "__main__":
    Server().serve()
