"""One tool that is asked in the place of a capability: an inner call, in the caller's name.

Whoever may use the capability may have it served by its tools, even those that this caller may not see. Filters, limits
and events of the tool are as for any call of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tidegate.pipeline.codec import Envelope, scan
from tidegate.pipeline.era.inner import InnerExchange, inner_client, tool_call
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.principal import Principal
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
        classes: Sequence[str],
        depth: int,
    ) -> None:
        """`arguments`, `token`, `classes`: as of `tool_call`. `depth`: of nesting, at most. Raises: TidegateError."""
        message = tool_call(tool, arguments, client, token=token, classes=classes)
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
    client.stays, client.weighed = stays, True
    return client
