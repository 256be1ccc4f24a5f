"""HTTP for plugins: what they may ask for, where a name may lead, and what they get."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from http_backend import WAIT_S, Served, answer, backend, http_client, until
from hypothesis import example, given
from hypothesis import strategies as st
from test_http_client import ask

from tidegate.clock import Clock, ManualClock
from tidegate.config.snapshot import Limits
from tidegate.errors import TidegateError
from tidegate.pipeline.upstream import plugin_http
from tidegate.pipeline.upstream.address_guard import may_lead_to
from tidegate.pipeline.upstream.plugin_http import PluginHttp, Sending
from tidegate.pipeline.upstream.plugin_request import REQUEST_BYTES, Asked, Door, Refused, doors, read_request

pytestmark = pytest.mark.anyio

GRANTED = ("api.example.com", "box.lan:8080", "127.0.0.1", "[::1]:81")


class Told:
    """What the guest is answered."""

    def __init__(self) -> None:
        self.times = 0
        self.answer: dict[str, Any] = {}
        self.why = ""
        self._over = asyncio.Event()

    def __call__(self, text: bytes | None, error: TidegateError | None) -> None:
        assert (text is None) != (error is None)
        self.times += 1
        self.answer = json.loads(text) if text else {}
        self.why = str(error)
        self._over.set()

    async def end(self) -> Told:
        async with asyncio.timeout(WAIT_S):
            await self._over.wait()
        assert self.times == 1
        return self


@asynccontextmanager
async def plugin_http_client(clock: Clock | None = None, ca_file: str = "") -> AsyncIterator[PluginHttp]:
    http = PluginHttp(Limits(), clock or Clock(), ca_file=ca_file)
    try:
        yield http
    finally:
        async with asyncio.timeout(WAIT_S):
            await http.aclose()


def send(http: PluginHttp, url: str, *granted: str, **more: object) -> tuple[Told, Sending]:
    told = Told()
    request = json.dumps({"url": url, **more})
    return told, http.fetch("ours", request, granted or (urlsplit(url).netloc,), 30.0, told)


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


# -- where a name may lead ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "93.184.216.34",
        "10.0.0.7",
        "192.168.1.4",
        "172.16.0.1",
        "2606:2800:220:1::1",
        "fd12:3456::1",
        "64:ff9b::808:808",
    ],
)
def test_a_name_may_lead_elsewhere(address: str) -> None:
    assert may_lead_to("api.example.com", address, False)
    assert not may_lead_to("api.example.com", address, True)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "100.100.100.200",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "fe80::1",
        "fe80::1%eth0",
        "ff02::1",
        "fd00:ec2::254",
        "nonsense",
    ],
)
def test_a_name_may_not_lead_to_this_box_or_to_a_clouds_metadata(address: str) -> None:
    assert not may_lead_to("api.example.com", address, False)
    assert not may_lead_to("localhost.evil.com", address, False)


def test_an_address_leads_to_itself_alone_and_localhost_to_this_box() -> None:
    assert may_lead_to("127.0.0.1", "127.0.0.1", True)
    assert may_lead_to("169.254.169.254", "169.254.169.254", False)
    assert may_lead_to("192.168.1.4", "192.168.1.4", True)
    assert not may_lead_to("127.0.0.1", "127.0.0.2", False)
    assert may_lead_to("localhost", "127.0.0.1", True)
    assert may_lead_to("localhost", "::1", True)
    assert not may_lead_to("localhost", "10.0.0.1", False)


def resolving(monkeypatch: pytest.MonkeyPatch, *rounds: Sequence[str]) -> None:
    """Every name leads to these addresses; the next time to the next ones."""
    loop = asyncio.get_running_loop()
    left = list(rounds)

    async def getaddrinfo(host: str, port: int, **more: object) -> list[tuple[object, ...]]:
        found = left.pop(0) if len(left) > 1 else left[0]
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found
        ]

    try:
        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    except AttributeError:
        pytest.skip("this loop is not to be patched")


async def test_a_name_that_leads_here_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    async with backend(always("secret")) as site, plugin_http_client() as http:
        resolving(monkeypatch, ["127.0.0.1", "169.254.169.254"])
        told, _ = send(http, f"http://api.example.com:{urlsplit(site.url).port}/")
        await told.end()
        assert "not to be reached under a name" in told.why
        assert "127.0.0.1" not in told.why
        assert site.opened == 0


async def test_of_the_addresses_of_a_name_only_those_elsewhere_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    # Loopback stands for "elsewhere" here, another address of this box for what is not to be reached.
    seen = []

    def guard(host: str, address: str, own: bool) -> bool:
        seen.append((host, address, own))
        return address == "127.0.0.1"

    async with backend(always("here"), host="127.0.0.1") as site, http_client(guard=guard) as client:
        resolving(monkeypatch, ["127.0.0.9", "127.0.0.1"])
        heard, _ = ask(client, f"http://name.example:{urlsplit(site.url).port}/")
        await heard.end()
        assert heard.body == b"here"
        assert seen[:2] == [("name.example", "127.0.0.9", False), ("name.example", "127.0.0.1", False)]
        assert seen[2:] == [("name.example", "127.0.0.1", True)]


async def test_what_turns_out_to_be_this_box_hears_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def listening(served: Served) -> None:
        heard.append(await served.asked())

    heard: list[object] = []
    async with backend(listening) as site, http_client(guard=lambda host, address, own: not own) as client:
        resolving(monkeypatch, ["127.0.0.1"])
        told, _ = ask(client, f"http://name.example:{urlsplit(site.url).port}/")
        await told.end()
        assert "not to be reached" in str(told.error)
        await until(lambda: heard == [None])
        await until(lambda: not any(pool["open"] for pool in client.statistics().values()))


async def test_a_name_is_judged_again_for_each_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []

    def guard(host: str, address: str, own: bool) -> bool:
        if not own:
            judged.append(address)
        return address == "127.0.0.1"

    async with backend(once("first")) as site, http_client(guard=guard) as client:
        resolving(monkeypatch, ["127.0.0.1"], ["127.0.0.9"])
        url = f"http://name.example:{urlsplit(site.url).port}/"
        heard, _ = ask(client, url)
        assert (await heard.end()).body == b"first"
        await until(lambda: not any(pool["open"] for pool in client.statistics().values()))
        heard, _ = ask(client, url)
        await heard.end()
        assert "not to be reached" in str(heard.error)
        assert judged == ["127.0.0.1", "127.0.0.9"]


async def test_the_certificate_has_to_be_of_the_name_and_not_of_the_address(
    monkeypatch: pytest.MonkeyPatch, tls_pair: Any, tls_ca: str
) -> None:
    async with (
        backend(always("safe"), tls=tls_pair[0]) as site,
        http_client(ca_file=tls_ca, guard=lambda host, address, own: True) as client,
    ):
        resolving(monkeypatch, ["127.0.0.1"])
        heard, _ = ask(client, site.url)
        assert (await heard.end()).body == b"safe"
        heard, _ = ask(client, site.url.replace("localhost", "name.example"))
        await heard.end()
        assert "certificate" in str(heard.error).lower()


# -- what comes back --------------------------------------------------------------------------------------------------


def always(body: str) -> Callable[[Served], Awaitable[None]]:
    async def script(served: Served) -> None:
        while await served.asked():
            await served.say(answer(body.encode()))

    return script


def once(body: str) -> Callable[[Served], Awaitable[None]]:
    async def script(served: Served) -> None:
        await served.asked()
        await served.say(answer(body.encode(), "Connection: close"))

    return script


def saying(data: bytes) -> Callable[[Served], Awaitable[None]]:
    async def script(served: Served) -> None:
        await served.asked()
        await served.say(data)

    return script


async def test_a_request_arrives_as_it_was_asked_and_its_response_is_told() -> None:
    async def script(served: Served) -> None:
        asked = await served.asked()
        assert asked is not None
        assert (asked.method, asked.target, asked.body) == ("POST", "/a?b=%20c", b"h\xc3\xa9")
        assert asked.headers["x-one"] == "1"
        assert asked.headers["host"] == urlsplit(site.url).netloc
        await served.say(
            answer(b"gr\xc3\xbc\xc3\x9fe", "X-Two: 2", "Set-Cookie: a", "Set-Cookie: b", status="201 Made")
        )

    async with backend(script) as site, plugin_http_client() as http:
        url = site.url.replace("/mcp", "/a?b=%20c")
        told, _ = send(http, url, method="POST", headers={"X-One": "1"}, body="h\u00e9")
        assert (await told.end()).answer == {
            "status": 201,
            "headers": {"content-length": "7", "x-two": "2", "set-cookie": "a, b"},
            "body": "gr\u00fc\u00dfe",
        }


async def test_a_body_that_is_no_text_is_told_in_base64() -> None:
    async with backend(saying(answer(b"\xff\0"))) as site, plugin_http_client() as http:
        told, _ = send(http, site.url)
        assert base64.b64decode((await told.end()).answer["bodyBase64"]) == b"\xff\0"
        assert "body" not in told.answer


async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    redirect = answer(b"", "Location: http://127.0.0.1:1/", status="302 Found")
    async with backend(saying(redirect)) as site, plugin_http_client() as http:
        told, _ = send(http, site.url)
        assert (await told.end()).answer["status"] == 302
        assert told.answer["headers"]["location"] == "http://127.0.0.1:1/"
        assert site.opened == 1


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
async def test_a_response_over_the_bound_is_broken_off(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    async def script(served: Served) -> None:
        await served.asked()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        await served.say(head.encode())
        while not served.writer.is_closing():
            await served.say(b"400\r\n" + b"x" * 1024 + b"\r\n")

    monkeypatch.setattr(plugin_http, "RESPONSE_BYTES", 100_000)
    async with backend(script) as site, plugin_http_client() as http:
        told, _ = send(http, site.url)
        await told.end()
        assert told.why == "the response is larger than 100000 bytes"
        await until(lambda: not any(pool["open"] for pool in http.statistics().values()))


async def test_a_response_of_exactly_the_bound_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_http, "RESPONSE_BYTES", 1000)
    async with backend(saying(answer(b"x" * 1000))) as site, plugin_http_client() as http:
        told, _ = send(http, site.url)
        assert (await told.end()).answer["body"] == "x" * 1000


async def test_a_server_that_answers_nothing_is_given_up_at_the_deadline() -> None:
    clock = ManualClock()
    waiting = asyncio.Event()

    async def script(served: Served) -> None:
        await served.asked()
        waiting.set()
        await served.gone()

    async with backend(script) as site, plugin_http_client(clock) as http:
        told = Told()
        http.fetch("ours", json.dumps({"url": site.url}), (urlsplit(site.url).netloc,), 2.0, told)
        async with asyncio.timeout(WAIT_S):
            await waiting.wait()
        clock.advance(2.5)
        http._client._deadlines.expire()
        await told.end()
        assert "did not answer within 2 s" in told.why


async def test_nothing_is_told_to_a_call_that_was_cancelled() -> None:
    gone = asyncio.Event()

    async def script(served: Served) -> None:
        await served.asked()
        arrived.set()
        assert await served.gone()
        gone.set()

    arrived = asyncio.Event()
    async with backend(script) as site, plugin_http_client() as http:
        told, sending = send(http, site.url)
        async with asyncio.timeout(WAIT_S):
            await arrived.wait()
            sending.cancel()
            await gone.wait()
        assert told.times == 0


async def test_what_is_not_granted_is_answered_at_once_and_nothing_is_opened() -> None:
    async with backend(always("x")) as site, plugin_http_client() as http:
        told, sending = send(http, site.url, "api.example.com")
        assert told.times == 1
        assert "is not granted" in told.why
        sending.cancel()
        assert site.opened == 0


async def test_plugins_share_no_connection() -> None:
    async with backend(always("x")) as site, plugin_http_client() as http:
        for plugin in ("ours", "theirs", "ours"):
            told = Told()
            http.fetch(plugin, json.dumps({"url": site.url}), (urlsplit(site.url).netloc,), 30.0, told)
            await told.end()
        assert site.opened == 2


async def test_localhost_is_reached_when_it_was_granted() -> None:
    async with backend(always("x")) as site, plugin_http_client() as http:
        told, _ = send(http, site.url.replace("127.0.0.1", "localhost"))
        assert (await told.end()).answer["body"] == "x"


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda rest: b"HTTP/1.1 200 OK\r\n" + rest))
@example(b"HTTP/1.1 200 OK\r\nX: \xff\r\nContent-Length: 0\r\n\r\n")
def test_whatever_a_server_says_the_guest_is_told_once(data: bytes) -> None:
    async def run() -> None:
        async with backend(saying(data)) as site, plugin_http_client() as http:
            told, _ = send(http, site.url)
            await told.end()

    asyncio.run(run())
