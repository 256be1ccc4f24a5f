"""What the load says to a gateway: the messages of both eras, and single requests over HTTP and TCP."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.parse
from typing import Any

STATELESS, SESSION = "2026-07-28", "2025-11-25"
CLIENT = {"name": "bench", "version": "1"}
META = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientInfo": CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}
ARGUMENTS = {"path": "/var/log/syslog", "head": 20}
TOKEN = "bench-" + "0123456789abcdef" * 2
"""Of the only client that guarded gateways know."""
EXPECTED = "hello from the bench"
"""In every right answer to `CALL`."""


def message(
    method: str, name: str = "", arguments: dict[str, Any] | None = None, era: str = STATELESS, own_id: int = 1
) -> str:
    params: dict[str, Any] = {"name": name, "arguments": arguments or {}} if name else {}
    if era == STATELESS:
        params["_meta"] = META
    return json.dumps({"jsonrpc": "2.0", "id": own_id, "method": method, "params": params}, separators=(",", ":"))


CALL = message("tools/call", "echo", ARGUMENTS)
SESSION_CALL = message("tools/call", "echo", ARGUMENTS, SESSION, own_id=1000)
"""Its id has as many digits as those `call.lua` puts in its place."""
BIG = message("tools/call", "big")
LIST = message("tools/list")
INITIALIZE = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": SESSION, "capabilities": {}, "clientInfo": CLIENT},
    }
)
INITIALIZED = '{"jsonrpc":"2.0","method":"notifications/initialized"}'


def headers(method: str = "", name: str = "", token: str = "", session: str = "") -> dict[str, str]:
    """Of one POST. With neither `method` nor `session`: of one that greets."""
    found = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if session:
        found |= {"MCP-Protocol-Version": SESSION, "Mcp-Session-Id": session}
    elif method:
        found |= {"MCP-Protocol-Version": STATELESS, "Mcp-Method": method} | ({"Mcp-Name": name} if name else {})
    return found | ({"Authorization": f"Bearer {token}"} if token else {})


def post(url: str, body: str, sent: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    """Body and headers of the answer; the connection is closed afterwards."""
    connection = connect(url)
    try:
        return post_on(connection, url, body, sent)
    finally:
        connection.close()


def connect(url: str) -> http.client.HTTPConnection:
    place = urllib.parse.urlsplit(url)
    # Not urllib: it asks for the connection to be closed, and the answer would not look as wrk gets it.
    return http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)


def post_on(
    connection: http.client.HTTPConnection, url: str, body: str, sent: dict[str, str]
) -> tuple[bytes, dict[str, str]]:
    connection.request("POST", urllib.parse.urlsplit(url).path, body.encode(), sent)
    answer = connection.getresponse()
    return answer.read(), dict(answer.getheaders())


def http_session(url: str) -> str:
    """The id of a new session of 2025-11-25, its connection closed."""
    found = post(url, INITIALIZE, headers())[1]
    key = {name.lower(): value for name, value in found.items()}["mcp-session-id"]
    post(url, INITIALIZED, headers(session=key))
    return key


def tcp_session(port: int) -> socket.socket:
    """The same over TCP, its connection open."""
    connection = socket.create_connection(("127.0.0.1", port), 20)
    ask_line(connection, INITIALIZE)
    connection.sendall(f"{INITIALIZED}\n".encode())
    return connection


def ask_line(connection: socket.socket, line: str) -> bytes:
    """The answer to one line.

    Raises: RuntimeError, when it is no result.
    """
    connection.sendall(f"{line}\n".encode())
    answer = b""
    while not answer.endswith(b"\n"):
        answer += connection.recv(65536) or b"closed\n"
    if b'"result"' not in answer:
        raise RuntimeError(f"{line} is answered {answer[:300]!r}")
    return answer
