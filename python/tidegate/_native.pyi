"""The native codec (`rust/pybind`). Import it through `tidegate.pipeline.codec` only.

Bytes in, offsets or bytes out. All spans are half-open `(start, end)` byte offsets into the buffer passed
in; token spans of strings include the quotes. Errors are those of `tidegate.errors`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

__all__ = [
    "BATCH",
    "ERROR",
    "NOTIFICATION",
    "REQUEST",
    "RESULT",
    "VERSION",
    "Bucket",
    "ChunkDecoder",
    "Envelope",
    "HttpChannel",
    "HttpDownstream",
    "HttpPool",
    "LineSplitter",
    "LineUpstream",
    "MsgpackSplitter",
    "Relay",
    "RequestHead",
    "ResponseHead",
    "Scope",
    "SseDecoder",
    "SseEvent",
    "StreamDownstream",
    "Upstream",
    "array_spans",
    "compress",
    "encode_sse",
    "find_member",
    "inflate",
    "json_to_msgpack",
    "member_spans",
    "msgpack_to_json",
    "parse_request_head",
    "parse_response_head",
    "patch_object",
    "scan",
    "seal",
    "splice",
    "unseal",
]

VERSION: Final[str]
"""Version of the extension; must equal `tidegate.__version__`."""

REQUEST: Final[int]
NOTIFICATION: Final[int]
RESULT: Final[int]
ERROR: Final[int]
BATCH: Final[int]

@final
class Envelope:
    """One JSON-RPC message as spans. Made by `scan` only."""

    @property
    def kind(self) -> int:
        """REQUEST, NOTIFICATION, RESULT, ERROR or BATCH."""
    @property
    def id(self) -> bytes | None:
        """Raw JSON token: b'1' or b'"a"'. None on notifications, batches and errors without an id."""
    @property
    def method(self) -> str | None: ...
    @property
    def name(self) -> str | None:
        """`params.name` if that is a string, else `params.uri` if that is one."""
    @property
    def progress_token(self) -> bytes | None:
        """Raw JSON token, a string or a number."""
    @property
    def result_type(self) -> str | None: ...
    @property
    def id_span(self) -> tuple[int, int] | None: ...
    @property
    def method_span(self) -> tuple[int, int] | None: ...
    @property
    def params_span(self) -> tuple[int, int] | None: ...
    @property
    def name_span(self) -> tuple[int, int] | None:
        """Token of the name or uri in `name`."""
    @property
    def meta_span(self) -> tuple[int, int] | None:
        """The object `params._meta` or `result._meta`; None when absent or null."""
    @property
    def arguments_span(self) -> tuple[int, int] | None:
        """`params.arguments`, whatever value it is."""
    @property
    def result_span(self) -> tuple[int, int] | None: ...
    @property
    def error_span(self) -> tuple[int, int] | None: ...
    @property
    def progress_token_span(self) -> tuple[int, int] | None:
        """`params._meta.progressToken`; on a notification `params.progressToken` if it has one."""
    @property
    def result_type_span(self) -> tuple[int, int] | None: ...

def scan(buf: bytes, max_depth: int = 64) -> Envelope:
    """Reads one JSON-RPC 2.0 message without building values.

    The whole text is validated (RFC 8259, UTF-8, at most `max_depth` nested containers). Duplicate keys are
    refused in the message itself, in `params`, `params._meta`, `result` and `error`. The elements of a
    top-level array are validated as JSON, not as messages.

    Raises, first that applies: InvalidUtf8; ParseError or DepthExceeded, whichever comes first in the text;
    DuplicateKey; InvalidRequest; ParseError for a `method`, name or `resultType` with a lone surrogate. All of them
    carry the attribute `id_raw: bytes | None`, the raw id if the message has a usable one.
    """

def array_spans(buf: bytes, start: int = 0, end: int = -1) -> list[tuple[int, int]]:
    """Elements of the JSON array at `[start, end)`; -1 is the end of `buf`.

    Raises: ParseError, InvalidUtf8; ValueError for a range outside `buf`.
    """

def member_spans(buf: bytes, start: int = 0, end: int = -1) -> list[tuple[str, int, int]]:
    """Members of the JSON object at `[start, end)`: decoded key, start and end of the value.

    Raises: ParseError (also for a key with a lone surrogate), InvalidUtf8; ValueError for a range outside `buf`.
    """

def find_member(buf: bytes, key: str, start: int = 0, end: int = -1) -> tuple[int, int] | None:
    """Value of the member `key` of the JSON object at `[start, end)`.

    Raises: ParseError, InvalidUtf8; DuplicateKey when `key` is there twice, since readers differ in which one
    they take; ValueError for a range outside `buf`.
    """

def splice(buf: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Replaces sorted, non-overlapping ranges; an empty range inserts. Raises: ValueError."""

def patch_object(buf: bytes, changes: list[tuple[str, bytes | None]]) -> bytes:
    """Sets members of the JSON object `buf`: each key to its raw JSON value, or away for None.

    A changed member keeps its place, a new one comes last; all other bytes stay as they are. A removed
    member takes the comma before it along (the first one, the comma after it).

    Raises: ParseError, InvalidUtf8; DuplicateKey when a key to be set is there twice (removal takes all of
    them); ValueError when a key is changed twice or a value is not JSON.
    """

@final
class LineSplitter:
    """Cuts a byte stream into lines."""

    def __new__(cls, max_bytes: int) -> LineSplitter: ...
    def feed(self, data: bytes) -> list[bytes | None]:
        r"""Lines that end in `data`, without `\n` or `\r\n`; lines of white space are dropped.

        None stands for one line of more than `max_bytes` and comes as soon as it is that long; the line is
        discarded up to its newline.
        """
    @property
    def pending(self) -> int:
        """Bytes held of a line that has not ended."""
    def eof(self) -> bytes:
        """The unterminated rest, which is then forgotten."""

@final
class MsgpackSplitter:
    """Cuts a byte stream of concatenated MessagePack maps and arrays into JSON messages."""

    def __new__(cls, max_bytes: int, max_depth: int) -> MsgpackSplitter: ...
    def feed(self, data: bytes) -> list[bytes | None]:
        """JSON of the messages that end in `data`; None for one of more than `max_bytes`, as it comes or as JSON.

        Raises: ParseError, InvalidUtf8 or DepthExceeded, then and from then on: after garbage nobody knows where a
        message starts. Messages completed by the same `data` are lost with it.
        """

def json_to_msgpack(buf: bytes) -> bytes:
    """One JSON text as MessagePack, nothing lost but white space and the way strings are escaped.

    Integers of up to 64 bits are integers; another number is a float when that float prints exactly as it was
    spelt, else extension type 1 holding its JSON text, as is a string with a lone surrogate.

    Raises: ParseError, InvalidUtf8.
    """

def msgpack_to_json(buf: bytes) -> bytes:
    """One MessagePack item as JSON without white space.

    Raises: ParseError, also for what JSON does not have (binary, other extensions, NaN, keys that are no strings);
    InvalidUtf8.
    """

@final
class SseEvent:
    @property
    def event(self) -> str:
        """The type, `message` when the stream names none."""
    @property
    def data(self) -> bytes: ...
    @property
    def id(self) -> str | None:
        """The `id` line of this event; None when it has none, empty when it clears the last event id."""
    @property
    def retry_ms(self) -> int | None: ...

@final
class SseDecoder:
    """Cuts a byte stream into server-sent events."""

    def __new__(cls, max_bytes: int) -> SseDecoder: ...
    def feed(self, data: bytes) -> list[SseEvent]:
        """Events that end in `data`: those with data, an id or a retry time.

        Raises: TooLarge for an event of more than `max_bytes`, then and from then on; events completed by the
        same `data` are lost with it.
        """

def encode_sse(data: bytes, event: str | None = None, id: str | None = None, retry_ms: int | None = None) -> bytes:
    """One event, with a `data` line for each line of `data`. Raises: ValueError for a line break in event or id."""

@final
class RequestHead:
    @property
    def method(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def minor(self) -> int:
        """0 or 1 of HTTP/1.0 and HTTP/1.1."""
    @property
    def headers(self) -> list[tuple[str, str]]:
        """In order; names lower-cased, values ISO 8859-1 without white space around them."""
    @property
    def head_len(self) -> int:
        """Bytes, the blank line included."""
    @property
    def content_length(self) -> int:
        """Bytes; -1 for none."""
    @property
    def chunked(self) -> bool: ...
    @property
    def keep_alive(self) -> bool:
        """By version and `Connection`."""
    @property
    def expect_continue(self) -> bool: ...

@final
class ResponseHead:
    @property
    def status(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def minor(self) -> int: ...
    @property
    def headers(self) -> list[tuple[str, str]]: ...
    @property
    def head_len(self) -> int: ...
    @property
    def content_length(self) -> int: ...
    @property
    def chunked(self) -> bool: ...
    @property
    def keep_alive(self) -> bool: ...
    @property
    def expect_continue(self) -> bool: ...

def parse_request_head(buf: bytes, max_bytes: int) -> RequestHead | None:
    """The request head at the start of `buf`; None while it is incomplete.

    Raises: BadHttp; TooLarge with `status` 431 when the head is or will be longer than `max_bytes`.
    """

def parse_response_head(buf: bytes, max_bytes: int) -> ResponseHead | None:
    """The response head at the start of `buf`; None while it is incomplete. Raises: as for requests."""

@final
class ChunkDecoder:
    """Takes the chunked transfer coding apart."""

    def __new__(cls, max_bytes: int) -> ChunkDecoder: ...
    def feed(self, data: bytes) -> bytes:
        """The payload in `data`. Trailers are checked, bounded and dropped.

        Raises: BadHttp; TooLarge as soon as more than `max_bytes` of payload are announced.
        """
    @property
    def done(self) -> bool: ...
    @property
    def rest(self) -> bytes:
        """Bytes after the end of the body."""

def compress(coding: str, data: bytes, level: int = 3) -> bytes:
    """`data` in the content coding `gzip` or `zstd`; `level` is brought into its range. Raises: ValueError."""

def inflate(coding: str, data: bytes, max_bytes: int) -> bytes:
    """What `data` in the content coding `gzip`, `zstd` or `deflate` (zlib) holds.

    Raises: TooLarge for more than `max_bytes`; BadEncoding for another coding, and for data that is not in it, ends
    early or is followed by something else. A zstd window over 8 MiB is refused (RFC 9659).
    """

def seal(key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """`plaintext` by XChaCha20-Poly1305: 24 bytes of random nonce, the ciphertext, 16 bytes of tag.

    `aad` is authenticated too but not in the result. No two results are the same. A seal does not age and can be
    given back any number of times: what it is good for has to stand in it or in `aad`.

    Raises: ValueError for a key that is not 32 bytes long; OSError when the system gives no randomness.
    """

def unseal(key: bytes, sealed: bytes, aad: bytes) -> bytes | None:
    """The plaintext of a seal made with this key and `aad`; None for any other bytes, whatever is wrong with them.

    Raises: ValueError for a key that is not 32 bytes long.
    """

# -- the relay --------------------------------------------------------------------------------------------------------

@final
class Bucket:
    """State of a token bucket that the slow lane and the relay share. `rate_per_s` 0 never runs out."""

    def __new__(cls, rate_per_s: float, burst: float, now_s: float) -> Bucket: ...
    def take(self, now_s: float) -> bool:
        """One token, if there is one."""

    def spend(self, tokens: float, now_s: float) -> float:
        """As many tokens, whether or not there are as many. Seconds until what is missing has come; 0 for nothing."""

    def wait_s(self) -> float:
        """Seconds until the next token, as of when one was last asked for."""

@final
class Scope:
    """Where requests are told apart by their ids: a session, or a stream of a client."""

    @property
    def in_flight(self) -> int:
        """Relayed calls in it."""

    def settle(self) -> None:
        """The slow lane takes them over."""

    def close(self) -> None:
        """As `settle`; and no flow of it is used any more."""

@final
class Relay:
    """Flows and relayed calls of one gateway. All methods belong to the thread of the event loop."""

    on: bool
    """Whether new calls are relayed. Off voids every flow."""

    def __new__(
        cls, admission: object, woken: Callable[[], None], bounds_s: Sequence[float], now_s: float, on: bool
    ) -> Relay:
        """`admission`: has `in_flight`, the slow lane's. `woken`: called when a call comes after a rest. `bounds_s`:
        of durations, ascending. `now_s`: of the monotonic clock, by which all times here are.
        """

    def take_up(self, in_flight: int, header_bytes: int, body_bytes: int, result_bytes: int, depth: int) -> None:
        """Other bounds; voids every flow."""

    @property
    def has_candidate(self) -> bool:
        """Whether a decision about the present message could become a flow."""

    @property
    def in_flight(self) -> int: ...
    @property
    def relayed(self) -> int:
        """Calls so far."""

    @property
    def voided(self) -> int:
        """How often all flows were forgotten."""

    journal: Callable[[], None] | None
    """Called when many ended calls are kept. Only while it is set are any kept, one by one. Write only."""

    def ended(self) -> tuple[list[tuple[Any, bool, float, float]], int]:
        """Calls since the last time, in the order in which they ended: (decision, whether the tool failed, when it
        came, when it ended); and how many more there were.
        """

    def flows(self) -> list[tuple[Any, int, int, float, float, list[tuple[int, int]]]]:
        """Each flow that could be used: (decision, calls that went well, tool errors, seconds, when the last one ended
        or 0, (bucket, calls) by duration).
        """

    def statistics(self) -> dict[str, object]: ...
    def scope(self, ids: Mapping[bytes, object]) -> Scope:
        """`ids`: a dictionary whose keys are the ids (raw JSON) that the slow lane has in use there."""

    def install(self, message: bytes, decision: object) -> bool:
        """Notes how `message`, the present one, was decided. False: it is not the one that the relay has seen.

        `decision`: has `name`, `reply_head`, `coding`, `compress_min_bytes`, `compress_max_bytes`, `meta_changes`,
        `untyped`, `complete`, `odd_words`, `balance`, `max_in_flight`, `upstream`, `request_head`, `repeatable`,
        `bucket`, `scope`; and `promote(protocol, request, start, upstream_id, began_s, sent_on, received)`.
        """

    def adopt(self, upstream_id: int, began_s: float, channel: int | None = None) -> bool:
        """For tests: the call whose decision was just installed, which the slow lane has sent under this id, is the
        relay's from now on, and must be forgotten elsewhere. `channel`: over HTTP, the `number` of the connection that
        it was sent on. False: there is none.
        """

    def share(self, decision: object) -> bool:
        """Calls like the one whose decision was just installed may be given to another replica, too, by this one."""

    def void(self) -> None:
        """Forgets every flow. Calls in flight go on."""

    def promote_before(self, before_s: float, most: int = ...) -> bool:
        """Calls that came before are the slow lane's from now on, `most` of them at once. Whether that was all."""

    def settle(self) -> None:
        """All calls are."""

    def counted(self) -> list[tuple[Any, int, int, list[int], float]]:
        """Since the last time, for each decision: it, calls that went well, tool errors, calls by duration, seconds."""

    def unused(self, before_s: float) -> list[Any]:
        """Protocols of connections to HTTP servers that no call has needed since then; they are the slow lane's."""

    def unended(self, before_s: float) -> list[Any]:
        """Of those that have answered, and not ended the response since then; they are the slow lane's."""

    @property
    def channels(self) -> int:
        """Connections to HTTP servers that are not the slow lane's."""

    def rest(self) -> None:
        """`woken` is to be called again."""

@final
class HttpDownstream(asyncio.Protocol):
    """Stands before `HttpServerProtocol`, and sets its `relayed`."""

    def __new__(cls, relay: Relay, slow: object) -> HttpDownstream: ...
    def at_rest(self) -> None:
        """The slow lane waits for a request, and has nothing of it yet."""

    def settle(self) -> None:
        """The slow lane takes the call in flight over, or what has come of the next one, if there is either."""

    def stand_back(self) -> None:
        """As `settle`; nothing is relayed before the slow lane has answered once more."""

    @property
    def used_s(self) -> float:
        """When the last call was relayed."""

@final
class StreamDownstream(asyncio.Protocol):
    """Stands before `StreamServerProtocol`, and sets its `relayed`. `max_bytes` bounds a line."""

    def __new__(cls, relay: Relay, slow: object, max_bytes: int) -> StreamDownstream: ...
    def stand_back(self) -> None:
        """The slow lane takes the calls in flight over; nothing more is relayed."""

@final
class Upstream:
    """The relay's part of a `Connection`: its ids, and relayed calls on it."""

    paused: bool
    """The server does not read: nothing is relayed to it. Only to be set."""

    def __new__(cls, relay: Relay, pool: HttpPool | None = None) -> Upstream: ...
    def attach(
        self, write: Callable[[bytes], None] | None, writer: object, connection: object, pending: object
    ) -> None:
        """`writer`: has `queued_bytes`; like `write` None over HTTP. `connection`: has `line` and `late`. `pending`:
        dictionary of its calls.
        """

    @property
    def attached(self) -> bool: ...
    def next_id(self) -> int:
        """For a call of the slow lane."""

    @property
    def ids_given(self) -> int: ...
    @property
    def in_flight(self) -> int:
        """Relayed calls."""

    def settle(self) -> None:
        """All its calls become the slow lane's."""

    def close(self) -> None:
        """Nothing new; what is in flight is the slow lane's."""

    def detach(self) -> None:
        """As `close`, for good."""

@final
class LineUpstream(asyncio.Protocol):
    """Stands before whatever reads from a server in lines, and hands it what is not the relay's by its `take`."""

    def __new__(cls, relay: Relay, slow: object, max_bytes: int) -> LineUpstream: ...
    @property
    def upstream(self) -> Upstream: ...
    @property
    def pending(self) -> int:
        """Bytes of a line that has not ended."""

@final
class HttpPool:
    """Connections to one origin, which the slow lane's pool and the relay lend each other. `queue`: has a length, of
    the slow lane's calls that wait for a connection.
    """

    def __new__(cls, relay: Relay, queue: object) -> HttpPool: ...
    def take_back(self, since_s: float) -> object | None:
        """The protocol of the connection that was used last, unless that was before: it is the slow lane's now."""

    @property
    def idle(self) -> int: ...
    def close(self) -> None: ...

@final
class HttpChannel(asyncio.Protocol):
    """Stands before `HttpConnection`, and sets its `relayed`."""

    def __new__(cls, pool: HttpPool, slow: object) -> HttpChannel: ...
    @property
    def number(self) -> int:
        """By which `Relay.adopt` knows it."""

    def take_uses(self) -> int:
        """Relayed calls that it carried since this was last asked."""

    def give(self) -> bool:
        """The slow lane has no use for the connection at the moment. False: nor has the relay."""
