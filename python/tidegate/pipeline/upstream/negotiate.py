"""Finding out what a server speaks, and agreeing on it.

A server of the stateless era answers `server/discover`; one of the session era is greeted by `initialize`.
The rules are those of 2026-07-28, transports/stdio and transports/streamable-http, "Backward
Compatibility": only a recognised modern error keeps a server modern, whatever else it says makes it legacy.
"""

from __future__ import annotations

from typing import Final

from tidegate import __version__
from tidegate.errors import (
    HEADER_MISMATCH,
    MISSING_CLIENT_CAPABILITY,
    UNSUPPORTED_PROTOCOL_VERSION,
    UpstreamProtocol,
    UpstreamTimeout,
)
from tidegate.pipeline.codec import ERROR, Envelope, find_member
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.json_text import json_value
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.dialect import SessionDialect, StatelessDialect
from tidegate.pipeline.upstream.streamable_http import HttpRefusal, StreamableHttpLink
from tidegate.protocol.meta_keys import CLIENT_CAPABILITIES, CLIENT_INFO, PROTOCOL_VERSION, SERVER_INFO
from tidegate.protocol.revisions import LATEST_LEGACY, LATEST_MODERN, LEGACY, MODERN

GATEWAY_INFO: Final[dict[str, object]] = {"name": "tidegate", "version": __version__}
_MODERN_CODES: Final = (HEADER_MISMATCH, MISSING_CLIENT_CAPABILITY, UNSUPPORTED_PROTOCOL_VERSION)
_REFUSED: Final = (401, 403, 407)
"""HTTP statuses that say nothing about the era, only that we may not."""


class HandshakeRefused(UpstreamProtocol):
    """The server answered `initialize` with an error: perhaps it keeps no sessions."""


def own_meta(version: str = LATEST_MODERN) -> dict[str, object]:
    """The `_meta` of a stateless request that the gateway makes for itself."""
    return {"_meta": {PROTOCOL_VERSION: version, CLIENT_INFO: GATEWAY_INFO, CLIENT_CAPABILITIES: {}}}


async def probe(connection: Connection, timeout_s: float, version: str = LATEST_MODERN) -> bool:
    """Whether the server speaks the stateless era; if so the connection is ready to be used.

    Raises: UpstreamError, when that cannot be told or no revision is shared.
    """
    link = connection.link
    if isinstance(link, StreamableHttpLink):
        link.probe_as(version)
    try:
        message, envelope = await connection.ask("server/discover", own_meta(version), timeout_s)
        if envelope.kind == ERROR:
            offered = _offered_version(connection, message, envelope)
            if offered is None:
                return _legacy(connection)
            # Asked again once, in a revision the server named; it may be the same one.
            message, envelope = await connection.ask("server/discover", own_meta(offered), timeout_s)
    except UpstreamTimeout:
        return _legacy(connection)
    except HttpRefusal as refusal:
        if refusal.http_status in _REFUSED:
            raise
        return _legacy(connection)
    span = envelope.result_span
    if span is None:
        return _legacy(connection)
    result = json_value(message[span[0] : span[1]])
    versions = result.get("supportedVersions") if isinstance(result, dict) else None
    if not isinstance(versions, list):
        return _legacy(connection)
    shared = [known for known in MODERN if known in versions]
    if not shared:
        raise UpstreamProtocol(
            f"backend `{connection.backend}` speaks only {_listed(versions)}; this gateway {_listed(list(MODERN))}"
        )
    connection.version = shared[0]
    _learn(connection, result)
    info = find_member(message, "_meta", *span)
    if info is not None:
        at = find_member(message, SERVER_INFO, *info)
        connection.server_info = message[at[0] : at[1]] if at else None
    connection.speak(StatelessDialect(connection.version, connection.own_answers, connection.offers_extensions))
    link.stateless(connection.version)
    return True


def _legacy(connection: Connection) -> bool:
    if isinstance(connection.link, StreamableHttpLink):
        connection.link.probe_over()
    return False


def _offered_version(connection: Connection, message: bytes, envelope: Envelope) -> str | None:
    """The revision to ask in instead; None when the error is none of the stateless era.

    Raises: UpstreamProtocol, when it is and no revision is shared.
    """
    span = envelope.error_span
    assert span is not None
    error = json_value(message[span[0] : span[1]])
    if not isinstance(error, dict) or error.get("code") not in _MODERN_CODES:
        return None
    data = error.get("data")
    supported = data.get("supported") if isinstance(data, dict) else None
    versions = supported if isinstance(supported, list) else []
    shared = [version for version in MODERN if version in versions]
    if shared:
        return shared[0]
    if any(version in LEGACY for version in versions):
        return None
    raise UpstreamProtocol(
        f"backend `{connection.backend}` speaks {_listed(versions) if versions else 'a revision unknown here'}; "
        f"this gateway {_listed([*MODERN, *LEGACY])}"
    )


async def handshake(connection: Connection, client: ClientView | None, timeout_s: float) -> None:
    """Opens a session, on behalf of `client` or (None) of the gateway.

    Raises: HandshakeRefused, when the server answers with an error; UpstreamError otherwise.
    """
    if client is not None:
        capabilities = json_value(client.capabilities)
        info = json_value(client.info) if client.info is not None else GATEWAY_INFO
        version = client.version or LATEST_LEGACY
    else:
        capabilities, info, version = {}, GATEWAY_INFO, LATEST_LEGACY
    capabilities = connection.own_answers.greeting(capabilities, client)
    params = {"protocolVersion": version, "capabilities": capabilities, "clientInfo": info}
    try:
        message, envelope = await connection.ask("initialize", params, timeout_s)
    except HttpRefusal as refusal:
        if refusal.http_status in _REFUSED:
            raise
        error = HandshakeRefused(str(refusal))
        error.data = refusal.http_status
        raise error from refusal
    if envelope.kind == ERROR or envelope.result_span is None:
        at = envelope.error_span
        said = message[at[0] : at[1]].decode("utf-8", "replace")[:300] if at else "nothing"
        raise HandshakeRefused(f"backend `{connection.backend}` refused `initialize`: {said}")
    span = envelope.result_span
    result = json_value(message[span[0] : span[1]])
    agreed = result.get("protocolVersion")
    if agreed not in LEGACY:
        raise UpstreamProtocol(f"backend `{connection.backend}` answered `initialize` with revision `{agreed}`")
    connection.version = agreed
    _learn(connection, result)
    at = find_member(message, "serverInfo", *span)
    connection.server_info = message[at[0] : at[1]] if at else None
    connection.speak(SessionDialect())
    connection.notify("notifications/initialized")
    connection.link.stateful(agreed)


def _learn(connection: Connection, result: dict[str, object]) -> None:
    capabilities = result.get("capabilities")
    connection.capabilities = capabilities if isinstance(capabilities, dict) else {}
    instructions = result.get("instructions")
    connection.instructions = instructions if isinstance(instructions, str) else None


def _listed(versions: list[object] | list[str]) -> str:
    return ", ".join(f"`{version}`" for version in versions[:10])
