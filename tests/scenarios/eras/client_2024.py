"""A client as it was written for MCP 2024-11-05, over the HTTP+SSE transport of that revision.

One GET stays open and brings everything the server says; the first event on it says where to POST. Requests of the
server come on the same stream, in the middle of a call, and are answered by a POST.

    client_2024.py http://127.0.0.1:8808/sse
"""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from owner import answer_of
from transcript import Message, Transcript

REVISION = "2024-11-05"
METHOD_NOT_FOUND = -32601
PATIENCE_S = 20


class Client:
    def __init__(self, url: str) -> None:
        self.transcript = Transcript("client")
        self.origin = urlsplit(url).netloc
        self.stream = http.client.HTTPConnection(self.origin, timeout=PATIENCE_S)
        self.stream.request("GET", urlsplit(url).path, headers={"Accept": "text/event-stream"})
        self.events = self.read_events()
        event, endpoint = next(self.events)
        assert event == "endpoint", f"the first event is {event}"
        self.endpoint = urlsplit(urljoin(url, endpoint))
        self.last_id = 0

    def call_tool(self, name: str, arguments: Message) -> str:
        """The text of the result."""
        about = {"name": "notebook-2024", "version": "1.0"}
        abilities: Message = {"roots": {}, "sampling": {}}
        opened = self.request(
            "initialize", {"protocolVersion": REVISION, "capabilities": abilities, "clientInfo": about}
        )
        assert opened["protocolVersion"] == REVISION, f"this client speaks {REVISION} only"
        self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        result = self.request("tools/call", {"name": name, "arguments": arguments})
        return str(result["content"][0]["text"])

    def request(self, method: str, params: Message) -> Message:
        """The result. What the server asks meanwhile is answered."""
        self.last_id += 1
        self.post({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params})
        while True:
            message = self.read_message()
            if "method" in message:
                if "id" in message:
                    self.post({"jsonrpc": "2.0", "id": message["id"], **self.answer(message)})
            elif message["id"] == self.last_id:
                if "error" in message:
                    raise SystemExit(f"{method} failed: {message['error']['message']}")
                result: Message = message["result"]
                return result

    def answer(self, request: Message) -> Message:
        """The `result` or `error` of what the server asks."""
        if request["method"] in ("roots/list", "sampling/createMessage"):
            return {"result": answer_of(request)}
        if request["method"] == "ping":
            return {"result": {}}
        return {"error": {"code": METHOD_NOT_FOUND, "message": f"Method not found: {request['method']}"}}

    def post(self, message: Message) -> None:
        connection = http.client.HTTPConnection(self.origin, timeout=PATIENCE_S)
        target = f"{self.endpoint.path}?{self.endpoint.query}"
        body = json.dumps(self.transcript.says(message)).encode()
        connection.request("POST", target, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        connection.close()
        assert response.status == 202, f"POST was answered by {response.status}"

    def read_message(self) -> Message:
        event, data = next(self.events)
        assert event == "message", f"an event `{event}` is not of this revision"
        return self.transcript.hears(json.loads(data))

    def read_events(self) -> Iterator[tuple[str, str]]:
        """(event, data) of the stream."""
        response = self.stream.getresponse()
        assert response.status == 200, f"GET was answered by {response.status}"
        event, data = "message", ""
        while line := response.readline().decode():
            name, _, value = line.rstrip("\r\n").partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                event = value
            elif name == "data":
                data += value
            elif not name and data:
                yield event, data
                event, data = "message", ""
        raise SystemExit("the server closed the stream")

    def close(self) -> None:
        self.stream.close()


if __name__ == "__main__":
    client = Client(sys.argv[1])
    print(client.call_tool("report", {"place": "greenhouse"}))
    client.close()
