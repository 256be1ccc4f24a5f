"""Clients of the stateless era (2026-07-28): every request says all about itself.

Checks the per-request `_meta`, makes exchanges of requests, and keeps the `subscriptions/listen` streams.
"""

from __future__ import annotations

from typing import Final

from tidegate.errors import (
    INTERNAL_ERROR,
    InvalidParams,
    MethodNotFound,
    MissingClientCapability,
    TidegateError,
    UnsupportedProtocolVersion,
)
from tidegate.pipeline.codec import Envelope, find_member, patch_object, splice
from tidegate.pipeline.era.bridge.abilities import asked_abilities, undeclared
from tidegate.pipeline.era.bridge.entries import capabilities_for
from tidegate.pipeline.era.bridge.results import ResultEdits, members_for_modern
from tidegate.pipeline.era.front import OpeningFacts
from tidegate.pipeline.era.log_level import LEVELS, rank, reaches
from tidegate.pipeline.era.wire import error_message
from tidegate.pipeline.exchange import ClientView, Exchange
from tidegate.pipeline.json_text import json_bytes, json_value
from tidegate.pipeline.peer import Outlet
from tidegate.pipeline.principal import Principal
from tidegate.pipeline.relay.origin import Origin, ReplyForm
from tidegate.protocol.meta_keys import CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL, PROTOCOL_VERSION, SUBSCRIPTION_ID
from tidegate.protocol.methods import METHODS
from tidegate.protocol.revisions import LATEST_MODERN, MODERN

_VIEW_CACHE_ENTRIES: Final = 512
_VIEW_CACHE_KEY_BYTES: Final = 4096
"""Longest `_meta` that is remembered: clients write it, so the memory is bounded in bytes too."""
_REMOVED: Final = ("notifications/elicitation/complete", "notifications/tasks/status")
"""Notifications of the session era that went with it."""
_INPUT_REQUIRED: Final = b'"input_required"'


def carries_envelope(message: bytes, envelope: Envelope) -> bool:
    """Whether the request opens in the stateless way: its `_meta` names a protocol version."""
    span = envelope.meta_span
    return span is not None and find_member(message, PROTOCOL_VERSION, *span) is not None


class ClientViews:
    """Reads `_meta` into a `ClientView`. Clients repeat themselves, so the last ones read are remembered."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], ClientView] = {}

    def read(self, message: bytes, envelope: Envelope, principal: Principal) -> ClientView:
        """Raises: InvalidParams, UnsupportedProtocolVersion."""
        span = envelope.meta_span
        if span is None:
            raise InvalidParams(f"`params._meta` must have `{PROTOCOL_VERSION}` and `{CLIENT_CAPABILITIES}`")
        token = envelope.progress_token_span
        words = message[span[0] : span[1]]
        if token is not None:
            # The token differs from request to request; all else repeats.
            words = message[span[0] : token[0]] + message[token[1] : span[1]]
        key = (principal.key, words)
        view = self._known.get(key)
        if view is None or view.caller is not principal:
            view = _read_view(message[span[0] : span[1]], principal)
            if len(words) <= _VIEW_CACHE_KEY_BYTES:
                if len(self._known) >= _VIEW_CACHE_ENTRIES:
                    self._known.clear()
                self._known[key] = view
        return view


def _read_view(raw: bytes, principal: Principal) -> ClientView:
    meta = json_value(raw)
    version = meta.get(PROTOCOL_VERSION)
    if not isinstance(version, str):
        raise InvalidParams(f"`params._meta` must have `{PROTOCOL_VERSION}`, a string")
    if version not in MODERN:
        raise UnsupportedProtocolVersion(version, MODERN)
    capabilities = meta.get(CLIENT_CAPABILITIES)
    if not isinstance(capabilities, dict):
        raise InvalidParams(f"`params._meta` must have `{CLIENT_CAPABILITIES}`, an object")
    info = meta.get(CLIENT_INFO)
    if info is not None and not isinstance(info, dict):
        raise InvalidParams(f"`{CLIENT_INFO}` must be an object")
    level = meta.get(LOG_LEVEL)
    if level is not None and level not in LEVELS:
        raise InvalidParams(f"`{LOG_LEVEL}` must be one of {', '.join(LEVELS)}")
    abilities = json_bytes(asked_abilities(capabilities))
    return ClientView(
        stateless=True,
        capabilities=json_bytes(capabilities),
        abilities=abilities,
        features=frozenset(capabilities),
        info=json_bytes(info) if info is not None else None,
        log_level=level,
        version=version,
        own_key=f"{principal.key} {abilities.decode()}",
        principal=principal.name,
        caller=principal,
    )


class StatelessExchange(Exchange):
    """A request whose answer carries `resultType`, and whose client asks no server anything."""

    __slots__ = ("outlet",)

    def __init__(
        self,
        message: bytes,
        envelope: Envelope,
        client: ClientView,
        principal: Principal,
        transport: str,
        outlet: Outlet,
    ) -> None:
        super().__init__(message, envelope, client, principal, transport)
        self.outlet = outlet

    @property
    def origin(self) -> Origin | None:
        return self.outlet.origin

    @property
    def reply_form(self) -> ReplyForm | None:
        return self.outlet.reply_form

    @property
    def result_edits(self) -> ResultEdits:
        return ResultEdits(members_for_modern(self.envelope.method or ""), None)

    def send_notification(self, message: bytes, envelope: Envelope) -> None:
        if envelope.method == "notifications/message":
            level = rank(self.client.log_level)
            if level is None or not reaches(message, level):
                return
        elif envelope.method in _REMOVED:
            return
        self.outlet.notify(message)

    def send_result(self, message: bytes, envelope: Envelope, id_edit: tuple[int, int, bytes]) -> None:
        kind = envelope.result_type_span
        span = envelope.result_span
        assert span is not None
        if kind is not None:
            if message[kind[0] : kind[1]] == _INPUT_REQUIRED:
                missing = undeclared(self.client.abilities, message[span[0] : span[1]])
                if missing:
                    words = f"backend `{self.backend}` needs to ask this client what it did not declare"
                    self.send_error(MissingClientCapability(words, data={"requiredCapabilities": missing}))
                    return
            self.outlet.reply(splice(message, [id_edit]), None)
            return
        # From a server of the session era.
        result = patch_object(message[span[0] : span[1]], members_for_modern(self.envelope.method or ""))
        edits = sorted([id_edit, (span[0], span[1], result)])
        self.outlet.reply(splice(message, edits), None)

    def send_own_result(self, message: bytes) -> None:
        self.outlet.reply(message, None)

    def send_error_message(self, reply: bytes, message: bytes, envelope: Envelope) -> None:
        span = envelope.error_span
        code = json_value(message[span[0] : span[1]]).get("code") if span is not None else None
        self.outlet.reply(reply, code if isinstance(code, int) else INTERNAL_ERROR)

    def send_error(self, error: TidegateError) -> None:
        message, code = error_message(self.envelope.id, error, stateless=True)
        self.outlet.reply(message, code)


def check_method(method: str) -> None:
    """Raises: MethodNotFound, for what this era removed."""
    row = METHODS.get(method)
    if row is not None and not row.stateless:
        raise MethodNotFound(f"Method not found: `{method}`")


def discover_result(facts: OpeningFacts) -> bytes:
    """The raw result of `server/discover`, complete."""
    result: dict[str, object] = {
        "resultType": "complete",
        "supportedVersions": list(MODERN),
        "capabilities": capabilities_for(facts.capabilities(), LATEST_MODERN),
        "ttlMs": 0,
        "cacheScope": "private",
    }
    instructions = facts.instructions()
    if instructions is not None:
        result["instructions"] = instructions
    encoded = json_bytes(result)
    return patch_object(encoded, [("_meta", server_info_meta(facts))])


def server_info_meta(facts: OpeningFacts) -> bytes:
    return b'{"io.modelcontextprotocol/serverInfo":' + facts.server_info() + b"}"


class Listener:
    """One open `subscriptions/listen`: what was asked for, and the stream it goes to."""

    _FLAGS: Final = {"tools": "toolsListChanged", "prompts": "promptsListChanged", "resources": "resourcesListChanged"}

    def __init__(self, exchange: StatelessExchange, facts: OpeningFacts) -> None:
        """Raises: InvalidParams."""
        self.exchange = exchange
        envelope = exchange.envelope
        span = envelope.params_span
        params = json_value(exchange.message[span[0] : span[1]]) if span else {}
        wanted = params.get("notifications")
        if not isinstance(wanted, dict):
            raise InvalidParams("`subscriptions/listen` needs `params.notifications`, an object")
        capabilities = facts.capabilities()
        may_follow = exchange.principal.may_use
        self.kinds: set[str] = set()
        self.uris: frozenset[str] = frozenset()
        honoured: dict[str, object] = {}
        for kind, flag in self._FLAGS.items():
            declared = capabilities.get(kind)
            if wanted.get(flag) is True and isinstance(declared, dict) and declared.get("listChanged"):
                self.kinds.add(kind)
                honoured[flag] = True
        resources = capabilities.get("resources")
        uris = wanted.get("resourceSubscriptions")
        if isinstance(uris, list) and isinstance(resources, dict) and resources.get("subscribe"):
            named = list(
                dict.fromkeys(uri for uri in uris[:_MAX_URIS] if isinstance(uri, str) and may_follow("resources", uri))
            )
            self.uris = frozenset(named)
            honoured["resourceSubscriptions"] = named
        self._tag = b'{"' + SUBSCRIPTION_ID.encode() + b'":' + (envelope.id or b"null") + b"}"
        self._honoured = json_bytes({"notifications": honoured})
        self._early: dict[str, tuple[str, bytes]] | None = {}
        """What happened before the stream may say so, the last of each kind; None once it may."""

    @property
    def ended(self) -> bool:
        return self.exchange.done

    def acknowledge(self) -> None:
        """The first word of the stream. Says it once."""
        early, self._early = self._early, None
        if early is None:
            return
        params = patch_object(self._honoured, [("_meta", self._tag)])
        self._notify("notifications/subscriptions/acknowledged", params)
        for method, params in early.values():
            self._notify(method, params)

    def list_changed(self, kind: str) -> None:
        if kind in self.kinds:
            self._tell(kind, f"notifications/{kind}/list_changed", b'{"_meta":' + self._tag + b"}")

    def resource_updated(self, uri: str, params: bytes) -> None:
        if uri in self.uris:
            self._tell(uri, "notifications/resources/updated", patch_object(params, [("_meta", self._tag)]))

    def _tell(self, what: str, method: str, params: bytes) -> None:
        if self._early is not None:
            self._early[what] = (method, params)
        else:
            self._notify(method, params)

    def close(self) -> None:
        """Ends the stream gracefully, with a result."""
        self.exchange.answer_result(b'{"resultType":"complete","_meta":' + self._tag + b"}")

    def _notify(self, method: str, params: bytes) -> None:
        if not self.exchange.done:
            self.exchange.outlet.notify(
                b'{"jsonrpc":"2.0","method":"' + method.encode() + b'","params":' + params + b"}"
            )


_MAX_URIS: Final = 1000
