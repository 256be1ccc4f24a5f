"""What a plugin may ask to be sent by HTTP, and where to."""

from __future__ import annotations

import json
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate.pipeline.upstream.plugin_request import REQUEST_BYTES, Asked, Door, Refused, doors, read_request

GRANTED = ("api.example.com", "box.lan:8080", "127.0.0.1", "[::1]:81")


def asked(request: str | dict[str, object], granted: tuple[str, ...] = GRANTED) -> Asked:
    return read_request(request if isinstance(request, str) else json.dumps(request), doors(granted))


def refusal(request: str | dict[str, object], granted: tuple[str, ...] = GRANTED) -> str:
    with pytest.raises(Refused) as caught:
        asked(request, granted)
    return str(caught.value)


# -- what is granted ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "sent_to"),
    [
        ("https://api.example.com", "https://api.example.com/"),
        ("https://api.example.com:443/a?b=c#d", "https://api.example.com/a?b=c"),
        ("HTTPS://API.Example.COM/A", "https://api.example.com/A"),
        ("https://api.example.com?q=//evil@x", "https://api.example.com/?q=//evil@x"),
        ("https://api.example.com//evil.com/", "https://api.example.com//evil.com/"),
        ("http://box.lan:8080/x", "http://box.lan:8080/x"),
        ("https://box.lan:8080/x", "https://box.lan:8080/x"),
        ("http://127.0.0.1/", "http://127.0.0.1/"),
        ("https://127.0.0.1/", "https://127.0.0.1/"),
        ("http://[::1]:81/", "http://[::1]:81/"),
        ("http://[0:0:0:0:0:0:0:1]:81/", "http://[::1]:81/"),
    ],
)
def test_a_granted_host_is_reached_under_one_spelling(url: str, sent_to: str) -> None:
    assert asked({"url": url}) == Asked("GET", sent_to, (), b"")


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/",
        "https://api.example.com:8443/",
        "https://api.example.com:0/",
        "https://api.example.com:99999/",
        "https://api.example.com:/",
        "https://api.example.com./",
        "https://x.api.example.com/",
        "https://example.com/",
        "https://api.example.com.evil.com/",
        "https://api.example.com@evil.com/",
        "https://user:word@api.example.com/",
        "https://evil.com#@api.example.com/",
        "https://evil.com\\@api.example.com/",
        "https://evil.com\\.api.example.com/",
        "https://api.example.com%2eevil.com/",
        "https://api.example.com\t.evil.com/",
        "https://api.example.com /",
        "https://api.example.com/a b",
        "https://api.example.com/\r\nHost: evil.com",
        "https://api.example.com/\u00e9",
        "https://ap\u0131.example.com/",
        "https:/api.example.com/",
        "https:api.example.com",
        "//api.example.com/",
        "/etc/passwd",
        "file:///etc/passwd",
        "ftp://api.example.com/",
        "https://",
        "https:///a",
        "",
        "http://box.lan/",
        "https://box.lan/",
        "http://127.0.0.2/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::1]/",
        "http://[::1%25lo]:81/",
        "http://localhost/",
        "https://" + "a." * 5000,
    ],
)
def test_nothing_else_is_reached(url: str) -> None:
    assert refusal({"url": url})


def test_the_error_says_what_was_not_granted() -> None:
    assert refusal({"url": "http://evil.com/"}) == "`http` to `evil.com` on port 80 is not granted"


def test_a_grant_stands_for_few_places() -> None:
    assert doors(()) == frozenset()
    assert doors(("h",)) == {Door("https", "h", 443)}
    assert doors(("h:9",)) == {Door("https", "h", 9), Door("http", "h", 9)}
    assert doors(("localhost",)) == {Door("https", "localhost", 443), Door("http", "localhost", 80)}
    assert doors(("[FE80::1]:8", "1.2.3.4:5")) == {
        Door(scheme, host, port) for scheme in ("http", "https") for host, port in (("fe80::1", 8), ("1.2.3.4", 5))
    }
    assert doors(("h:0", "h:70000", "[h]", "1.2.3", "01.2.3.4", "", "*.h", "a b", "h.")) == frozenset()


# -- what a request may be --------------------------------------------------------------------------------------------

URL = "https://api.example.com/"


def test_all_parts_of_a_request_are_read() -> None:
    text: dict[str, object] = {
        "method": "POST",
        "url": URL,
        "headers": {"X-One": "1\t2", "authorization": "Bearer x"},
        "body": "h\u00e9",
    }
    assert asked(text) == Asked("POST", URL, (("x-one", "1\t2"), ("authorization", "Bearer x")), "h\u00e9".encode())
    assert asked({"url": URL, "method": "PUT", "bodyBase64": "/wA="}).body == b"\xff\0"
    assert asked({"url": URL, "body": None, "other": 1}).body == b""


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ("", "no JSON object"),
        ("[]", "no JSON object"),
        ("null", "no JSON object"),
        ('{"url":1', "no JSON object"),
        ('{"url":"https://api.example.com/"} {}', "no JSON object"),
        ('{"url":"https://api.example.com/","url":"https://evil.com/"}', "no JSON object"),
        ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", "no `url`"),
        ('{"url":"\\ud800"}', "visible ASCII"),
        ({}, "no `url`"),
        ({"url": None}, "no `url`"),
        ({"url": 7}, "`url` is no string"),
        ({"url": ["https://api.example.com/"]}, "`url` is no string"),
        ({"url": URL + "a" * 9000}, "`url` has at most"),
        ({"url": URL, "method": "CONNECT"}, "the method is none"),
        ({"url": URL, "method": "get"}, "the method is none"),
        ({"url": URL, "method": "GET / HTTP/1.1\r\n\r\nGET"}, "`method` has at most"),
        ({"url": URL, "headers": []}, "no JSON object"),
        ({"url": URL, "headers": {"a": 1}}, "no line of ASCII"),
        ({"url": URL, "headers": {"a": "b\r\nc: d"}}, "no line of ASCII"),
        ({"url": URL, "headers": {"a": "b\0"}}, "no line of ASCII"),
        ({"url": URL, "headers": {"a": "\u00e9"}}, "no line of ASCII"),
        ({"url": URL, "headers": {"a b": "c"}}, "does not belong"),
        ({"url": URL, "headers": {"a:": "c"}}, "does not belong"),
        ({"url": URL, "headers": {"": "c"}}, "does not belong"),
        ({"url": URL, "headers": {"\u212a": "c"}}, "does not belong"),
        ({"url": URL, "headers": {"A": "b", "a": "c"}}, "twice"),
        ('{"url":"https://api.example.com/","headers":{"a":"b","a":"c"}}', "twice"),
        ({"url": URL, "headers": {f"h{n}": "" for n in range(65)}}, "at most 64 headers"),
        ({"url": URL, "headers": {"a": "b" * 20_000}}, "`headers` has at most"),
        ({"url": URL, "body": {"a": 1}}, "`body` is no string"),
        ({"url": URL, "body": "a", "bodyBase64": "YQ=="}, "either"),
        ({"url": URL, "bodyBase64": "Y*Q="}, "no base64"),
        ('{"url":"https://api.example.com/","body":"\\ud800"}', "no JSON object"),
        ({"url": URL, "body": "b" * REQUEST_BYTES}, "a request has at most"),
        (
            '{"url":"https://api.example.com/","body":"' + "\u20ac" * (REQUEST_BYTES // 3) + '"}',
            "a request has at most",
        ),
    ],
)
def test_what_is_no_request_is_refused_with_words(request_: str | dict[str, object], words: str) -> None:
    assert words in refusal(request_)


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "connection",
        "TRANSFER-ENCODING",
        "content-length",
        "Proxy-Authorization",
        "proxy-x",
        "Upgrade",
        "TE",
        "expect",
        "keep-alive",
        "accept-encoding",
        "trailer",
        "via",
    ],
)
def test_headers_of_the_connection_are_not_the_guests(name: str) -> None:
    assert "the gateway's own" in refusal({"url": URL, "headers": {name: "x"}})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_PARTS = st.sampled_from(
    [
        *"/\\@:#?%[]. \t\r\n\0\u3002\uff0f\u0131a",
        *[
            "https:",
            "http:",
            "//",
            "api.example.com",
            "evil.com",
            "127.0.0.1",
            "::1",
            "box.lan",
            "8080",
            "443",
            "%0d%0a",
        ],
    ]
)
_URLS = st.lists(_PARTS, max_size=12).map("".join) | st.lists(_PARTS, max_size=8).map(
    lambda parts: "https://api.example.com" + "".join(parts)
)


@given(
    st.fixed_dictionaries(
        {"url": _URLS | st.text()},
        optional={
            "method": st.sampled_from(["GET", "POST", "X Y"]) | _JSON,
            "headers": st.dictionaries(st.text(max_size=12), st.text(max_size=12) | _JSON, max_size=4) | _JSON,
            "body": st.text() | _JSON,
            "bodyBase64": st.text() | _JSON,
        },
    )
)
@example({"url": "https://api.example.com/", "headers": {"a": "b"}})
def test_whatever_is_asked_goes_to_a_granted_place_on_one_line_each_or_nowhere(request: dict[str, object]) -> None:
    try:
        read = asked(request)
    except Refused:
        return
    parts = urlsplit(read.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    assert Door(parts.scheme, parts.hostname or "", port) in doors(GRANTED)
    assert parts.username is None
    assert read.url.isascii()
    assert read.url.isprintable()
    assert " " not in read.url
    for name, value in read.headers:
        assert name.isascii()
        assert value.isascii()
        assert not set(name + value) & set("\r\n\0")
        assert not name.startswith(("proxy-", "host", "content-length", "transfer-"))


@given(st.text() | _JSON.map(json.dumps))
def test_any_text_is_a_request_or_refused(text: str) -> None:
    with suppress(Refused):
        asked(text)
