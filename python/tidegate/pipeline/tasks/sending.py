"""How requests about a task reach the connection that it lives on, and in whose name."""

from __future__ import annotations

from tidegate.errors import UpstreamClosed
from tidegate.pipeline.codec import Envelope
from tidegate.pipeline.era.bridge.open_call import OpenCall, Send
from tidegate.pipeline.era.bridge.tasks.shapes import declares_extension, with_extension
from tidegate.pipeline.exchange import CallListener, ClientView
from tidegate.pipeline.json_text import json_value
from tidegate.pipeline.upstream.service import Service
from tidegate.pipeline.upstream.slot import Slot


def about(service: Service, slot: Slot, client: ClientView, task_id: str, waited_s: float = 0.0) -> Send:
    """Requests go wherever `slot` leads by then: a server that was started again may know its tasks still.

    `waited_s`: what the first of them has used of its time already.
    """
    timeout_s = service.config.call_timeout_s - waited_s

    def send(listener: CallListener, message: bytes, envelope: Envelope) -> OpenCall | None:
        connection = slot.connection
        if connection is None:
            listener.failed(UpstreamClosed(f"backend `{service.name}` is not connected"))
            return None
        # The id is also the `Mcp-Name` header (SEP-2663, "Streamable HTTP: Routing Headers").
        return connection.call(listener, client, message, envelope, name=task_id, edits=[], timeout_s=timeout_s)

    return send


def client_declares(client: ClientView) -> bool:
    """Whether this request of a stateless client says that it has tasks."""
    return "extensions" in client.features and declares_extension(json_value(client.capabilities))


def declaring(client: ClientView) -> ClientView:
    """The client as a stateless server sees it for one request: with the extension declared, the rest as it is."""
    capabilities = client.capabilities if client.stateless else client.abilities
    return ClientView(
        stateless=False,
        abilities=with_extension(capabilities),
        info=client.info,
        log_level=client.log_level,
        version=client.version,
        principal=client.principal,
        caller=client.caller,
        depth=client.depth,
    )
