"""The calls of tools that requests come to: in the caller's name, admitted, filtered, limited and counted as any."""

from __future__ import annotations

from typing import Final

from tidegate.config.model_workers import CAPABILITIES_BACKEND
from tidegate.errors import TidegateError
from tidegate.pipeline.codec import array_spans, find_member, scan
from tidegate.pipeline.era.front import Front
from tidegate.pipeline.era.inner import InnerExchange, Progressed, inner_client, inner_meta, tool_call
from tidegate.pipeline.era.openai.parameters import BadParameter
from tidegate.pipeline.era.openai.tool_result import NotServed, text_of, without_served_by
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.json_text import json_bytes, json_value
from tidegate.pipeline.peer import HttpPost
from tidegate.pipeline.principal import Principal
from tidegate.sandbox.guest import Answered

TRANSPORT: Final = "openai"
"""As of `Exchange`, for people."""
HEADER_DATA_CLASS: Final = "x-tidegate-data-class"
"""A program's word on what its data are, as `DATA_CLASS` in a call's `_meta`: one, or several with commas between."""
_CLIENT: Final = "openai-client"
"""What servers are told of who calls."""
_DEPTH: Final = 1 << 16
"""Of what is written here: the request itself was held to the limit."""


def call_tool(
    front: Front,
    request: HttpPost,
    principal: Principal,
    tool: str,
    arguments: bytes,
    answered: Answered,
    progressed: Progressed | None = None,
) -> None:
    """`answered` may be called before this returns; never when the client goes away, which stops the call.

    Raises: BadParameter.
    """
    client = inner_client(principal, _CLIENT, 0)
    token = b"0" if progressed is not None else None
    message = tool_call(tool, arguments, client, token=token, classes=_data_classes(request))
    _send(front, request, client, message, answered, progressed)


def list_tools(front: Front, request: HttpPost, principal: Principal, answered: Answered, cursor: str | None) -> None:
    """A page of what the caller may use; see `names_of`."""
    client = inner_client(principal, _CLIENT, 0)
    meta = inner_meta(client)
    at = b'"cursor":' + json_bytes(cursor) + b"," if cursor is not None else b""
    message = b'{"jsonrpc":"2.0","id":0,"method":"tools/list","params":{' + at + b'"_meta":' + meta + b"}}"
    _send(front, request, client, message, answered, None)


def names_of(result: bytes) -> tuple[list[str], str | None]:
    """The tools' names in a page, and the cursor of the next one."""
    names: list[str] = []
    tools = find_member(result, "tools")
    for start, end in array_spans(result, *tools) if tools is not None else ():
        at = find_member(result, "name", start, end)
        if at is not None:
            names.append(json_value(result[at[0] : at[1]]))
    cursor = find_member(result, "nextCursor")
    return names, json_value(result[cursor[0] : cursor[1]]) if cursor is not None else None


def takes(result: bytes, tool: str) -> set[str] | None:
    """The arguments that a tool has in a page of `list_tools`; None where it is not in it, or does not say."""
    for entry in json_value(result).get("tools", ()):
        if isinstance(entry, dict) and entry.get("name") == tool:
            schema = entry.get("inputSchema")
            arguments = schema.get("properties") if isinstance(schema, dict) else None
            return set(arguments) if isinstance(arguments, dict) else None
    return None


def _data_classes(request: HttpPost) -> list[str]:
    """Raises: BadParameter. What cannot be read might be what must stay."""
    said = request.headers.get(HEADER_DATA_CLASS, "")
    try:
        words = said.encode("latin-1").decode()
    except ValueError as error:
        raise BadParameter(f"the header `{HEADER_DATA_CLASS}` must be UTF-8", HEADER_DATA_CLASS) from error
    return [word for part in words.split(",") if (word := part.strip())]


def _send(
    front: Front,
    request: HttpPost,
    client: ClientView,
    message: bytes,
    answered: Answered,
    progressed: Progressed | None,
) -> None:
    principal = client.caller
    assert principal is not None

    def told(result: bytes | None, error: TidegateError | None) -> None:
        if result is not None and exchange.refused_by:
            answered(None, NotServed(text_of(json_value(result))))
        elif result is not None and exchange.backend != CAPABILITIES_BACKEND:
            answered(without_served_by(result), error)
        else:
            answered(result, error)

    exchange = InnerExchange(
        message,
        scan(message, _DEPTH),
        client,
        principal,
        told,
        transport=TRANSPORT,
        progressed=progressed,
    )
    request.on_disconnect = exchange.forget
    front.dispatch(exchange)
