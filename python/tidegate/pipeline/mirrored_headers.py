"""Arguments that a tool wants into headers (2026-07-28, `x-mcp-header`): checked, and written for the server."""

from __future__ import annotations

from tidegate.errors import HeaderMismatch, InvalidParams
from tidegate.pipeline.exchange import Exchange
from tidegate.pipeline.json_text import json_value
from tidegate.pipeline.route.catalog import Route
from tidegate.protocol.meta_keys import HEADER_PARAM
from tidegate.protocol.param_headers import argument_text, encode_value, same_value


def mirrored_headers(exchange: Exchange, route: Route) -> tuple[tuple[str, str], ...]:
    """Marked arguments as headers for the server; the client's own are checked against the body.

    Raises: HeaderMismatch; InvalidParams, for an argument that no header can carry.
    """
    span = exchange.envelope.arguments_span
    arguments = json_value(exchange.message[span[0] : span[1]]) if span is not None else {}
    received = exchange.param_headers if exchange.client.stateless else None
    headers: list[tuple[str, str]] = []
    for header in route.headers:
        text = argument_text(header, arguments)
        name = f"Mcp-Param-{header.name}"
        if received is not None:
            value = received.get(HEADER_PARAM + header.name.lower())
            if text is None and value is not None:
                raise HeaderMismatch(f"Header mismatch: `{name}` is sent, but the argument is absent")
            if text is not None and (value is None or not same_value(header, value, text)):
                raise HeaderMismatch(f"Header mismatch: `{name}` is missing or differs from the argument in the body")
        if text is not None:
            try:
                headers.append((name, encode_value(text)))
            except UnicodeEncodeError as error:
                raise InvalidParams(f"the argument for `{name}` holds half a surrogate pair") from error
    return tuple(headers)
