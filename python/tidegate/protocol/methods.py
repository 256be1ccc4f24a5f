"""The methods of MCP, and what the gateway does with each.

One row a method. Whatever has no row is an extension: it goes to the backend when there is only one, and
is unknown otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Handling(Enum):
    """Who answers."""

    FORWARD = "forward"
    """The backend that owns the named thing."""
    LIST = "list"
    """The catalogue."""
    DISCOVER = "discover"
    """The catalogue, with what the backends declared."""
    LISTEN = "listen"
    """The gateway: a stream of changes, fed from all backends."""
    SESSION = "session"
    """The gateway, within a session: ping, logging/setLevel, resources/subscribe, …"""
    TASK = "task"
    """The backend that made the task."""


@dataclass(frozen=True, slots=True)
class Method:
    name: str
    handling: Handling
    kind: str = ""
    """The catalogue's kind: tools, resources, templates, prompts."""
    named_by: str = ""
    """The member of `params` that names the thing; also the source of the `Mcp-Name` header."""
    stateless: bool = True
    """Exists in the stateless era."""
    session: bool = True
    """Exists within a session."""
    askable: bool = False
    """The server may ask its client something before it answers (2026-07-28, patterns/mrtr, "Supported Requests")."""


_ROWS = (
    Method("tools/call", Handling.FORWARD, "tools", "name", askable=True),
    Method("prompts/get", Handling.FORWARD, "prompts", "name", askable=True),
    Method("resources/read", Handling.FORWARD, "resources", "uri", askable=True),
    Method("completion/complete", Handling.FORWARD),
    Method("tools/list", Handling.LIST, "tools"),
    Method("prompts/list", Handling.LIST, "prompts"),
    Method("resources/list", Handling.LIST, "resources"),
    Method("resources/templates/list", Handling.LIST, "templates"),
    Method("server/discover", Handling.DISCOVER, session=False),
    Method("subscriptions/listen", Handling.LISTEN, session=False),
    Method("initialize", Handling.SESSION, stateless=False),
    Method("ping", Handling.SESSION, stateless=False),
    Method("logging/setLevel", Handling.SESSION, stateless=False),
    Method("resources/subscribe", Handling.SESSION, "resources", "uri", stateless=False),
    Method("resources/unsubscribe", Handling.SESSION, "resources", "uri", stateless=False),
    Method("tasks/get", Handling.TASK),
    Method("tasks/cancel", Handling.TASK),
    Method("tasks/update", Handling.TASK, session=False),
    Method("tasks/result", Handling.TASK, stateless=False),
    Method("tasks/list", Handling.TASK, stateless=False),
)

METHODS: Final[dict[str, Method]] = {row.name: row for row in _ROWS}

ASKABLE: Final = frozenset(row.name for row in _ROWS if row.askable)

LIST_RESULT_KEY: Final = {
    "tools": "tools",
    "prompts": "prompts",
    "resources": "resources",
    "templates": "resourceTemplates",
}
"""Catalogue kind → the member of the list result that holds its entries."""

LIST_METHOD: Final = {row.kind: row.name for row in _ROWS if row.handling is Handling.LIST}

LIST_CHANGED: Final = {
    "notifications/tools/list_changed": "tools",
    "notifications/prompts/list_changed": "prompts",
    "notifications/resources/list_changed": "resources",
}

CLIENT_FEATURE: Final = {
    "sampling/createMessage": "sampling",
    "elicitation/create": "elicitation",
    "roots/list": "roots",
    "tasks/get": "tasks",
    "tasks/result": "tasks",
    "tasks/list": "tasks",
    "tasks/cancel": "tasks",
}
"""Request a server may make of a client → the client capability it needs."""
