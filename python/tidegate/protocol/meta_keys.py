"""Reserved `_meta` keys and HTTP header names (2026-07-28: basic "_meta", transports/streamable-http)."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "io.modelcontextprotocol/"
PROTOCOL_VERSION: Final = PREFIX + "protocolVersion"
CLIENT_INFO: Final = PREFIX + "clientInfo"
CLIENT_CAPABILITIES: Final = PREFIX + "clientCapabilities"
LOG_LEVEL: Final = PREFIX + "logLevel"
SERVER_INFO: Final = PREFIX + "serverInfo"
SUBSCRIPTION_ID: Final = PREFIX + "subscriptionId"
RELATED_TASK: Final = PREFIX + "related-task"
"""2025-11-25, basic/utilities/tasks: which task a message belongs to."""
PROGRESS_TOKEN: Final = "progressToken"  # noqa: S105  a key, no secret

REQUEST_ENVELOPE: Final = (PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES, LOG_LEVEL)
"""What a stateless request carries and a session's request must not."""

TASKS_EXTENSION: Final = PREFIX + "tasks"
"""No key of `_meta` but of `extensions`, in what clients and servers declare (SEP-2663)."""

TOKEN: Final = "dev.tidegate/token"  # noqa: S105  a key, no secret
"""A bearer token on transports without headers; read from a connection's first message, never forwarded."""

SERVED_BY: Final = "io.tidegate/served-by"
"""In a result: which tool, here or in the cloud, an answer is of, and why."""
DATA_CLASS: Final = "io.tidegate/data-class"
"""In a call: of which kind its data are, for rules on what leaves the box."""

HEADER_VERSION: Final = "mcp-protocol-version"
HEADER_METHOD: Final = "mcp-method"
HEADER_NAME: Final = "mcp-name"
HEADER_PARAM: Final = "mcp-param-"
HEADER_SESSION: Final = "mcp-session-id"
HEADER_LAST_EVENT: Final = "last-event-id"

ENDPOINT: Final = "/mcp"
"""Path of the Streamable HTTP endpoint: one for both eras."""
OPENAI_PATH: Final = "/v1/"
"""Below it is what clients of OpenAI's HTTP interface ask for."""
