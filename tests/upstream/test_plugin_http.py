"""HTTP for plugins: to where their requests are connected, and what they get."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
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
from tidegate.pipeline.upstream.plugin_http import PluginHttp, Sending

pytestmark = pytest.mark.anyio


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


# -- where a name leads ---------------------------------------------------------------------------------------------


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
