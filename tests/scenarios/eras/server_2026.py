"""A server as it is written for MCP 2026-07-28 and nothing else: POST on one endpoint, no session, no state.

Every request brings version and abilities in `_meta`. A tool that wants to know something answers `input_required`
and forgets the call: the client comes again with the answers and with the state it was given. There is no
`initialize`, no GET and no request from server to client.

Prints its port, and serves until it is ended.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from transcript import Message, Transcript

REVISION = "2026-07-28"
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
HEADER_MISMATCH = -32020
MISSING_ABILITY = -32021
UNSUPPORTED_REVISION = -32022

VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
ABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
SERVER_KEY = "io.modelcontextprotocol/serverInfo"

KEY = secrets.token_bytes(32)
"""Signs the state that clients carry, since they could change it."""
TOOL: Message = {
    "name": "report",
    "description": "One sentence on how a place is doing.",
    "inputSchema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
CACHE: Message = {"ttlMs": 60_000, "cacheScope": "public"}


class Refusal(Exception):
    """An error of JSON-RPC with its HTTP status."""

    def __init__(self, status: int, code: int, message: str, data: Message | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error: dict[str, Any] = {"code": code, "message": message, **({"data": data} if data else {})}


def report(params: Message) -> Message:
    """Where are the notes? What do they come to? The state says which of the two was asked."""
    place = params["arguments"]["place"]
    answers = params.get("inputResponses", {})
    state = unseal(params["requestState"]) if "requestState" in params else {}
    if "folder" not in state:
        if "where" not in answers:
            return ask("where", {"method": "roots/list"}, {"place": place})
        state["folder"] = answers["where"]["roots"][0]["uri"]
    if "sentence" not in answers:
        prompt = f"One sentence on {state['folder']}: 31 °C, soil 12 %"
        question = {"role": "user", "content": {"type": "text", "text": prompt}}
        request = {"method": "sampling/createMessage", "params": {"messages": [question], "maxTokens": 50}}
        return ask("sentence", request, state)
    text = f"{place}: {answers['sentence']['content']['text']}"
    return {"resultType": "complete", "content": [{"type": "text", "text": text}], "isError": False}


def ask(key: str, request: Message, state: Message) -> Message:
    return {"resultType": "input_required", "inputRequests": {key: request}, "requestState": seal(state)}


def seal(state: Message) -> str:
    body = json.dumps(state).encode()
    return base64.urlsafe_b64encode(hmac.digest(KEY, body, hashlib.sha256) + body).decode()


def unseal(text: str) -> Message:
    raw = base64.urlsafe_b64decode(text)
    if not hmac.compare_digest(raw[:32], hmac.digest(KEY, raw[32:], hashlib.sha256)):
        raise Refusal(400, INVALID_PARAMS, "this is no state of ours")
    state: Message = json.loads(raw[32:])
    return state


class Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    transcript = Transcript("server")

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", "0")))
        request = self.transcript.hears(json.loads(raw))
        try:
            status, outcome = 200, {"result": self.result(request)}
        except Refusal as refusal:
            status, outcome = refusal.status, {"error": refusal.error}
        response = self.transcript.says({"jsonrpc": "2.0", "id": request.get("id"), **outcome})
        body = json.dumps(response).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def result(self, request: Message) -> Message:
        """Raises: Refusal"""
        method = request["method"]
        params = request.get("params", {})
        meta = params.get("_meta", {})
        self.check_headers(method, params, meta)
        if meta[VERSION_KEY] != REVISION:
            asked = {"supported": [REVISION], "requested": meta[VERSION_KEY]}
            raise Refusal(400, UNSUPPORTED_REVISION, "Unsupported protocol version", asked)
        match method:
            case "server/discover":
                about = {SERVER_KEY: {"name": "greenhouse-2026", "version": "1.0"}}
                known = {"supportedVersions": [REVISION], "capabilities": {"tools": {}}, "_meta": about}
                return {"resultType": "complete", **known, **CACHE}
            case "tools/list":
                return {"resultType": "complete", "tools": [TOOL], **CACHE}
            case "tools/call" if params["name"] == TOOL["name"]:
                for ability in ("roots", "sampling"):
                    if ability not in meta[ABILITIES_KEY]:
                        needed: Message = {"requiredCapabilities": {ability: {}}}
                        raise Refusal(400, MISSING_ABILITY, f"The client has no {ability}", needed)
                return report(params)
            case "tools/call":
                raise Refusal(200, INVALID_PARAMS, f"Unknown tool: {params['name']}")
        raise Refusal(404, METHOD_NOT_FOUND, f"Method not found: {method}")

    def check_headers(self, method: str, params: Message, meta: Message) -> None:
        """They say again what is in the body. Raises: Refusal"""
        required = {"MCP-Protocol-Version": meta.get(VERSION_KEY), "Mcp-Method": method}
        if method == "tools/call":
            required["Mcp-Name"] = params["name"]
        for name, value in required.items():
            if name not in self.headers:
                raise Refusal(400, HEADER_MISMATCH, f"{name} is missing")
            if self.headers[name] != value:
                raise Refusal(400, HEADER_MISMATCH, f"{name} is {self.headers[name]}, the body has {value}")

    def do_GET(self) -> None:
        """Of earlier revisions, as is DELETE."""
        self.send_response(405)
        self.send_header("allow", "POST")
        self.send_header("content-length", "0")
        self.end_headers()

    do_DELETE = do_GET  # noqa: N815 - so the base class looks for it

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by the base class
        """Silence: the transcript has it all."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    print(server.server_port, flush=True)
    server.serve_forever()
