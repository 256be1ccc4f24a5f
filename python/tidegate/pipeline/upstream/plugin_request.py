"""What a plugin asks to be sent by HTTP, held against what it was granted.

`plugin_http.py` calls `read_request`; below is the codec. The request is a stranger's: it is read piece by piece, each
part is bounded before it is decoded, because that happens on the event loop, and the URL that goes on is built from
parts that were looked at, so that nobody reads it differently. This never resolves a name.

A grant `host` stands for `https` on port 443; `host:port` for that port alone, by `https` or `http`. Loopback hosts may
be reached by `http` on port 80 without naming it.
"""

from __future__ import annotations

import re
from base64 import b64decode
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from tidegate.config.address import is_loopback
from tidegate.errors import TidegateError
from tidegate.pipeline.codec import find_member, member_spans
from tidegate.pipeline.json_text import json_value

REQUEST_BYTES: Final = 256 * 1024
"""Of a request as a guest writes it."""
_URL_BYTES: Final = 8192
_HEADER_BYTES: Final = 16 * 1024
"""Of all of a request's header fields, as the guest writes them."""
_HEADERS_MAX: Final = 64

_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_URL: Final = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.ASCII | re.IGNORECASE)
_PLACE: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.ASCII)
_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*", re.ASCII)
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)
_TOKEN: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_VALUE: Final = re.compile(r"[\x20-\x7e\t]*", re.ASCII)
_NOT_THEIRS: Final = frozenset(
    (
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    )
)
"""Of the connection, or said by the gateway. So is what begins with `proxy-`."""


class Door(NamedTuple):
    """What a request may be sent to."""

    scheme: str
    host: str
    """In lower case, addresses in their shortest spelling, IPv6 without brackets."""
    port: int


class Asked(NamedTuple):
    """A request that may be sent."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Refused(Exception):
    """The request is not sent. Its text is for the guest."""


# -- what was granted -------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def doors(granted: tuple[str, ...]) -> frozenset[Door]:
    """What hosts, as the configuration has them, stand for. One that could not be meant by any URL is none."""
    found: set[Door] = set()
    for text in granted:
        try:
            host, port = _place(text.lower())
        except ValueError:
            continue
        if port is not None:
            found |= {Door("https", host, port), Door("http", host, port)}
            continue
        found.add(Door("https", host, 443))
        if is_loopback(host):
            found.add(Door("http", host, 80))
    return frozenset(found)


def _place(text: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `[address]` and `[address]:port`. Raises: ValueError."""
    match = _PLACE.fullmatch(text)
    if match is None:
        raise ValueError("no host")
    host, port_text = match[1], match[2]
    port = None if port_text is None else int(port_text)
    if port is not None and not 0 < port < 65536:
        raise ValueError("no port")
    if host.startswith("["):
        return str(IPv6Address(host[1:-1])), port
    if re.fullmatch(r"[0-9.]+", host):
        return str(IPv4Address(host)), port
    if len(host) > 253 or _NAME.fullmatch(host) is None:
        raise ValueError("no host")
    return host, port


# -- what a guest asks for ----------------------------------------------------------------------------------------


def read_request(request: str, granted: frozenset[Door]) -> Asked:
    """The request, rebuilt from parts that were looked at one by one.

    Raises: Refused.
    """
    if len(request) > REQUEST_BYTES:
        raise Refused(f"a request has at most {REQUEST_BYTES} bytes")
    try:
        text = request.encode()
        if len(text) > REQUEST_BYTES:
            raise Refused(f"a request has at most {REQUEST_BYTES} bytes")
        method = _string(text, "method", 16) or "GET"
        url = _string(text, "url", _URL_BYTES)
        headers = _headers(text)
        body = _body(text)
    except (TidegateError, UnicodeEncodeError) as error:
        raise Refused(f"the request is no JSON object that can be read: {error}") from None
    if method not in _METHODS:
        raise Refused(f"the method is none of {', '.join(sorted(_METHODS))}")
    if url is None:
        raise Refused("the request has no `url`")
    return Asked(method, _url(url, granted), headers, body)


def _url(url: str, granted: frozenset[Door]) -> str:
    match = _URL.fullmatch(url) if _PRINTABLE.fullmatch(url) else None
    if match is None:
        raise Refused("`url` is no `https://` or `http://` URL of visible ASCII letters")
    scheme, authority, path, query = match[1].lower(), match[2], match[3], match[4] or ""
    if "@" in authority:
        raise Refused("`url` has credentials in it; they belong into a header")
    try:
        host, port = _place(authority.lower())
    except ValueError:
        raise Refused("`url` has no host that can be meant by it") from None
    usual = 443 if scheme == "https" else 80
    if Door(scheme, host, port or usual) not in granted:
        raise Refused(f"`{scheme}` to `{host}` on port {port or usual} is not granted")
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}{'' if port in (None, usual) else f':{port}'}{path or '/'}{query}"


def _headers(text: bytes) -> tuple[tuple[str, str], ...]:
    span = find_member(text, "headers")
    if span is None:
        return ()
    if span[1] - span[0] > _HEADER_BYTES:
        raise Refused(f"`headers` has at most {_HEADER_BYTES} bytes")
    members = member_spans(text, *span)
    if len(members) > _HEADERS_MAX:
        raise Refused(f"a request has at most {_HEADERS_MAX} headers")
    headers: dict[str, str] = {}
    for key, start, end in members:
        name = key.lower()
        if not key.isascii() or _TOKEN.fullmatch(name) is None:
            raise Refused("a header's name has a character that does not belong there")
        if name in _NOT_THEIRS or name.startswith("proxy-"):
            raise Refused(f"the header `{name}` is the gateway's own")
        if name in headers:
            raise Refused(f"the header `{name}` is there twice")
        value = _decoded(text, start, end)
        if value is None or _VALUE.fullmatch(value) is None:
            raise Refused(f"the header `{name}` is no line of ASCII text")
        headers[name] = value
    return tuple(headers.items())


def _body(text: bytes) -> bytes:
    plain = _string(text, "body", REQUEST_BYTES)
    encoded = _string(text, "bodyBase64", REQUEST_BYTES)
    if encoded is None:
        return (plain or "").encode()
    if plain is not None:
        raise Refused("a request has either `body` or `bodyBase64`")
    try:
        return b64decode(encoded, validate=True)
    except ValueError:
        raise Refused("`bodyBase64` is no base64") from None


def _string(text: bytes, key: str, most: int) -> str | None:
    """A member that has to be a string. `most`: bytes, as it is written."""
    span = find_member(text, key)
    if span is None or text[span[0] : span[1]] == b"null":
        return None
    if span[1] - span[0] > most + 2:
        raise Refused(f"`{key}` has at most {most} bytes")
    value = _decoded(text, *span)
    if value is None:
        raise Refused(f"`{key}` is no string")
    return value


def _decoded(text: bytes, start: int, end: int) -> str | None:
    if text[start : start + 1] != b'"':
        return None
    value = json_value(text[start:end])
    return value if isinstance(value, str) else None
