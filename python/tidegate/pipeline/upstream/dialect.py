"""How a request must look for a server of either era, written into the client's own bytes.

The message is never parsed into values and printed again: the id, the name, the progress token and, where
the two sides differ, the protocol's own `_meta` entries are spliced, all else stays as the client wrote it.
"""

from __future__ import annotations

import json
from typing import Final, Protocol

from tidegate.pipeline.codec import Envelope, find_member, patch_object, splice
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.own_answers.seam import NO_ANSWERS, Answers
from tidegate.protocol.meta_keys import (
    CLIENT_CAPABILITIES,
    CLIENT_INFO,
    LOG_LEVEL,
    PROGRESS_TOKEN,
    PROTOCOL_VERSION,
    REQUEST_ENVELOPE,
    TOKEN,
)
from tidegate.protocol.revisions import LATEST_MODERN

_STRIP: Final[list[Change]] = [(key, None) for key in (*REQUEST_ENVELOPE, TOKEN)]

Edit = tuple[int, int, bytes]
Change = tuple[str, bytes | None]
"""A member to be set to raw JSON, or to be taken out."""


class Dialect(Protocol):
    """An era, as the upstream side writes it."""

    keeps_session: bool

    def meta_changes(self, client: ClientView) -> list[Change]:
        """What is changed in the `_meta` of a request that has neither progress token nor bearer token. Where it has no
        `_meta` and something is to be set, one is written behind all other `params`.
        """

    def shape(
        self, message: bytes, envelope: Envelope, client: ClientView, upstream_id: bytes, edits: list[Edit]
    ) -> bytes:
        """`message` with `upstream_id`, `edits` (sorted, outside `_meta` and id) and the era's `_meta`."""


def _token_edit(envelope: Envelope, upstream_id: bytes) -> Edit | None:
    span = envelope.progress_token_span
    return (span[0], span[1], upstream_id) if span is not None else None


def _apply(message: bytes, envelope: Envelope, upstream_id: bytes, edits: list[Edit], meta: Edit | None) -> bytes:
    id_span = envelope.id_span
    assert id_span is not None
    every = [(id_span[0], id_span[1], upstream_id), *edits]
    if meta is not None:
        every.append(meta)
    every.sort()
    return splice(message, every)


class SessionDialect:
    """For a server that was told who its client is by a handshake."""

    keeps_session = True

    def meta_changes(self, client: ClientView) -> list[Change]:
        return list(_STRIP) if client.stateless else []

    def shape(
        self, message: bytes, envelope: Envelope, client: ClientView, upstream_id: bytes, edits: list[Edit]
    ) -> bytes:
        meta = _token_edit(envelope, upstream_id)
        span = envelope.meta_span
        if span is not None and (client.stateless or _has_token(message, span)):
            changes = list(_STRIP)
            if meta is not None:
                changes.append((PROGRESS_TOKEN, upstream_id))
            meta = (span[0], span[1], patch_object(message[span[0] : span[1]], changes))
        return _apply(message, envelope, upstream_id, edits, meta)


class StatelessDialect:
    """For a server that is told who its client is with every request."""

    keeps_session = False

    def __init__(self, version: str = LATEST_MODERN, own_answers: Answers = NO_ANSWERS, extended: bool = False) -> None:
        """`extended`: the server has extensions."""
        self.version = version
        self._own_answers = own_answers
        self._extended = extended

    def meta_changes(self, client: ClientView) -> list[Change]:
        if not client.stateless:
            return self._envelope(client)
        added = self._added(client)
        return [] if added is None else [(CLIENT_CAPABILITIES, added)]

    def shape(
        self, message: bytes, envelope: Envelope, client: ClientView, upstream_id: bytes, edits: list[Edit]
    ) -> bytes:
        meta = _token_edit(envelope, upstream_id)
        span = envelope.meta_span
        if client.stateless:
            added = self._added(client)
            has_token = span is not None and _has_token(message, span)
            if span is not None and (has_token or added is not None):
                changes: list[Change] = [(TOKEN, None)] if has_token else []
                if added is not None:
                    changes.append((CLIENT_CAPABILITIES, added))
                if meta is not None:
                    changes.append((PROGRESS_TOKEN, upstream_id))
                meta = (span[0], span[1], patch_object(message[span[0] : span[1]], changes))
            return _apply(message, envelope, upstream_id, edits, meta)
        changes = self._envelope(client)
        if span is not None:
            if meta is not None:
                changes.append((PROGRESS_TOKEN, upstream_id))
            if _has_token(message, span):
                changes.append((TOKEN, None))
            meta = (span[0], span[1], patch_object(message[span[0] : span[1]], changes))
            return _apply(message, envelope, upstream_id, edits, meta)
        shaped = _apply(message, envelope, upstream_id, edits, None)
        entries = patch_object(b"{}", changes)
        if envelope.params_span is None:
            return patch_object(shaped, [("params", b'{"_meta":' + entries + b"}")])
        # The edits shifted everything behind them, so the members are looked up anew.
        return _patch_member(shaped, "params", [("_meta", entries)])

    def _added(self, client: ClientView) -> bytes | None:
        """The client's capabilities with what the gateway answers in its place; None where that is nothing."""
        return self._own_answers.declared(client, self._extended) if self._own_answers.on else None

    def _envelope(self, client: ClientView) -> list[Change]:
        changes: list[Change] = [
            (PROTOCOL_VERSION, json.dumps(self.version).encode()),
            (CLIENT_CAPABILITIES, self._added(client) or client.abilities),
        ]
        if client.info is not None:
            changes.append((CLIENT_INFO, client.info))
        if client.log_level is not None:
            changes.append((LOG_LEVEL, json.dumps(client.log_level).encode()))
        return changes


def _has_token(message: bytes, meta: tuple[int, int]) -> bool:
    """However its key is spelled."""
    return find_member(message, TOKEN, *meta) is not None


def _patch_member(message: bytes, key: str, changes: list[Change]) -> bytes:
    span = find_member(message, key)
    assert span is not None
    return splice(message, [(span[0], span[1], patch_object(message[span[0] : span[1]], changes))])
