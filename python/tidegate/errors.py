"""Every error tidegate raises or answers, as one tree.

Each class carries what the edges need and nothing else decides on: a stable `slug`, the `source` that is
to blame, what a retry could achieve, the JSON-RPC `code` and the HTTP `status`. `pipeline/era/wire.py` is
the one place that turns an error into bytes for a client; `cli/` the one that turns it into an exit code.
Messages are for people: literals in backticks, no blame, a way out where there is one.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar, Final

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
RESOURCE_NOT_FOUND: Final = -32002
"""Revisions to 2025-11-25 only; 2026-07-28 answers `INVALID_PARAMS` (basic, "Error Codes")."""
HEADER_MISMATCH: Final = -32020
MISSING_CLIENT_CAPABILITY: Final = -32021
UNSUPPORTED_PROTOCOL_VERSION: Final = -32022


class Source(Enum):
    """Who caused it."""

    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"
    INTERNAL = "internal"


class Retry(Enum):
    """What sending the same request again could achieve."""

    NEVER = "never"
    OTHER_REPLICA = "other_replica"
    SAME_REPLICA = "same_replica"


class TidegateError(Exception):
    """Root of the tree. `str(error)` is the message a person or client may read."""

    slug: ClassVar[str] = "internal"
    source: ClassVar[Source] = Source.INTERNAL
    retry: ClassVar[Retry] = Retry.NEVER
    code: ClassVar[int] = INTERNAL_ERROR
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, data: object = None) -> None:
        super().__init__(message)
        self.data = data
        """JSON value for `error.data`, or None for none."""


class DownstreamError(TidegateError):
    """The client sent something that cannot be served."""

    slug = "bad_request"
    source = Source.DOWNSTREAM
    code = INVALID_REQUEST
    status = 400


class ParseError(DownstreamError):
    slug = "not_json"
    code = PARSE_ERROR


class InvalidUtf8(ParseError):
    slug = "invalid_utf8"


class InvalidRequest(DownstreamError):
    slug = "not_jsonrpc"


class DuplicateKey(InvalidRequest):
    slug = "duplicate_key"


class DepthExceeded(InvalidRequest):
    slug = "too_deep"


class TooLarge(InvalidRequest):
    slug = "too_large"
    status = 413


class BadHttp(DownstreamError):
    """Not HTTP/1.1 as RFC 9112 has it, or ambiguous (a smuggling vector)."""

    slug = "bad_http"


class BadEncoding(DownstreamError):
    """A content coding that does not decode."""

    slug = "bad_encoding"


class MethodNotFound(DownstreamError):
    slug = "unknown_method"
    code = METHOD_NOT_FOUND
    status = 404


class InvalidParams(DownstreamError):
    slug = "invalid_params"
    code = INVALID_PARAMS


class UnknownTool(InvalidParams):
    """Not in the catalogue, or not for this principal: the two must look alike."""

    slug = "unknown_tool"
    status = 200


class UnknownPrompt(UnknownTool):
    slug = "unknown_prompt"


class UnknownResource(UnknownTool):
    """`code` is what 2026-07-28 prescribes; `era/wire.py` writes -32002 for a legacy client."""

    slug = "unknown_resource"


class HeaderMismatch(DownstreamError):
    slug = "header_mismatch"
    code = HEADER_MISMATCH


class MissingClientCapability(DownstreamError):
    """The request needs an ability of the client that it did not declare; `data` names it."""

    slug = "missing_capability"
    code = MISSING_CLIENT_CAPABILITY


class UnsupportedProtocolVersion(DownstreamError):
    slug = "unsupported_version"
    code = UNSUPPORTED_PROTOCOL_VERSION

    def __init__(self, requested: str, supported: tuple[str, ...]) -> None:
        super().__init__("Unsupported protocol version", data={"supported": list(supported), "requested": requested})
        self.requested = requested


class SessionNotFound(DownstreamError):
    slug = "no_session"
    status = 404


class Unauthorized(DownstreamError):
    slug = "unauthorized"
    status = 401


class Forbidden(DownstreamError):
    slug = "forbidden"
    status = 403


class RateLimited(DownstreamError):
    slug = "rate_limited"
    status = 429
    code = -31029
    retry = Retry.SAME_REPLICA


class Overloaded(TidegateError):
    """A bound of the gateway itself is reached (connections, sessions, in-flight requests)."""

    slug = "overloaded"
    status = 503
    code = -31003
    retry = Retry.SAME_REPLICA


class NoMemory(Overloaded):
    """There is none left for a message of this size; smaller ones are served."""

    slug = "no_memory"


class Cancelled(TidegateError):
    """The client gave up; nothing is answered."""

    slug = "cancelled"
    source = Source.DOWNSTREAM
    status = 499


class ShuttingDown(Overloaded):
    slug = "shutting_down"


class FilterFailed(TidegateError):
    """A filter could not do its work, so what it should have seen goes no further. `data` names it and the cause."""

    slug = "filter_failed"


class AmbiguousCall(InvalidParams):
    """A call of a filtered tool that another reader could understand otherwise than the filter does."""

    slug = "ambiguous_call"


class CallTooDeep(TidegateError):
    """A plugin that was called by a plugin that was called by a plugin …"""

    slug = "call_too_deep"


class QuestionUnanswered(TidegateError):
    """A server asked what the gateway answers in its client's place, and it could not. `data` names the cause."""

    slug = "question_unanswered"
    status = 502


class QuestionRefused(QuestionUnanswered):
    """A server asked for something in a form in which the gateway does not answer it."""

    slug = "question_refused"


class NotArmed(TidegateError):
    """What a plugin wanted done later will not be."""

    slug = "not_armed"


class UpstreamError(TidegateError):
    """A backend failed. The message names the backend and the cause."""

    slug = "upstream"
    source = Source.UPSTREAM
    retry = Retry.OTHER_REPLICA
    status = 502


class UpstreamClosed(UpstreamError):
    """It died or closed the connection with the call in flight."""

    slug = "upstream_closed"


class ChildEnded(UpstreamClosed):
    """The process of a backend is gone, or of no more use."""

    def __init__(self, message: str, stderr: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.stderr = stderr
        """The last lines it wrote on its stderr, for operators only."""


class UpstreamUnreachable(UpstreamError):
    """It could not be started or connected to; the call was never sent."""

    slug = "upstream_unreachable"
    status = 503


class UpstreamTimeout(UpstreamError):
    slug = "upstream_timeout"
    status = 504


class UpstreamProtocol(UpstreamError):
    """It answered, but not in MCP."""

    slug = "upstream_protocol"


class UpstreamRefused(UpstreamError):
    """It does not take the credentials it is sent. Only a person can mend that."""

    slug = "upstream_refused"


class UpstreamBusy(UpstreamError):
    """It, or what stands before it, says that it cannot serve now."""

    slug = "upstream_busy"
    retry = Retry.SAME_REPLICA
    status = 503


class PluginFailed(UpstreamError):
    """A plugin did not do what it was called for. The message names the plugin and the cause."""

    slug = "plugin_failed"
    retry = Retry.NEVER


class PluginTrapped(PluginFailed):
    slug = "plugin_trapped"


class PluginDeadline(PluginFailed):
    slug = "plugin_deadline"
    status = 504


class PluginOutOfMemory(PluginFailed):
    slug = "plugin_out_of_memory"


class PluginStackExhausted(PluginFailed):
    slug = "plugin_stack_exhausted"


class PluginOutputTooLarge(PluginFailed):
    slug = "plugin_output_too_large"


class PluginGarbage(PluginFailed):
    slug = "plugin_garbage"


class PluginNotGranted(PluginFailed):
    """It used what it was not given."""

    slug = "plugin_not_granted"


class PluginBusy(PluginFailed):
    slug = "plugin_busy"
    retry = Retry.SAME_REPLICA
    status = 503


class PluginRefused(PluginFailed):
    """It is not loaded: broken, not what its digest says, not what its manifest says, or not to be trusted."""

    slug = "plugin_refused"
    status = 503


class ModelFailed(UpstreamError):
    """A local model did not do what it was called for. The message names the model and the cause."""

    slug = "model_failed"
    retry = Retry.NEVER


class ModelDeadline(ModelFailed):
    slug = "model_deadline"
    status = 504


class ModelOutOfMemory(ModelFailed):
    """It needs more than it may have, or than all models together may."""

    slug = "model_out_of_memory"
    retry = Retry.OTHER_REPLICA
    status = 503


class ModelBusy(ModelFailed):
    """More calls wait for it than may."""

    slug = "model_busy"
    retry = Retry.SAME_REPLICA
    status = 503


class ModelMissing(ModelFailed):
    """What it needs is not installed: the model's package, or the library that runs it. The message has the command."""

    slug = "model_missing"
    retry = Retry.OTHER_REPLICA
    status = 503


class ModelRefused(ModelFailed):
    """It is not loaded: broken, not what its digest says, not what its manifest says, or larger than it may be."""

    slug = "model_refused"
    status = 503


class CapabilityFailed(UpstreamError):
    """None of a capability's tools answered. `data` has what became of each."""

    slug = "capability_failed"


class CapabilityMissing(CapabilityFailed):
    """None of them is in the catalogue."""

    slug = "capability_missing"
    status = 503


class CapabilityDeadline(CapabilityFailed):
    """The call's own time was up before one of them answered."""

    slug = "capability_deadline"
    status = 504


class MustStay(CapabilityFailed):
    """The data may not leave the box and no tool on the box is there for them, or no rule says that they may."""

    slug = "must_stay"
    status = 403  # nothing is gained by asking again, as programs do after others


class AnswerCut(CapabilityFailed):
    """An answer broke off of which the client has the beginning: nobody else can go on with it."""

    slug = "answer_cut"


class ConfigError(TidegateError):
    """A configuration that cannot be used: file, line, key, what was expected."""

    slug = "config"
