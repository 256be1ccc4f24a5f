"""`python benches/codec.py`: the native codec as Python calls it, beside its slow twin and the usual Python way.

Prints a table for `benches/record/codec.md`: best of many rounds, microseconds a call, and how many times as long
the others take in the same run. `cargo bench -p tidegate-codec` measures the scan without Python.
"""

from __future__ import annotations

import gzip
import json
import sys
import timeit
from collections.abc import Callable
from pathlib import Path

import h11

from tidegate.pipeline import codec

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/codec"))
import frame_twins
import twins

CALL = (
    b'{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"host__disks","arguments":{"path":"/","n":[1,2.5e3,'
    b'null]},"_meta":{"progressToken":"t1"}}}'
)
TOOL = json.dumps(
    {
        "name": "files__read",
        "description": "Reads a file and returns its content as text. Paths are relative to the root.",
        "inputSchema": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "head": {"type": "integer", "minimum": 0}},
            "required": ["path"],
        },
    }
).encode()
LIST = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[' + b",".join([TOOL] * 1000) + b"]}}"
TEXT = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "result": {"content": [{"type": "text", "text": "one line of a log, as it is\n" * 38_000}]},
    }
).encode()
HEAD = (
    b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: application/json, text/event-stream\r\n"
    b"Content-Type: application/json\r\nMcp-Session-Id: 0123456789abcdef0123456789abcdef\r\nUser-Agent: bench/1\r\n"
    b"Authorization: Bearer 0123456789abcdef\r\nContent-Length: 154\r\n\r\n"
)
EVENT = codec.encode_sse(CALL, id="7")
PACKED = codec.json_to_msgpack(CALL)
CHUNKED = b"9a\r\n" + CALL + b"\r\n0\r\n\r\n"


def usual_scan(buf: bytes) -> Callable[[], object]:
    def run() -> object:
        message = json.loads(buf)
        return message["id"], message.get("method"), message.get("params", {}).get("name")

    return run


def native_scan(buf: bytes) -> Callable[[], object]:
    def run() -> object:
        envelope = codec.scan(buf)
        return envelope.id, envelope.method, envelope.name

    return run


def usual_patch() -> object:
    message = json.loads(CALL)
    message["id"] = 99
    return json.dumps(message).encode()


def h11_head() -> object:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(HEAD)
    return connection.next_event()


def rows() -> list[tuple[str, Callable[[], object], Callable[[], object] | None, Callable[[], object] | None]]:
    """(what, native, twin, the usual way)."""
    start, end = codec.scan(CALL).id_span or (0, 0)
    return [
        ("scan a call, read id, method, name", native_scan(CALL), lambda: twins.scan(CALL), usual_scan(CALL)),
        ("scan 1,000 tools", native_scan(LIST), None, usual_scan(LIST)),
        ("scan 1 MB of text", native_scan(TEXT), None, usual_scan(TEXT)),
        ("give a call another id", lambda: codec.splice(CALL, [(start, end, b"99")]), None, usual_patch),
        (
            "set a member of a call",
            lambda: codec.patch_object(CALL, [("id", b"99")]),
            lambda: twins.patch_object(CALL, [("id", b"99")]),
            usual_patch,
        ),
        ("elements of 1,000 tools", lambda: codec.array_spans(LIST, LIST.index(b"["), len(LIST) - 2), None, None),
        (
            "split ten lines",
            lambda: codec.LineSplitter(10**6).feed((CALL + b"\n") * 10),
            lambda: frame_twins.split_lines((CALL + b"\n") * 10, 10**6),
            None,
        ),
        (
            "read an event",
            lambda: codec.SseDecoder(10**6).feed(EVENT),
            lambda: frame_twins.decode_sse(EVENT, 10**6),
            None,
        ),
        (
            "parse a request head",
            lambda: codec.parse_request_head(HEAD, 16384),
            lambda: frame_twins.parse_request_head(HEAD, 16384),
            h11_head,
        ),
        (
            "take a chunked body apart",
            lambda: codec.ChunkDecoder(10**6).feed(CHUNKED),
            lambda: frame_twins.decode_chunks(CHUNKED, 10**6),
            None,
        ),
        (
            "a call to MessagePack",
            lambda: codec.json_to_msgpack(CALL),
            lambda: frame_twins.json_to_msgpack(CALL),
            None,
        ),
        (
            "a call from MessagePack",
            lambda: codec.msgpack_to_json(PACKED),
            lambda: frame_twins.msgpack_to_json(PACKED),
            None,
        ),
        ("gzip 1,000 tools, level 3", lambda: codec.compress("gzip", LIST), None, lambda: gzip.compress(LIST, 3)),
        ("zstd 1,000 tools, level 3", lambda: codec.compress("zstd", LIST), None, lambda: gzip.compress(LIST, 3)),
    ]


def best_us(run: Callable[[], object]) -> float:
    """Microseconds of the fastest of a few rounds."""
    timer = timeit.Timer(run)
    number, _ = timer.autorange(lambda *_: None)
    number = max(1, number // 5)
    return min(timer.repeat(5, number)) / number * 1e6


def main() -> None:
    print("| what | native µs | twin takes | the usual Python takes |")
    print("| --- | ---: | ---: | ---: |")
    for what, native, twin, usual in rows():
        mine = best_us(native)
        others = [f"{best_us(other) / mine:.1f} times" if other else "" for other in (twin, usual)]
        print(f"| {what} | {mine:.2f} | {others[0]} | {others[1]} |", flush=True)


if __name__ == "__main__":
    main()
