"""Requests that the gateway makes for whoever speaks no MCP: a client of the stateless era that can be asked nothing.

Plugins make them, and so do whatever answers in a caller's name by calling further tools.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tidegate.errors import INTERNAL_ERROR, TidegateError, UpstreamError, UpstreamProtocol
from tidegate.pipeline.codec import Envelope, find_member, patch_object, scan
from tidegate.pipeline.exchange import ClientView, Exchange
from tidegate.pipeline.json_text import json_bytes, json_value
from tidegate.pipeline.principal import Principal
from tidegate.protocol.meta_keys import (
    CLIENT_CAPABILITIES,
    CLIENT_INFO,
    DATA_CLASS,
    PROGRESS_TOKEN,
    PROTOCOL_VERSION,
)
from tidegate.protocol.revisions import LATEST_MODERN
from tidegate.sandbox.guest import Answered

TRANSPORT = "plugin"

Progressed = Callable[[bytes], None]
"""Told of each `notifications/progress` before the result: its `params`, a raw JSON object."""


class ServerSaid(UpstreamError):
    """The server's own error, in its words."""

    def __init__(self, error: object) -> None:
        """`error`: as the server wrote it."""
        fields = error if isinstance(error, dict) else {}
        super().__init__(str(fields.get("message")), data=fields.get("data"))
        code = fields.get("code")
        self.said_code = code if isinstance(code, int) else INTERNAL_ERROR


def inner_client(principal: Principal, plugin: str, depth: int) -> ClientView:
    """As whom `plugin` calls tools for `principal`."""
    return ClientView(
        stateless=True,
        info=json_bytes({"name": plugin, "version": ""}),
        version=LATEST_MODERN,
        own_key=f"{principal.key} {{}}",
        principal=principal.name,
        caller=principal,
        depth=depth,
    )


def tool_call(
    name: str, arguments: bytes, client: ClientView, *, token: bytes | None = None, classes: Sequence[str] = ()
) -> bytes:
    """A `tools/call`. `arguments`: a raw JSON object. `token`: raw, of progress; None: nobody wants to know how far it
    is. `classes`: of its data, as far as the tool may be told.
    """
    meta = inner_meta(client, token=token, classes=classes)
    return (
        b'{"jsonrpc":"2.0","id":0,"method":"tools/call","params":{"name":' + json_bytes(name)
        + b',"arguments":' + arguments + b',"_meta":' + meta + b"}}"
    )  # fmt: skip


def resource_read(uri: str, client: ClientView, *, classes: Sequence[str] = ()) -> bytes:
    """A `resources/read`."""
    meta = inner_meta(client, classes=classes)
    return (
        b'{"jsonrpc":"2.0","id":0,"method":"resources/read","params":{"uri":' + json_bytes(uri)
        + b',"_meta":' + meta + b"}}"
    )  # fmt: skip


def inner_meta(client: ClientView, *, token: bytes | None = None, classes: Sequence[str] = ()) -> bytes:
    """`_meta` of a request of its."""
    members: list[tuple[str, bytes | None]] = [
        (PROTOCOL_VERSION, json_bytes(client.version)),
        (CLIENT_INFO, client.info or b"{}"),
        (CLIENT_CAPABILITIES, b"{}"),
    ]
    if token is not None:
        members.append((PROGRESS_TOKEN, token))
    if classes:
        members.append((DATA_CLASS, json_bytes(classes[0] if len(classes) == 1 else list(classes))))
    return patch_object(b"{}", members)


class InnerExchange(Exchange):
    """One call. Whoever made it hears of the result, or of why there is none, once."""

    __slots__ = ("_answered", "_progressed", "_urgent")

    def __init__(
        self,
        message: bytes,
        envelope: Envelope,
        client: ClientView,
        principal: Principal,
        answered: Answered,
        *,
        transport: str = TRANSPORT,
        progressed: Progressed | None = None,
    ) -> None:
        super().__init__(message, envelope, client, principal, transport)
        self._answered = answered
        self._progressed = progressed
        self._urgent = False

    @property
    def urgent(self) -> bool:
        return self._urgent

    def hurry(self) -> None:
        """It is to wait for no turn."""
        self._urgent = True

    def send_notification(self, message: bytes, envelope: Envelope) -> None:
        """Of what comes before the result, progress is heard, by whoever wants to."""
        if self._progressed is not None and envelope.method == "notifications/progress":
            # The token was written anew since `envelope` was made, so its offsets may be off.
            span = find_member(message, "params")
            if span is not None:
                self._progressed(message[span[0] : span[1]])

    def send_result(self, message: bytes, envelope: Envelope, id_edit: tuple[int, int, bytes]) -> None:
        span = envelope.result_span
        assert span is not None
        if envelope.result_type not in (None, "complete"):
            why = f"tool `{self.exposed_name}` answered `{envelope.result_type}`, for which nobody is there"
            self._answered(None, UpstreamProtocol(why))
            return
        self._answered(message[span[0] : span[1]], None)

    def send_own_result(self, message: bytes) -> None:
        self.send_result(message, scan(message, 1 << 16), (0, 0, b""))

    def send_error_message(self, reply: bytes, message: bytes, envelope: Envelope) -> None:
        span = envelope.error_span
        error = json_value(message[span[0] : span[1]]) if span is not None else None
        self._answered(None, ServerSaid(error))

    def send_error(self, error: TidegateError) -> None:
        self._answered(None, error)

    def forget(self) -> None:
        """Whoever made it does not wait any more."""
        self._answered, self._progressed = unheard, None
        self.cancel()


def unheard(result: bytes | None, error: TidegateError | None) -> None:
    """As `Answered`, where nobody waits for the answer."""
