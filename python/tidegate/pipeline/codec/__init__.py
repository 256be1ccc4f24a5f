"""The byte library: frames, envelopes, HTTP heads, codings, seals; and the relay. Native code; what it means stands in
`_native.pyi`.

Every stage may import this package; it is the only importer of `tidegate._native`. `tests/codec/twins.py`
says the same things in slow, obvious Python.
"""

from tidegate import __version__

_REBUILD = "rebuild it with `maturin develop --release` (or `pip install .`)"

try:
    from tidegate._native import (
        BATCH,
        ERROR,
        NOTIFICATION,
        REQUEST,
        RESULT,
        VERSION,
        Bucket,
        ChunkDecoder,
        Envelope,
        HttpChannel,
        HttpDownstream,
        HttpPool,
        LineSplitter,
        LineUpstream,
        MsgpackSplitter,
        Relay,
        RequestHead,
        ResponseHead,
        Scope,
        SseDecoder,
        SseEvent,
        StreamDownstream,
        Upstream,
        array_spans,
        compress,
        encode_sse,
        find_member,
        inflate,
        json_to_msgpack,
        member_spans,
        msgpack_to_json,
        parse_request_head,
        parse_response_head,
        patch_object,
        scan,
        seal,
        splice,
        unseal,
    )
except ImportError as error:
    raise ImportError(f"the native codec of tidegate {__version__} cannot be loaded: {error}; {_REBUILD}") from error

if __version__ != VERSION:
    raise ImportError(f"the native codec is of version {VERSION}, tidegate of {__version__}; {_REBUILD}")

__all__ = [
    "BATCH",
    "ERROR",
    "NOTIFICATION",
    "REQUEST",
    "RESULT",
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
