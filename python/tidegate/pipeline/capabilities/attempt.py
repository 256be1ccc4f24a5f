"""One tool that is asked in the place of a capability: an inner call, in the caller's name.

Whoever may use the capability may have it served by its tools, even those that this caller may not see. Filters, limits
and events of the tool are as for any call of it.
"""

from __future__ import annotations

from collections.abc import Callable

from tidegate.pipeline.codec import Envelope, patch_object, scan
from tidegate.pipeline.era.inner import InnerExchange, inner_client, inner_meta
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.json_text import json_bytes
from tidegate.pipeline.principal import Principal
from tidegate.protocol.meta_keys import DATA_CLASS, PROGRESS_TOKEN
from tidegate.sandbox.guest import Answered

TRANSPORT = "capability"

Progressed = Callable[[bytes, Envelope], None]
"""Told of each `notifications/progress`, a whole message under the token that was asked for."""


class AttemptExchange(InnerExchange):
    """The call of one tool."""

    __slots__ = ("_capability", "_noticed", "_tool")

    def __init__(
        self,
        tool: str,
        arguments: bytes,
        client: ClientView,
        principal: Principal,
        done: Answered,
        noticed: Progressed,
        *,
        capability: str,
        token: bytes | None,
        data_class: bytes | None,
        depth: int,
    ) -> None:
        """`arguments`: a raw JSON object. `token`: raw, of progress; None: nobody wants to know. `data_class`: as the
        call says it, raw, for a tool that may be told; None: there is none, or it may not. `depth`: of nesting, at
        most. Raises: TidegateError.
        """
        told: list[tuple[str, bytes | None]] = []
        if token is not None:
            told.append((PROGRESS_TOKEN, token))
        if data_class is not None:
            told.append((DATA_CLASS, data_class))
        message = (
            b'{"jsonrpc":"2.0","id":0,"method":"tools/call","params":{"name":' + json_bytes(tool)
            + b',"arguments":' + arguments + b',"_meta":' + patch_object(inner_meta(client), told) + b"}}"
        )  # fmt: skip
        super().__init__(message, scan(message, depth), client, principal, done, transport=TRANSPORT)
        self._noticed = noticed
        self._tool = tool
        self._capability = capability

    def may_use(self, kind: str, name: str) -> bool:
        principal = self.principal
        if kind == "tools" and name == self._tool and principal.may_use("tools", self._capability):
            return True
        return principal.may_use(kind, name)

    def send_notification(self, message: bytes, envelope: Envelope) -> None:
        if envelope.method == "notifications/progress":
            self._noticed(message, envelope)


def client_of_attempts(principal: Principal, capability: str, depth: int, *, stays: bool) -> ClientView:
    """As whom tools are called. `depth`: how many calls stand between the client and these."""
    client = inner_client(principal, f"capability {capability}", depth)
    client.stays = stays
    return client
