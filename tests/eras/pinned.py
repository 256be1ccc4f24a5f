"""Raw servers and clients that know one revision and nothing of any other.

They extend the scripted peers of `tests/interaction`. A pinned server notes whatever its revision does not have in
`strange`; a pinned client greets, declares and answers as a program of its time would.
"""

from __future__ import annotations

from typing import Any, Final

from clients import PREFIX, Client, HttpClient, SseClient
from heard import Json
from scripted_server import Received, ScriptedServer, dump

REVISIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
STATELESS: Final = "2026-07-28"
ELICITING: Final = "2025-06-18"
"""The first revision with elicitation."""
URL_ELICITING: Final = "2025-11-25"
_ALWAYS: Final = {
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "completion/complete",
    "notifications/cancelled",
    "",
}
_OF_SESSIONS: Final = {
    "initialize",
    "notifications/initialized",
    "ping",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
    "notifications/roots/list_changed",
}
_OF_STATELESS: Final = {"server/discover", "subscriptions/listen"}


def is_stateless(revision: str) -> bool:
    return revision == STATELESS


def abilities(revision: str) -> Json:
    """Everything a client of this revision can let servers ask of it."""
    declared: Json = {"sampling": {}, "roots": {} if is_stateless(revision) else {"listChanged": True}}
    if revision >= URL_ELICITING:
        declared["elicitation"] = {"form": {}, "url": {}}
    elif revision >= ELICITING:
        declared["elicitation"] = {}
    return declared


class PinnedServer(ScriptedServer):
    """A server of one revision. It has one tool, prompt, resource and template."""

    def __init__(self, revision: str) -> None:
        self.revision = revision
        name = f"of-{revision}"
        tool: Json = {"name": "echo", "inputSchema": {"type": "object"}}
        if revision >= "2025-03-26":
            tool["annotations"] = {"readOnlyHint": True}
        if revision >= "2025-06-18":
            tool |= {"title": "Echo", "outputSchema": {"type": "object"}}
        super().__init__("modern" if is_stateless(revision) else "session", name, tools=(dump(tool),))
        if revision < "2025-03-26":
            del self.capabilities["completions"]
        self.strange: list[str] = []

    def serve(self, received: Received) -> None:
        self._judge(received)
        method = received.method
        known = _ALWAYS | (_OF_STATELESS if self.era == "modern" else _OF_SESSIONS)
        if method not in known:
            received.fail(-32601, "Method not found")
        else:
            super().serve(received)

    def _judge(self, received: Received) -> None:
        """Notes what a server of this revision cannot understand. A probe for the other era is allowed."""
        meta = received.params.get("_meta", {}) if isinstance(received.params, dict) else {}
        enveloped = any(str(key).startswith(PREFIX) for key in meta)
        if received.method in ("server/discover", "initialize"):
            return
        if enveloped != (self.era == "modern"):
            self.strange.append(f"`_meta` of {received.raw!r}")
        if self.era == "session":
            for member in ("inputResponses", "requestState"):
                if member in received.params:
                    self.strange.append(f"{member} in {received.raw!r}")
            version = received.headers.get("mcp-protocol-version", self.revision)
            if self.revision >= "2025-06-18" and version != self.revision:
                self.strange.append(f"header says {version}")

    def _initialize(self, received: Received) -> None:
        if self.era != "session":
            received.fail(-32601, "Method not found")
            return
        offered: str = received.params["protocolVersion"]
        received.channel.capabilities = received.params["capabilities"]
        received.channel.version = self.revision
        if offered not in REVISIONS or is_stateless(offered):
            self.strange.append(f"asked to initialize {offered}")
        # Whatever was proposed, it is answered with the one revision that is spoken here.
        received.reply(
            {
                "protocolVersion": self.revision,
                "capabilities": self.capabilities,
                "serverInfo": {"name": self.name, "version": "1"},
            }
        )

    def declared(self, received: Received) -> Json:
        """What the client behind a request can be asked, as this server was told."""
        if self.era == "modern":
            found: Json = received.params["_meta"][PREFIX + "clientCapabilities"]
            return found
        return received.channel.capabilities

    def input_required(self, received: Received, questions: dict[str, tuple[str, Json]], state: str) -> None:
        requests = {key: {"method": method, "params": params} for key, (method, params) in questions.items()}
        received.reply({"resultType": "input_required", "inputRequests": requests, "requestState": state})


class PlainHttpClient(HttpClient):
    """Sends the header of the revision from 2025-06-18 on only, as it was introduced there."""

    def headers(self, raw: bytes = b"") -> dict[str, str]:
        headers = super().headers(raw)
        if self.revision < "2025-06-18":
            headers.pop("mcp-protocol-version", None)
        return headers


def pinned_client(revision: str, http: str, **more: Any) -> Client:
    """A client of this revision on the HTTP transport of its time."""
    capabilities = abilities(revision)
    if revision == "2024-11-05":
        return SseClient(http, capabilities=capabilities, **more)
    era = "modern" if is_stateless(revision) else "session"
    return PlainHttpClient(http, era, revision=revision, capabilities=capabilities, **more)
