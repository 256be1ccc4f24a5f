"""The client side of HTTP/1.1 against servers that behave, misbehave and vanish."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import pytest
from http_backend import Heard, Served, answer, backend, http_client, until

from tidegate.clock import ManualClock
from tidegate.config.snapshot import Limits
from tidegate.errors import (
    Overloaded,
    ShuttingDown,
    TidegateError,
    UpstreamClosed,
    UpstreamProtocol,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tidegate.pipeline.upstream import connection_pool
from tidegate.pipeline.upstream.http_client import HttpCall, HttpClient
from tidegate.pipeline.upstream.http_connection import HttpConnection

pytestmark = pytest.mark.anyio


def ask(
    client: HttpClient,
    url: str,
    body: bytes = b"{}",
    *,
    method: str = "POST",
    headers: tuple[tuple[str, str], ...] = (),
    deadline_s: float | None = 30.0,
    repeatable: bool = True,
) -> tuple[Heard, HttpCall]:
    heard = Heard()
    return heard, client.request(method, url, headers, body, heard, deadline_s=deadline_s, repeatable=repeatable)


def saying(*replies: bytes) -> Callable[[Served], Awaitable[None]]:
    """One reply a request, on each connection from the first one on; then the connection closes."""

    async def script(served: Served) -> None:
        for reply in replies:
            if await served.asked() is None:
                return
            await served.say(reply)

    return script


async def always_ok(served: Served) -> None:
    while asked := await served.asked():
        await served.say(answer(asked.body))


async def never(served: Served) -> None:
    await served.asked()
    await served.gone()


async def failure(
    script: Callable[[Served], Awaitable[None]], limits: Limits | None = None
) -> tuple[TidegateError, Heard]:
    """What a single request on a fresh connection fails with."""
    async with backend(script) as site, http_client(limits=limits) as client:
        heard = await ask(client, site.url)[0].end()
        assert heard.error is not None
        assert site.opened == 1
        return heard.error, heard


# -- requests and reuse -----------------------------------------------------------------------------------


async def test_the_request_arrives_as_it_was_asked_for() -> None:
    async def script(served: Served) -> None:
        asked = await served.asked()
        assert asked is not None
        assert (asked.method, asked.target, asked.body) == ("POST", "/mcp?a=b%20c", b"body")
        assert asked.headers == {
            "host": site.url.split("/")[2],
            "accept": "text/event-stream",
            "x-padded": "value",
            "content-length": "4",
        }
        await served.say(answer(b"{}", "X-One: a", "X-ONE: b"))

    async with backend(script) as site, http_client() as client:
        headers = (("accept", "text/event-stream"), ("x-padded", " value\n"), ("Connection", "close"))
        heard = await ask(client, site.url + "?a=b c#d", b"body", headers=headers)[0].end()
        assert (heard.status, heard.body, heard.ends) == (200, b"{}", 1)
        assert heard.headers["x-one"] == "a, b"


async def test_connections_are_reused() -> None:
    async with backend(always_ok) as site, http_client() as client:
        for number in range(5):
            assert (await ask(client, site.url, b"%d" % number)[0].end()).body == b"%d" % number
        assert site.opened == 1


async def test_a_request_made_while_a_response_ends_takes_the_same_connection() -> None:
    async with backend(always_ok) as site, http_client() as client:
        second = Heard()
        first, _ = ask(client, site.url)

        def go_on() -> None:
            client.request("POST", site.url, (), b"2", second, deadline_s=5)

        first.on_end = go_on
        assert (await second.end()).body == b"2"
        assert site.opened == 1


@pytest.mark.parametrize("reply", [answer(b"a", "Connection: close"), b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na"])
async def test_a_connection_that_is_to_close_is_not_reused(reply: bytes) -> None:
    async def script(served: Served) -> None:
        await served.asked()
        await served.say(reply)
        await served.gone()

    async with backend(script) as site, http_client() as client:
        for _ in range(2):
            assert (await ask(client, site.url)[0].end()).body == b"a"
        assert site.opened == 2


async def test_a_connection_with_something_behind_the_response_is_not_reused() -> None:
    async def script(served: Served) -> None:
        await served.asked()
        await served.say(answer(b"a") + answer(b"poison"))
        await served.gone()

    async with backend(script) as site, http_client() as client:
        for _ in range(2):
            assert (await ask(client, site.url)[0].end()).body == b"a"
        assert site.opened == 2


async def test_something_said_on_an_idle_connection_closes_it() -> None:
    async def script(served: Served) -> None:
        await served.asked()
        await served.say(answer(b"a"))
        await idle.wait()
        await served.say(answer(b"poison"))
        assert await served.gone()

    idle = asyncio.Event()
    async with backend(script) as site, http_client() as client:
        assert (await ask(client, site.url)[0].end()).body == b"a"
        idle.set()
        await until(lambda: all(pool["open"] == 0 for pool in client.statistics().values()))


async def test_requests_at_the_same_time_have_connections_of_their_own() -> None:
    async with backend(always_ok) as site, http_client() as client:
        heard = [ask(client, site.url, b"%d" % number)[0] for number in range(10)]
        assert [(await one.end()).body for one in heard] == [b"%d" % number for number in range(10)]
        assert site.opened == 10


async def test_requests_over_the_maximum_wait_and_over_the_queue_fail() -> None:
    async with backend(always_ok) as site, http_client(connections=2, queued=3) as client:
        heard = [ask(client, site.url, b"%d" % number)[0] for number in range(6)]
        assert not any(one.over for one in heard)
        assert [(await one.end()).body for one in heard[:5]] == [b"%d" % number for number in range(5)]
        assert isinstance((await heard[5].end()).error, Overloaded)
        assert site.opened == 2


async def test_an_idle_connection_is_closed_in_the_end() -> None:
    clock = ManualClock()
    async with backend(always_ok) as site, http_client(clock=clock) as client:
        await ask(client, site.url)[0].end()
        clock.advance(61)
        client._deadlines.expire()
        await until(lambda: all(pool["open"] == 0 for pool in client.statistics().values()))
        assert not client._deadlines.armed


# -- stale connections ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_on_a_stale_connection_is_sent_again_on_a_fresh_one(method: str) -> None:
    async def script(served: Served) -> None:
        await served.asked()
        await served.say(answer(b"%d" % served.number))
        if served.number == 1:
            assert await served.asked() is not None
            served.writer.close()

    async with backend(script) as site, http_client() as client:
        assert (await ask(client, site.url, method=method)[0].end()).body == b"1"
        assert (await ask(client, site.url, method=method)[0].end()).body == b"2"
        assert site.opened == 2


async def test_it_is_sent_again_only_once() -> None:
    async def script(served: Served) -> None:
        if await served.asked() and served.number == 1:
            await served.say(answer())
            await served.asked()

    async with backend(script) as site, http_client() as client:
        await ask(client, site.url)[0].end()
        assert isinstance((await ask(client, site.url)[0].end()).error, UpstreamClosed)
        assert site.opened == 2


async def test_what_acts_is_never_sent_again() -> None:
    async def script(served: Served) -> None:
        await served.asked()
        await served.say(answer())
        assert await served.asked() is not None
        served.writer.close()

    async with backend(script) as site, http_client() as client:
        await ask(client, site.url)[0].end()
        assert isinstance((await ask(client, site.url, repeatable=False)[0].end()).error, UpstreamClosed)
        assert site.opened == 1


async def test_a_post_that_a_server_worked_on_is_not_sent_again() -> None:
    clock = ManualClock()
    reached = asyncio.Event()

    async def script(served: Served) -> None:
        await served.asked()
        await served.say(answer())
        await served.asked()
        clock.advance(5)
        reached.set()

    async with backend(script) as site, http_client(clock=clock) as client:
        await ask(client, site.url)[0].end()
        assert isinstance((await ask(client, site.url)[0].end()).error, UpstreamClosed)
        assert reached.is_set()
        assert site.opened == 1


async def test_a_response_that_began_is_not_asked_for_again() -> None:
    async def script(served: Served) -> None:
        await served.asked()
        await served.say(answer())
        await served.asked()
        await served.say(b"HTTP/1.1 2")

    async with backend(script) as site, http_client() as client:
        await ask(client, site.url)[0].end()
        assert isinstance((await ask(client, site.url)[0].end()).error, UpstreamClosed)
        assert site.opened == 1


async def test_all_connections_gone_stale_at_once_are_replaced() -> None:
    closing = asyncio.Event()

    async def script(served: Served) -> None:
        await served.asked()
        await served.say(answer())
        if served.number > 4:
            return
        await closing.wait()
        await served.asked()

    async with backend(script) as site, http_client(connections=4) as client:
        for one in [ask(client, site.url)[0] for _ in range(4)]:
            assert (await one.end()).status == 200
        again = [ask(client, site.url)[0] for _ in range(4)]
        closing.set()
        assert [(await one.end()).status for one in again] == [200] * 4
        assert site.opened == 8


# -- responses --------------------------------------------------------------------------------------------

FRAMES = {
    "length": (answer(b"hello world"), b"hello world"),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: r\r\n\r\n",
        b"hello world",
    ),
    "nothing": (answer(b""), b""),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "interim": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + answer(b"x"), b"x"),
    "until close": (b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello"),
    "until close, nothing": (b"HTTP/1.1 200 OK\r\n\r\n", b""),
}


@pytest.mark.parametrize("frame", FRAMES)
async def test_a_response_may_be_split_at_every_byte(frame: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, body = FRAMES[frame]
    cut = 0

    class Split(HttpConnection):
        """Sees what it receives in two parts. Below it, the kernel might join them again."""

        __slots__ = ()

        def data_received(self, data: bytes) -> None:
            super().data_received(data[:cut])
            if data[cut:]:
                super().data_received(data[cut:])

    async def script(served: Served) -> None:
        while await served.asked():
            await served.say(raw)
            if frame.startswith("until close"):
                return

    monkeypatch.setattr(connection_pool, "HttpConnection", Split)
    async with backend(script) as site, http_client() as client:
        for position in range(1, len(raw)):
            cut = position
            heard = await ask(client, site.url)[0].end()
            assert (heard.error, heard.body, heard.ends) == (None, body, 1)


async def test_head_has_no_body_whatever_its_length_says() -> None:
    script = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", answer(b"next"))
    async with backend(script) as site, http_client() as client:
        heard = await ask(client, site.url, b"", method="HEAD")[0].end()
        assert (heard.headers["content-length"], heard.body) == ("5", b"")
        assert (await ask(client, site.url)[0].end()).body == b"next"
        assert site.opened == 1


async def test_an_event_stream_arrives_as_it_is_said() -> None:
    go = asyncio.Event()

    async def script(served: Served) -> None:
        await served.asked()
        await served.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await served.say(b"5\r\nfirst\r\n")
        await go.wait()
        await served.say(b"6\r\nsecond\r\n0\r\n\r\n")

    async with backend(script) as site, http_client() as client:
        heard, _ = ask(client, site.url, deadline_s=None)
        assert await heard.piece() == b"first"
        assert not heard.over
        go.set()
        assert (await heard.end()).body == b"firstsecond"


async def test_an_error_response_to_a_large_body_is_heard_before_all_of_it_is_sent() -> None:
    async def script(served: Served) -> None:
        await served._reader.readuntil(b"\r\n\r\n")
        await served.say(answer(b"no", status="413 Content Too Large"))
        await served.gone()

    async with backend(script) as site, http_client() as client:
        heard = await ask(client, site.url, b"x" * 50_000_000)[0].end()
        assert (heard.status, heard.body) == (413, b"no")
        await until(lambda: all(pool["open"] == 0 for pool in client.statistics().values()))


# -- failures ---------------------------------------------------------------------------------------------


async def test_a_server_that_closes_without_an_answer() -> None:
    async def script(served: Served) -> None:
        await served.asked()

    error, heard = await failure(script)
    assert isinstance(error, UpstreamClosed)
    assert not heard.status


@pytest.mark.parametrize("raw", [answer(b"12345")[:-1], FRAMES["chunked"][0][:-2], b"HTTP/1.1 200 OK\r\nX"])
async def test_a_server_that_closes_half_way(raw: bytes) -> None:
    error, _ = await failure(saying(raw))
    assert isinstance(error, UpstreamClosed)


@pytest.mark.parametrize(
    "raw",
    [
        b"hello, I am no HTTP server\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
    ],
)
async def test_what_is_not_http_is_said_to_be(raw: bytes) -> None:
    async def script(served: Served) -> None:
        await served.asked()
        await served.say(raw)
        assert await served.gone()

    error, _ = await failure(script)
    assert isinstance(error, UpstreamProtocol)
    assert "127.0.0.1" in str(error)


@pytest.mark.parametrize(
    "raw",
    [
        answer(b"x" * 1001),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1f4\r\n" + b"x" * 500 + b"\r\n1f5\r\n" + b"x" * 501,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001,
    ],
)
async def test_a_response_over_the_limit_names_it(raw: bytes) -> None:
    error, _ = await failure(saying(raw), Limits(result_bytes=1000))
    assert isinstance(error, UpstreamProtocol)
    assert "result_bytes" in str(error)


async def test_an_event_stream_has_no_limit_of_its_own() -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + b"x" * 5000
    async with backend(saying(raw)) as site, http_client(limits=Limits(result_bytes=1000)) as client:
        assert len((await ask(client, site.url)[0].end()).body) == 5000


async def test_nobody_listening_fails_every_call_that_waits() -> None:
    async with backend(never) as site:
        url = site.url
    async with http_client() as client:
        heard = [ask(client, url)[0] for _ in range(3)]
        for one in heard:
            assert isinstance((await one.end()).error, UpstreamUnreachable)
        assert client.statistics()[url.removesuffix("/mcp")] == {"open": 0, "idle": 0, "opening": 0, "queued": 0}


@pytest.mark.parametrize("url", ["ftp://x/", "http:///x", "/mcp", "http://x:99999/", "http://u:p@x/"])
async def test_a_bad_url_fails_without_being_called_back_early(url: str) -> None:
    async with http_client() as client:
        heard, _ = ask(client, url)
        assert not heard.over
        assert isinstance((await heard.end()).error, UpstreamUnreachable)


@pytest.mark.parametrize("field", [("x", "a\r\nb: c"), ("x y", "a"), ("x", "\u20ac"), ("", "a"), ("host", "a\r\nb: c")])
async def test_a_header_that_would_break_the_head_is_not_sent(field: tuple[str, str]) -> None:
    async with backend(never) as site, http_client() as client:
        heard, _ = ask(client, site.url, headers=(field,))
        assert isinstance((await heard.end()).error, UpstreamUnreachable)
        assert site.opened == 0


# -- deadlines and cancelling ------------------------------------------------------------------------------


async def test_a_deadline_passes_before_and_within_the_response() -> None:
    async def script(served: Served) -> None:
        await served.asked()
        if served.number == 2:
            await served.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
        assert await served.gone()

    clock = ManualClock()
    async with backend(script) as site, http_client(clock=clock) as client:
        silent, _ = ask(client, site.url, deadline_s=5)
        await until(lambda: site.opened == 1)
        half, _ = ask(client, site.url, deadline_s=6)
        await half.piece()
        clock.advance(5)
        client._deadlines.expire()
        assert isinstance(silent.error, UpstreamTimeout)
        assert not half.over
        clock.advance(1)
        client._deadlines.expire()
        assert isinstance(half.error, UpstreamTimeout)


async def test_the_deadline_comes_by_itself() -> None:
    async with backend(never) as site, http_client() as client:
        heard, _ = ask(client, site.url, deadline_s=0.02)
        assert isinstance((await heard.end()).error, UpstreamTimeout)


async def test_a_deadline_passes_for_a_call_that_waits_for_a_connection() -> None:
    async with backend(never) as site, http_client(connections=1) as client:
        first, _ = ask(client, site.url, deadline_s=None)
        second, _ = ask(client, site.url, deadline_s=0.02)
        assert isinstance((await second.end()).error, UpstreamTimeout)
        assert not first.over


async def test_cancelling_within_a_body_closes_the_connection_and_nothing_more_is_heard() -> None:
    closed = asyncio.Event()

    async def script(served: Served) -> None:
        await served.asked()
        await served.say(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nab")
        assert await served.gone()
        closed.set()

    async with backend(script) as site, http_client() as client:
        heard, call = ask(client, site.url)
        await heard.piece()
        call.cancel()
        call.cancel()
        async with asyncio.timeout(10):
            await closed.wait()
        await until(lambda: all(pool["open"] == 0 for pool in client.statistics().values()))
        assert not heard.over


async def test_cancelling_from_within_a_callback_is_the_end_of_the_callbacks() -> None:
    async with backend(saying(FRAMES["chunked"][0])) as site, http_client() as client:
        heard, call = ask(client, site.url)
        heard.on_piece = call.cancel
        await heard.piece()
        await until(lambda: all(pool["open"] == 0 for pool in client.statistics().values()))
        assert not heard.over


async def test_cancelling_before_there_is_a_connection() -> None:
    async with backend(always_ok) as site, http_client(connections=1) as client:
        cancelled, call = ask(client, site.url, b"1")
        queued, second = ask(client, site.url, b"2")
        call.cancel()
        second.cancel()
        heard, _ = ask(client, site.url, b"3")
        assert (await heard.end()).body == b"3"
        assert not cancelled.over
        assert not queued.over


async def test_a_cancelled_call_makes_room_for_one_that_waits() -> None:
    async def script(served: Served) -> None:
        while asked := await served.asked():
            if asked.body == b"stay":
                assert await served.gone()
                return
            await served.say(answer(asked.body))

    async with backend(script) as site, http_client(connections=1) as client:
        _, call = ask(client, site.url, b"stay", deadline_s=None)
        await until(lambda: site.opened == 1)
        heard, _ = ask(client, site.url, b"go")
        call.cancel()
        assert (await heard.end()).body == b"go"
        assert site.opened == 2


async def test_reading_can_be_paused() -> None:
    async def script(served: Served) -> None:
        await served.asked()
        await served.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for _ in range(16):
            served.writer.write(b"x" * 1_000_000)
        await served.say(b"x")

    async with backend(script) as site, http_client() as client:
        heard, call = ask(client, site.url)
        heard.on_piece = call.pause_reading
        await heard.piece()
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(heard.pieces) <= 2
        heard.on_piece = None
        call.resume_reading()
        assert len((await heard.end()).body) == 16_000_001


async def test_closing_the_client_fails_what_is_in_progress() -> None:
    async with backend(never) as site, http_client(connections=1) as client:
        active, _ = ask(client, site.url)
        await until(lambda: site.opened == 1)
        queued, _ = ask(client, site.url)
        await client.aclose()
        assert isinstance(active.error, ShuttingDown)
        assert isinstance(queued.error, ShuttingDown)
        late, _ = ask(client, site.url)
        assert isinstance((await late.end()).error, ShuttingDown)


# -- sockets of other kinds ---------------------------------------------------------------------------------


async def test_ipv6_hosts_work() -> None:
    async with backend(always_ok, host="::1") as site, http_client() as client:
        assert (await ask(client, site.url, b"six")[0].end()).body == b"six"


async def test_tls_works_with_a_ca_of_ones_own(tls_pair: tuple[ssl.SSLContext, ssl.SSLContext], tls_ca: str) -> None:
    async with backend(always_ok, tls=tls_pair[0]) as site, http_client(ca_file=tls_ca) as client:
        for _ in range(2):
            assert (await ask(client, site.url, b"x" * 200_000)[0].end()).body == b"x" * 200_000
        assert site.opened == 1


async def test_a_certificate_nobody_vouches_for_is_refused(tls_pair: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with backend(always_ok, tls=tls_pair[0]) as site, http_client() as client:
        heard = await ask(client, site.url)[0].end()
        assert isinstance(heard.error, UpstreamUnreachable)
        assert "certificate" in str(heard.error).lower()


async def test_a_handshake_that_is_never_answered_ends_with_the_connect_timeout(tls_ca: str) -> None:
    async def script(served: Served) -> None:
        while not await served.gone():
            pass

    async with backend(script) as site, http_client(connect_timeout_s=0.05, ca_file=tls_ca) as client:
        heard = await ask(client, site.url.replace("http:", "https:"))[0].end()
        assert isinstance(heard.error, UpstreamUnreachable)
        assert "0.05 s" in str(heard.error)
