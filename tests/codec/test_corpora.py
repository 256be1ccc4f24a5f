"""The fuzz corpora, finds included, replayed against the twins without a fuzzer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import frame_twins
import pytest
import test_chunked
import test_http_head
import test_lines
import test_msgpack
import test_scan
import test_seal
import test_sse
import twins
from agreement import assert_agree, outcome

from tidegate.pipeline import codec

CORPORA = Path(__file__).parents[2] / "rust/fuzz/corpus"


def scan(buf: bytes) -> None:
    assert_agree(test_scan.attributes, twins.scan, buf, 64)


def spans(buf: bytes) -> None:
    assert_agree(codec.array_spans, twins.array_spans, buf)
    assert_agree(codec.member_spans, twins.member_spans, buf)
    assert_agree(codec.find_member, twins.find_member, buf, "a")


def patch(buf: bytes) -> None:
    assert_agree(codec.patch_object, twins.patch_object, buf, [("a", b"[1]"), ("b", None), ("\n", b"{}")])


def in_pieces(data: bytes) -> tuple[bytes, list[bytes]]:
    """As the stream targets read their input: the first byte says where the rest is cut."""
    at, stream = data[0], data[1:]
    return stream, [stream[:at], stream[at:]]


def lines(data: bytes) -> None:
    stream, pieces = in_pieces(data)
    for max_bytes in (0, 7, 1000):
        assert test_lines.run(pieces, max_bytes) == frame_twins.split_lines(stream, max_bytes)


def sse(data: bytes) -> None:
    stream, pieces = in_pieces(data)
    for max_bytes in (20, 1000):
        events, failed = test_sse.run(pieces, max_bytes)
        expected = frame_twins.decode_sse(stream, max_bytes)
        assert failed == expected[1]
        assert events == (expected[0][: len(events)] if failed else expected[0])


def http_head(data: bytes) -> None:
    stream, _ = in_pieces(data)
    assert_agree(test_http_head.request, frame_twins.parse_request_head, stream, 4096)
    assert_agree(test_http_head.response, frame_twins.parse_response_head, stream, 4096)


def chunked(data: bytes) -> None:
    stream, pieces = in_pieces(data)
    for max_bytes in (10, 1000):
        payload, done, rest, error = test_chunked.run(pieces, max_bytes)
        kind, expected = outcome(frame_twins.decode_chunks, stream, max_bytes)
        assert (kind == "TooLarge") == (error == "TooLarge")
        assert done == (kind == "value" and expected is not None)
        assert not done or (payload, rest) == expected


def msgpack(buf: bytes) -> None:
    got, expected = outcome(codec.msgpack_to_json, buf), outcome(frame_twins.msgpack_to_json, buf)
    assert got == expected or (got[0], expected[0]) == ("InvalidUtf8", "ParseError")


def msgpack_stream(data: bytes) -> None:
    stream, pieces = in_pieces(data)
    for max_bytes in (10, 1000):
        found, error = test_msgpack.run(pieces, max_bytes, 8)
        expected = frame_twins.split_msgpack(stream, max_bytes, 8)
        assert error == expected[1]
        assert found == (expected[0][: len(found)] if error else expected[0])


def json_to_msgpack(buf: bytes) -> None:
    assert_agree(codec.json_to_msgpack, frame_twins.json_to_msgpack, buf)


def inflate(data: bytes) -> None:
    for coding in ("gzip", "deflate"):
        got, expected = (outcome(each, coding, data, 5000) for each in (codec.inflate, frame_twins.inflate))
        # The two libraries may differ in whether damage or size is noticed first.
        assert (got[0] == "value") == (expected[0] == "value")
        assert got == expected or got[0] != "value"


def unseal(data: bytes) -> None:
    key = bytes([7]) * 32
    _, (aad, plaintext) = in_pieces(data)
    for sealed, given in ((data, b""), (plaintext, aad)):
        assert codec.unseal(key, sealed, given) is test_seal.unsealed_slowly(key, sealed, given) is None
    assert test_seal.unsealed_slowly(key, codec.seal(key, plaintext, aad), aad) == plaintext


REPLAYS: dict[str, Callable[[bytes], Any]] = {
    replay.__name__: replay
    for replay in (
        scan,
        spans,
        patch,
        lines,
        sse,
        http_head,
        chunked,
        msgpack,
        msgpack_stream,
        json_to_msgpack,
        inflate,
        unseal,
    )
}


def test_every_target_has_a_corpus_and_a_replay() -> None:
    targets = {path.stem for path in (CORPORA.parent / "fuzz_targets").glob("*.rs")}
    assert targets == {path.name for path in CORPORA.iterdir()}
    # Those of the relay have their twin in Rust: `rust/relay/tests/corpora.rs`.
    assert {target for target in targets if not target.startswith("relay")} == set(REPLAYS)


INPUTS = sorted(path for path in CORPORA.glob("*/*") if path.parent.name in REPLAYS)


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_corpus_agrees_with_the_twins(path: Path) -> None:
    data = path.read_bytes()
    if data or path.parent.name in ("scan", "spans", "patch"):
        REPLAYS[path.parent.name](data)
