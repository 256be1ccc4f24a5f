"""A client as it is written for MCP 2026-07-28 and nothing else, over Streamable HTTP.

Every request is a POST of its own with version, identity and abilities in `_meta`; there is no `initialize` and no
session. A result of type `input_required` holds questions: the client answers them by making its request once more.

    client_2026.py http://127.0.0.1:8808/mcp
"""

from __future__ import annotations

import http.client
import json
import sys
from urllib.parse import urlsplit

from owner import answer_of
from transcript import Message, Transcript

REVISION = "2026-07-28"
META: Message = {
    "io.modelcontextprotocol/protocolVersion": REVISION,
    "io.modelcontextprotocol/clientInfo": {"name": "notebook-2026", "version": "1.0"},
    "io.modelcontextprotocol/clientCapabilities": {"roots": {}, "sampling": {}},
}
ROUNDS = 5
"""A server that asks more often is not believed."""
PATIENCE_S = 20


class Client:
    def __init__(self, url: str) -> None:
        self.transcript = Transcript("client")
        self.url = urlsplit(url)
        self.last_id = 0

    def call_tool(self, name: str, arguments: Message) -> str:
        """The text of the result."""
        params: Message = {"name": name, "arguments": arguments}
        for _ in range(ROUNDS):
            result = self.request("tools/call", params)
            if result["resultType"] == "complete":
                return str(result["content"][0]["text"])
            assert result["resultType"] == "input_required", f"a result of type {result['resultType']}"
            questions: Message = result.get("inputRequests", {})
            answers = {key: answer_of(question) for key, question in questions.items()}
            # The same request, with the answers and the state exactly as it came.
            params = {"name": name, "arguments": arguments, "inputResponses": answers}
            if "requestState" in result:
                params["requestState"] = result["requestState"]
        raise SystemExit("the server never stops asking")

    def request(self, method: str, params: Message) -> Message:
        self.last_id += 1
        request = {"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": {**params, "_meta": META}}
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": REVISION,
            "Mcp-Method": method,
            "Mcp-Name": params["name"],
        }
        connection = http.client.HTTPConnection(self.url.netloc, timeout=PATIENCE_S)
        connection.request("POST", self.url.path, json.dumps(self.transcript.says(request)).encode(), headers)
        response = self.response(connection.getresponse())
        connection.close()
        if "error" in response:
            raise SystemExit(f"{method} failed: {response['error']['message']}")
        result: Message = response["result"]
        return result

    def response(self, answer: http.client.HTTPResponse) -> Message:
        """Either the body, or the last event of the stream it is."""
        if answer.headers.get_content_type() == "application/json":
            return self.transcript.hears(json.loads(answer.read()))
        assert answer.headers.get_content_type() == "text/event-stream", answer.headers.get_content_type()
        while line := answer.readline().decode():
            if line.startswith("data:") and line[5:].strip():
                message = self.transcript.hears(json.loads(line[5:]))
                if "method" not in message:
                    return message
                assert "id" not in message, "a request to the client is not of this revision"
        raise SystemExit("the stream ended without a response")


if __name__ == "__main__":
    print(Client(sys.argv[1]).call_tool("report", {"place": "greenhouse"}))
