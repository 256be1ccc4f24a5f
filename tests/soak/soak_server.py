"""An MCP server that behaves as badly as its caller asks it to: `python soak_server.py stdio|http ERA NAME [PORT]`.

Threads and no imports beyond the plain ones, so that a hundred starts cost little. Tools: `echo`, `slow` (with
progress), `ask` (elicits), `hang` (never answers), `die`, `flood` (garbage on stdout first), `moan` (floods stderr),
`change` (another tool list, and a resource that was updated), `oops` (HTTP: the connection is cut, stdio: no answer).
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODERN = "2026-07-28"
TAG = "io.modelcontextprotocol/subscriptionId"
TOOLS = ("echo", "slow", "ask", "hang", "die", "flood", "moan", "change", "oops")
FORM = {"message": "Sure?", "requestedSchema": {"type": "object", "properties": {"sure": {"type": "boolean"}}}}
LINE = "x" * 199
Json = Any
Say = Callable[[Json], None]


class Server:
    """What it says does not depend on the transport. `everybody`: who hears what belongs to no request."""

    def __init__(self, era: str, name: str) -> None:
        self.era = era
        self.name = name
        self.changes = 0
        self.subscribed: set[str] = set()
        self.everybody: dict[object, Say] = {}
        self.answers: dict[str, queue.Queue[Json]] = {}
        self.asked = 0
        self.lock = threading.Lock()

    def take(self, message: Json, say: Say) -> None:
        """One message; may take as long as it likes."""
        if "method" not in message:
            waiting = self.answers.pop(str(message.get("id")), None)
            if waiting is not None:
                waiting.put(message)
            return
        if "id" not in message:
            return
        method, params = message["method"], message.get("params") or {}
        say_result = self.result_to(message, say)
        if method == "initialize" and self.era == "session":
            facts = {"capabilities": self.capabilities(), "serverInfo": {"name": self.name, "version": "1"}}
            say_result({"protocolVersion": params["protocolVersion"], **facts})
        elif method == "server/discover" and self.era == "modern":
            say_result({"supportedVersions": [MODERN], "capabilities": self.capabilities(), "ttlMs": 0})
        elif method == "ping":
            say_result({})
        elif method == "tools/list":
            names = [*TOOLS, f"now_{self.changes}"]
            say_result({"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in names], "ttlMs": 1000})
        elif method == "resources/list":
            say_result({"resources": [{"uri": f"soak://{self.name}", "name": "a"}], "ttlMs": 1000})
        elif method == "resources/read":
            say_result({"contents": [{"uri": params["uri"], "text": LINE * 20}], "ttlMs": 0})
        elif method in ("resources/subscribe", "resources/unsubscribe"):
            (self.subscribed.add if method.endswith("/subscribe") else self.subscribed.discard)(params["uri"])
            say_result({})
        elif method == "tools/call":
            self.call(params, message, say, say_result)
        else:
            say({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no such method"}})

    def capabilities(self) -> Json:
        return {"tools": {"listChanged": True}, "resources": {"subscribe": True, "listChanged": True}}

    def result_to(self, message: Json, say: Say) -> Say:
        more = {"resultType": "complete", "cacheScope": "public"} if self.era == "modern" else {}
        return lambda result: say({"jsonrpc": "2.0", "id": message["id"], "result": {**more, **result}})

    def call(self, params: Json, message: Json, say: Say, say_result: Say) -> None:
        name, arguments = params["name"], params.get("arguments") or {}
        if name == "slow":
            token = params.get("_meta", {}).get("progressToken")
            for step in range(1, 4):
                time.sleep(arguments.get("s", 0.1) / 3)
                if token is not None:
                    progress = {"progressToken": token, "progress": step, "total": 3}
                    say({"jsonrpc": "2.0", "method": "notifications/progress", "params": progress})
        elif name == "ask":
            if not self.ask(params, message, say):
                return
        elif name == "hang":
            return
        elif name == "die":
            os._exit(9)
        elif name == "flood":
            for _ in range(500):
                self.noise()
        elif name == "moan":
            for _ in range(5000):
                sys.stderr.write(LINE + "\n")
            sys.stderr.flush()
        elif name == "change":
            self.changes += 1
            self.tell("notifications/tools/list_changed", {})
            self.tell("notifications/resources/updated", {"uri": f"soak://{self.name}"})
        elif name == "oops":
            raise ConnectionAbortedError
        say_result({"content": [{"type": "text", "text": json.dumps(arguments)}]})

    def noise(self) -> None:
        pass

    def ask(self, params: Json, message: Json, say: Say) -> bool:
        """Whether the call goes on."""
        if self.era == "modern":
            if params.get("inputResponses"):
                return True
            wanted = {"sure": {"method": "elicitation/create", "params": {"mode": "form", **FORM}}}
            result = {"resultType": "input_required", "inputRequests": wanted, "requestState": "s"}
            say({"jsonrpc": "2.0", "id": message["id"], "result": result})
            return False
        with self.lock:
            self.asked += 1
            own_id = f"ask-{self.asked}"
            waiting = self.answers[own_id] = queue.Queue()
        say({"jsonrpc": "2.0", "id": own_id, "method": "elicitation/create", "params": FORM})
        try:
            waiting.get(timeout=20)
        except queue.Empty:
            self.answers.pop(own_id, None)
        return True

    def tell(self, method: str, params: Json) -> None:
        for say in list(self.everybody.values()):
            say({"jsonrpc": "2.0", "method": method, "params": params})


# -- stdio ----------------------------------------------------------------------------------------------------------


class StdioServer(Server):
    def noise(self) -> None:
        self.write(b"this is no message at all, " + LINE.encode())

    def write(self, line: bytes) -> None:
        with self.lock:
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()

    def say(self, message: Json) -> None:
        self.write(json.dumps(message).encode())

    def run(self) -> None:
        if self.era == "session":
            self.everybody[self] = self.say
        for line in sys.stdin.buffer:
            message = json.loads(line)
            method, params = message.get("method"), message.get("params") or {}
            if method == "subscriptions/listen" and self.era == "modern":
                self.listen(message, self.say)
            elif method == "notifications/cancelled":
                self.everybody.pop(json.dumps(params["requestId"]), None)
            elif method == "tools/call" and params["name"] not in ("echo", "die", "change"):
                threading.Thread(target=self.quietly, args=(message,), daemon=True).start()
            else:
                self.take(message, self.say)

    def quietly(self, message: Json) -> None:
        with suppress(ConnectionAbortedError):
            self.take(message, self.say)

    def listen(self, message: Json, say: Say) -> None:
        listen(self, message, say, json.dumps(message["id"]))


def listen(server: Server, message: Json, say: Say, key: object) -> None:
    """`subscriptions/listen`: its tag on everything that is said there."""
    tag = {"_meta": {TAG: message["id"]}}
    honoured = {"notifications": message["params"]["notifications"], **tag}
    say({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": honoured})
    server.everybody[key] = lambda told: say({**told, "params": {**told["params"], **tag}})


# -- HTTP -----------------------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server_version, sys_version = "soak", ""
    protocol_version = "HTTP/1.1"
    mcp: Server
    sessions: dict[str, queue.Queue[Json]]
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        method, params = message.get("method"), message.get("params") or {}
        session = self.headers.get("mcp-session-id")
        if self.mcp.era == "session" and method != "initialize" and session not in self.sessions:
            self.plain(404)
            return
        if "id" not in message or "method" not in message:
            self.mcp.take(message, lambda _: None)
            self.plain(202)
            return
        if method == "initialize" and self.mcp.era == "session":
            self.new_session = os.urandom(8).hex()
            self.sessions[self.new_session] = queue.Queue()
        streams = method == "subscriptions/listen" or params.get("name") in ("slow", "ask")
        try:
            if streams:
                self.stream(message, method, params)
            elif params.get("name") == "hang":
                time.sleep(30)
                self.close_connection = True
            else:
                self.mcp.take(message, self.reply)
        except ConnectionAbortedError:
            self.close_connection = True

    def stream(self, message: Json, method: str, params: Json) -> None:
        self.begin_events()
        if method != "subscriptions/listen":
            self.mcp.take(message, self.event)
        elif self.mcp.era == "modern":
            told: queue.Queue[Json] = queue.Queue()
            listen(self.mcp, message, told.put, self)
            try:
                self.pour(told)
            finally:
                self.mcp.everybody.pop(self, None)
        self.chunk(b"")

    def do_GET(self) -> None:
        told = self.sessions.get(self.headers.get("mcp-session-id") or "")
        if told is None:
            self.plain(404 if self.mcp.era == "session" else 405)
            return
        self.begin_events()
        self.mcp.everybody[told] = told.put
        try:
            self.pour(told)
        finally:
            self.mcp.everybody.pop(told, None)

    def do_DELETE(self) -> None:
        self.sessions.pop(self.headers.get("mcp-session-id") or "", None)
        self.plain(200)

    new_session = ""

    def head(self, status: int, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        if self.new_session:
            self.send_header("mcp-session-id", self.new_session)
            self.new_session = ""
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def plain(self, status: int) -> None:
        self.head(status, ("content-length", "0"))

    def reply(self, message: Json) -> None:
        body = json.dumps(message).encode()
        self.head(200, ("content-type", "application/json"), ("content-length", str(len(body))))
        self.wfile.write(body)

    def begin_events(self) -> None:
        self.head(200, ("content-type", "text/event-stream"), ("transfer-encoding", "chunked"))

    def event(self, message: Json) -> None:
        self.chunk(b"data: " + json.dumps(message).encode() + b"\n\n")

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def pour(self, told: queue.Queue[Json]) -> None:
        """Events until the other side is gone, which only writing shows."""
        while True:
            try:
                self.event(told.get(timeout=1))
            except queue.Empty:
                self.chunk(b":\n\n")


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        pass


def main() -> None:
    kind, era, name, *rest = sys.argv[1:]
    if kind == "stdio":
        StdioServer(era, name).run()
        return
    Handler.mcp = Server(era, name)
    Handler.sessions = {}
    server = QuietServer(("127.0.0.1", int(rest[0])), Handler)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
