"""The framing half of the codec said slowly: each twin looks at a whole stream at once.

The native splitters get the same stream in pieces; wherever it is cut, what they yield must add up to what
the twin says of the whole.
"""

from __future__ import annotations

import json
import math
import re
import struct
import zlib
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import twins

from tidegate.errors import BadEncoding, BadHttp, DepthExceeded, InvalidUtf8, ParseError, TooLarge


def split_lines(stream: bytes, max_bytes: int) -> tuple[list[bytes | None], bytes]:
    """Lines, and the unterminated rest."""
    *complete, rest = stream.split(b"\n")
    lines: list[bytes | None] = []
    for line in complete:
        line = line.removesuffix(b"\r")
        if len(line) > max_bytes:
            lines.append(None)
        elif line.strip(b" \t\r"):
            lines.append(line)
    if len(rest.removesuffix(b"\r")) > max_bytes:
        lines.append(None)
        rest = b""
    return lines, rest


Event = tuple[str, bytes, str | None, int | None]


def decode_sse(stream: bytes, max_bytes: int) -> tuple[list[Event], bool]:
    """Events, and whether one was too large."""
    lines = re.split(rb"\r\n|\r|\n", stream.removeprefix(b"\xef\xbb\xbf"))
    events: list[Event] = []
    data: list[bytes] = []
    fields: dict[str, Any] = {}
    for number, line in enumerate(lines):
        if len(b"\n".join(data)) + len(line) > max_bytes:
            return events, True
        if number == len(lines) - 1:
            break
        if not line:
            if data or "id" in fields or "retry" in fields:
                events.append(
                    (fields.get("event") or "message", b"\n".join(data), fields.get("id"), fields.get("retry"))
                )
            data, fields = [], {}
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        text = value.decode(errors="replace")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            fields["event"] = text
        elif field == b"id" and b"\0" not in value:
            fields["id"] = text
        elif field == b"retry" and re.fullmatch(rb"[0-9]+", value) and int(value) < 2**64:
            fields["retry"] = int(value)
    return events, False


@dataclass
class Head:
    """What both heads have."""

    headers: list[tuple[str, str]]
    head_len: int
    minor: int
    content_length: int = -1
    chunked: bool = False
    keep_alive: bool = False
    expect_continue: bool = False


_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rf"({_TOKEN}) ([!-~]+) HTTP/1\.([01])")
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([\t -~\x80-\xff]*))?")
_FIELD = re.compile(rf"({_TOKEN}):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_HOST = re.compile(r"[A-Za-z0-9\-._~:\[\]%!$&'()*+;=]*")


def _split_head(buf: bytes, max_bytes: int, may_start: str) -> tuple[list[str], int] | None:
    """Lines of a head without their ends, and its length."""
    window = buf[:max_bytes].decode("latin-1")
    if window and not re.match(may_start, window):
        raise BadHttp("another protocol")
    found: list[str] = []
    length = 0
    for line in window.split("\n")[:-1]:
        length += len(line) + 1
        if not line.endswith("\r"):
            raise BadHttp("bare LF")
        if line == "\r":
            return found, length
        found.append(line[:-1])
    if len(buf) >= max_bytes:
        error = TooLarge("head")
        error.status = 431  # type: ignore[misc]
        raise error
    return None


def _head(lines: list[str], head_len: int, minor: int, request: bool) -> Head:
    headers = []
    for line in lines:
        found = _FIELD.fullmatch(line)
        if not found:
            raise BadHttp("field")
        headers.append((found[1].lower(), found[2]))

    def values(name: str) -> list[str]:
        return [value for key, value in headers if key == name]

    lengths, codings, hosts = values("content-length"), values("transfer-encoding"), values("host")
    if any(not re.fullmatch("[0-9]+", value) or int(value) >= 2**63 for value in lengths):
        raise BadHttp("content-length")
    if len({int(value) for value in lengths}) > 1:
        raise BadHttp("content-lengths differ")
    if codings and ([coding.lower() for coding in codings] != ["chunked"] or lengths or minor == 0):
        raise BadHttp("transfer-encoding")
    if not all(_HOST.fullmatch(host) for host in hosts):
        raise BadHttp("host")
    if request and (len(hosts) > 1 or (not hosts and minor == 1)):
        raise BadHttp("hosts")
    options = {option.strip(" \t").lower() for value in values("connection") for option in value.split(",")}
    return Head(
        headers=headers,
        head_len=head_len,
        minor=minor,
        content_length=int(lengths[0]) if lengths else -1,
        chunked=bool(codings),
        keep_alive="close" not in options and (minor == 1 or "keep-alive" in options),
        expect_continue=minor == 1 and any(value.lower() == "100-continue" for value in values("expect")),
    )


def parse_request_head(buf: bytes, max_bytes: int) -> dict[str, Any] | None:
    skipped = 2 if buf.startswith(b"\r\n") else 0
    split = _split_head(buf[skipped:], max(0, max_bytes - skipped), rf"{_TOKEN[:-1]}|\r\Z" if not skipped else _TOKEN)
    if not split:
        return None
    (line, *rest), length = split[0] or [""], split[1]
    found = _REQUEST_LINE.fullmatch(line)
    if not found:
        raise BadHttp("request line")
    head = _head(rest, length + skipped, int(found[3]), True)
    return {"method": found[1], "target": found[2], **vars(head)}


def parse_response_head(buf: bytes, max_bytes: int) -> dict[str, Any] | None:
    split = _split_head(buf, max_bytes, r"H|\r\Z")
    if not split:
        return None
    (line, *rest), length = split[0] or [""], split[1]
    found = _STATUS_LINE.fullmatch(line)
    if not found:
        raise BadHttp("status line")
    head = _head(rest, length, int(found[1]), False)
    return {"status": int(found[2]), "reason": found[3] or "", **vars(head)}


_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})(;[\t -~\x80-\xff]*)?\r\n")
_TRAILERS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n)*\r\n")


def decode_chunks(stream: bytes, max_bytes: int) -> tuple[bytes, bytes] | None:
    """Payload and what follows the body; None when there is no whole body in front."""
    payload = b""
    at = 0
    while found := _CHUNK_SIZE.match(stream, at):
        at = found.end()
        size = int(found[1], 16)
        if size == 0:
            trailers = _TRAILERS.match(stream, at)
            return (payload, stream[trailers.end() :]) if trailers else None
        if len(payload) + size > max_bytes:
            raise TooLarge("body")
        payload += stream[at : at + size]
        at += size
        if stream[at : at + 2] != b"\r\n":
            return None
        at += 2
    return None


def inflate(coding: str, data: bytes, max_bytes: int) -> bytes:
    """Gzip and deflate only: the standard library of the oldest Python has no zstd."""
    out = b""
    if not data:
        raise BadEncoding("empty")
    while data:
        engine = zlib.decompressobj(31 if coding == "gzip" else 15)
        try:
            out += engine.decompress(data)
        except zlib.error:
            raise BadEncoding("not it") from None
        if not engine.eof or (coding == "deflate" and engine.unused_data):
            raise BadEncoding("ends early or goes on")
        data = engine.unused_data
    if len(out) > max_bytes:
        raise TooLarge("body")
    return out


# --- MessagePack ---------------------------------------------------------------------------------------------------


def _float_text(value: float) -> str:
    """Shortest text that reads back; an exponent without plus and leading zeros.

    Where two such texts are equally near, Python takes the even last digit and Rust the larger one.
    """
    text = repr(value)
    digits, e, exponent = text.partition("e")
    if digits[-1] in "02468":
        other = f"{digits[:-1]}{int(digits[-1]) + 1}{e}{exponent}"
        exact = Fraction(value)
        if float(other) == value and Fraction(other) - exact == exact - Fraction(text):
            text = other
    return re.sub(r"e([-+])0*(\d)", lambda found: "e" + found[1].replace("+", "") + found[2], text)


def _sized(length: int, small: tuple[int, int] | None, markers: list[int]) -> bytes:
    if small and length < small[1]:
        return bytes([small[0] | length])
    if len(markers) == 3 and length < 2**8:
        return struct.pack(">BB", markers[0], length)
    if length < 2**16:
        return struct.pack(">BH", markers[-2], length)
    return struct.pack(">BI", markers[-1], length)


def _ext(text: bytes) -> bytes:
    fixed = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}
    head = bytes([fixed[len(text)]]) if len(text) in fixed else _sized(len(text), None, [0xC7, 0xC8, 0xC9])
    return head + b"\x01" + text


def _integer(value: int) -> bytes | None:
    if -32 <= value < 128:
        return struct.pack(">b", value)
    for marker, form in (0xCC, ">BB"), (0xCD, ">BH"), (0xCE, ">BI"), (0xCF, ">BQ"):
        if 0 <= value < 2 ** (8 * (struct.calcsize(form) - 1)):
            return struct.pack(form, marker, value)
    for marker, form in (0xD0, ">Bb"), (0xD1, ">Bh"), (0xD2, ">Bi"), (0xD3, ">Bq"):
        if -(2 ** (8 * (struct.calcsize(form) - 1) - 1)) <= value < 0:
            return struct.pack(form, marker, value)
    return None


def _pack(node: twins.Node) -> bytes:
    if node.kind == "object":
        body = b"".join(_pack(part) for member in node.members for part in (member.key, member.value))
        return _sized(len(node.members), (0x80, 16), [0xDE, 0xDF]) + body
    if node.kind == "array":
        return _sized(len(node.items), (0x90, 16), [0xDC, 0xDD]) + b"".join(map(_pack, node.items))
    if node.kind == "string":
        if twins.has_lone_surrogate(node.text):
            return _ext(node.raw)
        text = node.text.encode()
        return _sized(len(text), (0xA0, 32), [0xD9, 0xDA, 0xDB]) + text
    if node.kind == "integer" and node.raw != b"-0":
        return _integer(int(node.raw)) or _ext(node.raw)
    if node.kind == "float":
        value = float(node.raw)
        exact = math.isfinite(value) and _float_text(value) == node.raw.decode()
        return struct.pack(">Bd", 0xCB, value) if exact else _ext(node.raw)
    if node.kind == "integer":
        return _ext(node.raw)
    return {b"null": b"\xc0", b"false": b"\xc2", b"true": b"\xc3"}[node.raw]


def json_to_msgpack(buf: bytes) -> bytes:
    return _pack(twins.tree(buf))


class Incomplete(Exception):
    """The bytes end inside an item."""


@dataclass
class _Frame:
    """Where an item lies and what its marker says."""

    marker: int
    payload: bytes
    items: list[_Frame]
    end: int


def _frame(buf: bytes, at: int, room: int, top: bool = False) -> _Frame:
    """The item at `at`, its framing checked but not its content."""

    def take(start: int, count: int) -> bytes:
        if start + count > len(buf):
            raise Incomplete
        return buf[start : start + count]

    marker = take(at, 1)[0]
    at += 1
    length_sizes = {0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
    is_map = marker in (0xDE, 0xDF) or 0x80 <= marker <= 0x8F
    is_array = marker in (0xDC, 0xDD) or 0x90 <= marker <= 0x9F
    if marker == 0xC1 or 0xC4 <= marker <= 0xC6 or (top and not (is_map or is_array)):
        raise ParseError("marker")
    if marker in length_sizes:
        count = int.from_bytes(take(at, length_sizes[marker]), "big")
        at += length_sizes[marker]
    elif is_map or is_array:
        count = marker & 0x0F
    elif 0xA0 <= marker <= 0xBF:
        count = marker & 0x1F
    else:
        fixed = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
        count = fixed.get(marker, 0)
        if 0xD4 <= marker <= 0xD8:
            count = 1 + 2 ** (marker - 0xD4)
    if 0xC7 <= marker <= 0xC9:
        count += 1
    if not (is_map or is_array):
        return _Frame(marker, take(at, count), [], at + count)
    if room == 0:
        raise DepthExceeded("too deep")
    found = _Frame(marker, b"", [], at)
    for _ in range(count * 2 if is_map else count):
        found.items.append(_frame(buf, found.end, room - 1))
        found.end = found.items[-1].end
    return found


def _json_text(frame: _Frame, key: bool) -> str:
    text = frame.payload[1:]
    if frame.payload[:1] != b"\x01":
        raise ParseError("another extension")
    try:
        text.decode()
    except UnicodeDecodeError:
        raise InvalidUtf8("extension") from None
    try:
        node = twins.tree(text, max_depth=0)
    except DepthExceeded:
        raise ParseError("no scalar") from None
    kinds = ("string",) if key else ("string", "integer", "float")
    if node.raw != text or node.kind not in kinds:
        raise ParseError("no scalar")
    return text.decode()


def _unpack(frame: _Frame, key: bool = False) -> str:
    marker, payload = frame.marker, frame.payload
    is_text = 0xA0 <= marker <= 0xBF or 0xD9 <= marker <= 0xDB
    is_ext = 0xC7 <= marker <= 0xC9 or 0xD4 <= marker <= 0xD8
    if key and not (is_text or is_ext):
        raise ParseError("key")
    if is_text:
        try:
            return json.dumps(payload.decode(), ensure_ascii=False)
        except UnicodeDecodeError:
            raise InvalidUtf8("text") from None
    if is_ext:
        return _json_text(frame, key)
    if 0x90 <= marker <= 0x9F or marker in (0xDC, 0xDD):
        return "[" + ",".join(map(_unpack, frame.items)) + "]"
    if 0x80 <= marker <= 0x8F or marker in (0xDE, 0xDF):
        pairs = zip(frame.items[::2], frame.items[1::2], strict=True)
        return "{" + ",".join(_unpack(name, key=True) + ":" + _unpack(value) for name, value in pairs) + "}"
    if marker in (0xCA, 0xCB):
        (value,) = struct.unpack(">f" if marker == 0xCA else ">d", payload)
        if not math.isfinite(value):
            raise ParseError("no JSON")
        return _float_text(value)
    if 0xCC <= marker <= 0xD3:
        return str(int.from_bytes(payload, "big", signed=marker >= 0xD0))
    if marker in (0xC0, 0xC2, 0xC3):
        return {0xC0: "null", 0xC2: "false", 0xC3: "true"}[marker]
    return str(marker if marker < 0x80 else marker - 256)


def msgpack_to_json(buf: bytes) -> bytes:
    try:
        frame = _frame(buf, 0, 10**6)
    except Incomplete:
        raise ParseError("incomplete") from None
    if frame.end < len(buf):
        raise ParseError("something follows")
    return _unpack(frame).encode()


def _bytes_in_order(buf: bytes, max_depth: int) -> int:
    """How many bytes of a message can be read before one is refused; 0 when only its content is."""
    for end in range(len(buf) + 1):
        try:
            _frame(buf[:end], 0, max_depth, top=True)
            return 0
        except Incomplete:
            pass
        except (ParseError, DepthExceeded):
            return end - 1
    return 0


def split_msgpack(stream: bytes, max_bytes: int, max_depth: int) -> tuple[list[bytes | None], str | None]:
    """Messages as JSON, and the class of error that the stream ends with."""
    found: list[bytes | None] = []
    at = 0
    while at < len(stream):
        try:
            frame = _frame(stream, at, max_depth, top=True)
            if frame.end - at > max_bytes:
                found.append(None)
            else:
                text = _unpack(frame).encode()
                found.append(text if len(text) <= max_bytes else None)
            at = frame.end
        except Incomplete:
            if len(stream) - at > max_bytes:
                found.append(None)
            return found, None
        except (ParseError, DepthExceeded) as error:
            if _bytes_in_order(stream[at:], max_depth) > max_bytes:
                found.append(None)
            return found, type(error).__name__
    return found, None
