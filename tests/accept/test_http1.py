"""The server side of HTTP/1.1 over real sockets: what goes in, what comes out, when it closes."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from pathlib import Path

import pytest
from http_peer import Peer, Site, chunked_post, post, serving, until

from tidegate.clock import ManualClock
from tidegate.config.snapshot import Limits
from tidegate.pipeline.accept.http1 import HttpRequest, HttpStream
from tidegate.pipeline.codec import compress

pytestmark = pytest.mark.anyio


def echo(request: HttpRequest) -> None:
    request.respond(200, [("content-type", "application/octet-stream")], request.body)


class Kept:
    """A handler that answers later, or never."""

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []
        self.disconnects: list[HttpRequest] = []

    def __call__(self, request: HttpRequest) -> None:
        self.requests.append(request)
        request.on_disconnect = lambda: self.disconnects.append(request)


def code_of(body: bytes) -> int:
    message = json.loads(body)
    assert message["jsonrpc"] == "2.0"
    assert message["id"] is None
    assert message["error"]["message"]
    return int(message["error"]["code"])


async def refused(peer: Peer, status: int) -> dict[str, str]:
    """Reads a refusal, which must also be the end of the connection."""
    reply = await peer.reply()
    assert reply.status == status
    assert code_of(reply.body) in (-32600, -31003)
    assert reply.headers["connection"] == "close"
    assert await peer.rest() == b""
    return reply.headers


def awaits_body(site: Site, connections: int = 1) -> bool:
    """The heads are here, wherever they are kept. The clock stands still."""
    due_s = site.protocols[0]._clock.now_s() + Limits().body_timeout_s if site.protocols else 0
    return [each.deadline_s for each in site.protocols] == [due_s] * connections


# -- requests and keep-alive ------------------------------------------------------------------------------


async def test_a_connection_serves_one_request_after_the_other() -> None:
    async with serving(echo) as site:
        peer = await site.peer()
        for number in range(5):
            await peer.send(post(b"body %d" % number))
            reply = await peer.reply()
            assert (reply.status, reply.body) == (200, b"body %d" % number)
            assert "connection" not in reply.headers
        assert site.registry.statistics()["served_total"] == 1


async def test_a_small_request_takes_one_write_and_no_timer() -> None:
    async with serving(echo) as site:
        peer = await site.peer()
        await peer.send(post())
        await peer.reply()
        loop = asyncio.get_running_loop()
        transport = site.protocols[0]._transport
        assert transport is not None
        calls: list[str] = []
        written: list[bytes] = []

        class Recorder:
            def __getattr__(self, name: str) -> object:
                calls.append(name)
                return written.append if name == "write" else getattr(transport, name)

        site.protocols[0]._transport = Recorder()  # type: ignore[assignment]
        timer = site.registry.deadlines._timer
        tasks = asyncio.all_tasks(loop)
        site.fronts[0].data_received(post(b"again"))
        assert calls == ["write"]
        assert len(written) == 1
        assert written[0].endswith(b"\r\n\r\nagain")
        assert site.registry.deadlines._timer is timer
        assert asyncio.all_tasks(loop) == tasks
        site.protocols[0]._transport = transport


async def test_the_request_shows_what_was_sent() -> None:
    kept = Kept()
    async with serving(kept) as site:
        peer = await site.peer()
        await peer.send(post(b"{}", "X-One: a", "x-one: b", "Accept: text/plain", path="/a%20b?c=d?e"))
        await until(lambda: bool(kept.requests))
        request = kept.requests[0]
        assert (request.method, request.path, request.query, request.minor) == ("POST", "/a%20b", "c=d?e", 1)
        assert request.headers["x-one"] == "a, b"
        assert request.headers["accept"] == "text/plain"
        assert request.body == b"{}"
        assert request.peername == peer.writer.get_extra_info("sockname")[:2]
        assert request.local_address == site.address
        request.respond(202)
        assert (await peer.reply()).status == 202


async def test_an_absolute_target_overrides_host() -> None:
    kept = Kept()
    async with serving(kept) as site:
        peer = await site.peer()
        await peer.send(post(b"", path="http://other:1234/x?y"))
        await until(lambda: bool(kept.requests))
        request = kept.requests[0]
        assert (request.headers["host"], request.path, request.query) == ("other:1234", "/x", "y")


@pytest.mark.parametrize("path", ["x", "*", "ftp://a/b", "localhost:80"])
async def test_a_target_that_is_no_path_is_refused(path: str) -> None:
    async with serving(echo) as site:
        peer = await site.peer()
        await peer.send(post(b"", path=path))
        await refused(peer, 400)


async def test_pipelined_requests_are_answered_in_order_one_at_a_time() -> None:
    kept = Kept()
    async with serving(kept) as site:
        peer = await site.peer()
        await peer.send(post(b"1") + chunked_post([b"2"]) + post(b"3"))
        for number in (b"1", b"2", b"3"):
            await until(lambda: len(kept.requests) == 1)
            request = kept.requests.pop()
            assert request.body == number
            request.respond(200, (), request.body)
            assert (await peer.reply()).body == number
        assert not kept.disconnects


async def test_a_flood_of_pipelined_requests_is_left_in_the_socket_and_answered_later() -> None:
    kept = Kept()
    body = b"x" * 10_000
    async with serving(kept) as site:
        peer = await site.peer()
        for _ in range(40):
            peer.writer.write(post(body))
        await until(lambda: len(kept.requests) == 1 and not site.protocols[0]._reading)
        assert len(site.protocols[0]._pending) < 512 * 1024
        for _ in range(40):
            await until(lambda: len(kept.requests) == 1)
            kept.requests.pop().respond(200, (), b"ok")
            assert (await peer.reply()).body == b"ok"


async def test_pipelined_requests_of_a_client_that_does_not_read_wait() -> None:
    served = 0

    def serve(request: HttpRequest) -> None:
        nonlocal served
        served += 1
        request.respond(200, (), b"x" * 500_000)

    async with serving(serve) as site:
        peer = await site.peer(receive_buffer=8192)
        await peer.send(post() * 60)
        await until(lambda: not site.protocols[0]._writable)
        assert served < 40
        for _ in range(60):
            assert len((await peer.reply()).body) == 500_000
        assert served == 60


async def test_requests_and_bodies_may_be_split_at_every_byte() -> None:
    whole = post(b'{"a":1}') + chunked_post([b"ab", b"c" * 20]) + post(b"")
    async with serving(echo) as site:
        for cut in range(1, len(whole)):
            peer = await site.peer()
            await until(lambda: len(site.registry) == 1)
            site.fronts[-1].data_received(whole[:cut])
            site.fronts[-1].data_received(whole[cut:])
            assert [(await peer.reply()).body for _ in range(3)] == [b'{"a":1}', b"ab" + b"c" * 20, b""]
            await peer.close()
            await until(lambda: len(site.registry) == 0)


async def test_a_request_may_come_one_byte_at_a_time() -> None:
    async with serving(echo) as site:
        peer = await site.peer()
        await until(lambda: bool(site.protocols))
        for byte in post(b"12345") + chunked_post([b"123", b"45"], "X: y"):
            site.fronts[0].data_received(bytes([byte]))
        assert [(await peer.reply()).body for _ in range(2)] == [b"12345"] * 2


async def test_http_1_0_is_answered_and_closed_unless_it_asks_to_stay() -> None:
    async with serving(echo) as site:
        peer = await site.peer()
        await peer.send(post(b"a", "Connection: keep-alive", version="HTTP/1.0"))
        reply = await peer.reply()
        assert (reply.body, reply.headers["connection"]) == (b"a", "keep-alive")
        await peer.send(post(b"b", version="HTTP/1.0"))
        reply = await peer.reply()
        assert (reply.body, reply.headers["connection"]) == (b"b", "close")
        assert await peer.rest() == b""


async def test_connection_close_is_obeyed() -> None:
    async with serving(echo) as site:
        peer = await site.peer()
        await peer.send(post(b"a", "Connection: close") + post(b"never served"))
        reply = await peer.reply()
        assert (reply.body, reply.headers["connection"]) == (b"a", "close")
        assert await peer.rest() == b""


async def test_head_gets_the_length_and_no_body() -> None:
    async with serving(lambda request: request.respond(200, (), b"12345")) as site:
        peer = await site.peer()
        for _ in range(2):
            await peer.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
            reply = await peer.reply("HEAD")
            assert (reply.headers["content-length"], reply.body) == ("5", b"")


async def test_head_of_a_stream_has_no_body() -> None:
    def serve(request: HttpRequest) -> None:
        stream = request.start_stream(200)
        stream.write(b"unseen")
        stream.close()

    async with serving(serve) as site:
        peer = await site.peer()
        for _ in range(2):
            await peer.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await peer.reply("HEAD")).body == b""


async def test_an_upgrade_is_ignored() -> None:
    async with serving(echo) as site:
        peer = await site.peer()
        await peer.send(post(b"a", "Connection: Upgrade", "Upgrade: websocket") + post(b"b"))
        assert [(await peer.reply()).body for _ in range(2)] == [b"a", b"b"]


async def test_a_response_without_content_has_no_length() -> None:
    async with serving(lambda request: request.respond(204)) as site:
        peer = await site.peer()
        await peer.send(post() * 2)
        for _ in range(2):
            assert "content-length" not in (await peer.reply()).headers


async def test_a_header_value_cannot_break_the_head() -> None:
    def serve(request: HttpRequest) -> None:
        with pytest.raises(ValueError, match="line break"):
            request.respond(200, [("x", "a\r\nset-cookie: b")])
        request.respond(200, (), b"clean")

    async with serving(serve) as site:
        peer = await site.peer()
        await peer.send(post())
        assert (await peer.reply()).body == b"clean"


async def test_a_second_answer_is_a_mistake_that_is_told() -> None:
    def serve(request: HttpRequest) -> None:
        request.respond(200)
        with pytest.raises(RuntimeError):
            request.respond(200)

    async with serving(serve) as site:
        peer = await site.peer()
        await peer.send(post() * 2)
        assert [(await peer.reply()).status for _ in range(2)] == [200, 200]


async def test_a_failing_handler_costs_a_500_that_tells_nothing() -> None:
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))

    def serve(request: HttpRequest) -> None:
        raise KeyError("secret")

    async with serving(serve) as site:
        peer = await site.peer()
        await peer.send(post())
        reply = await peer.reply()
        assert (reply.status, code_of(reply.body)) == (500, -32603)
        assert b"secret" not in reply.body
        assert len(reported) == 1


# -- Expect -----------------------------------------------------------------------------------------------


async def test_expect_is_answered_before_the_body_comes() -> None:
    async with serving(echo) as site:
        peer = await site.peer()
        await peer.send(post(b"", "Expect: 100-continue", length=3))
        assert (await peer.interim()).startswith(b"HTTP/1.1 100 ")
        await peer.send(b"abc")
        assert (await peer.reply()).body == b"abc"


async def test_expect_is_not_answered_when_the_body_is_here_already() -> None:
    async with serving(echo) as site:
        peer = await site.peer()
        await peer.send(post(b"abc", "Expect: 100-continue"))
        assert (await peer.reply()).body == b"abc"


async def test_expect_with_a_body_over_the_limit_is_refused_at_once() -> None:
    async with serving(echo, limits=Limits(body_bytes=10)) as site:
        peer = await site.peer()
        await peer.send(post(b"", "Expect: 100-continue", length=11))
        await refused(peer, 413)


# -- limits -----------------------------------------------------------------------------------------------


async def test_a_head_over_the_limit_is_refused_before_it_ends() -> None:
    async with serving(echo, limits=Limits(header_bytes=1000)) as site:
        peer = await site.peer()
        await peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 1000)
        await refused(peer, 431)


async def test_a_body_over_the_limit_is_refused_unread() -> None:
    kept = Kept()
    async with serving(kept, limits=Limits(body_bytes=1000)) as site:
        peer = await site.peer()
        await peer.send(post(b"", length=10**12))
        reply = await peer.reply()
        assert reply.status == 413
        assert b"body_bytes" in reply.body
        assert not kept.requests


async def test_a_client_that_goes_on_sending_a_refused_body_reads_the_refusal_and_is_cut() -> None:
    async with serving(echo, limits=Limits(body_bytes=1000)) as site:
        peer = await site.peer()
        await peer.send(post(b"", length=10**9))
        for _ in range(2):
            peer.writer.write(b"x" * 10_000)
        assert (await peer.reply()).status == 413

        def cut_off() -> bool:
            peer.writer.write(b"x" * 10_000)
            return len(site.registry) == 0

        await until(cut_off)


@pytest.mark.parametrize("size", [999, 1000, 1001])
async def test_a_chunked_body_is_bounded(size: int) -> None:
    async with serving(echo, limits=Limits(body_bytes=1000)) as site:
        peer = await site.peer()
        await peer.send(chunked_post([b"x" * 500, b"y" * (size - 500)]))
        if size <= 1000:
            assert len((await peer.reply()).body) == size
        else:
            await refused(peer, 413)


async def test_connections_over_the_bound_get_503() -> None:
    async with serving(echo, limits=Limits(connections=2)) as site:
        first, second = await site.peer(), await site.peer()
        for peer in (first, second):
            await peer.send(post(b"a"))
            assert (await peer.reply()).body == b"a"
        third = await site.peer()
        await third.send(post(b"b"))
        assert "retry-after" in await refused(third, 503)
        await first.close()
        await until(lambda: len(site.registry) == 1)
        fourth = await site.peer()
        await fourth.send(post(b"c"))
        assert (await fourth.reply()).body == b"c"
        assert site.registry.statistics()["refused_total"] == 1


async def test_a_flood_of_connections_over_the_bound_is_cut() -> None:
    async with serving(echo, limits=Limits(connections=1)) as site:
        flood = [await site.peer() for _ in range(60)]
        await until(lambda: site.registry.statistics()["refused_total"] == 59)
        assert site.registry.statistics()["refused_open"] <= 32
        assert (len(flood), len(site.registry)) == (60, 1)


# -- content coding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "zstd", "identity"])
async def test_a_coded_request_body_is_decoded(coding: str) -> None:
    plain = b'{"jsonrpc":"2.0"}' * 100
    coded = {"zstd": compress("zstd", plain), "identity": plain}.get(coding) or gzip.compress(plain)
    async with serving(echo) as site:
        peer = await site.peer()
        await peer.send(post(coded, f"Content-Encoding: {coding}"))
        assert (await peer.reply()).body == plain


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_a_bomb_is_refused_and_the_connection_lives(coding: str) -> None:
    bomb = gzip.compress(b"\0" * 10_000_000) if coding == "gzip" else compress("zstd", b"\0" * 10_000_000)
    async with serving(echo, limits=Limits(body_bytes=100_000)) as site:
        peer = await site.peer()
        await peer.send(post(bomb, f"Content-Encoding: {coding}"))
        reply = await peer.reply()
        assert (reply.status, code_of(reply.body)) == (413, -32600)
        await peer.send(post(b"next"))
        assert (await peer.reply()).body == b"next"


@pytest.mark.parametrize(("coding", "status"), [("gzip", 400), ("zstd", 400), ("br", 415), ("gzip, gzip", 415)])
async def test_a_body_that_does_not_decode_is_refused(coding: str, status: int) -> None:
    async with serving(echo) as site:
        peer = await site.peer()
        await peer.send(post(b"not coded", f"Content-Encoding: {coding}"))
        assert (await peer.reply()).status == status


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip", "gzip"), ("zstd, gzip", "zstd"), ("gzip;q=0, *", "zstd"), ("br", None), ("gzip;q=0", None), ("", None)],
)
async def test_a_large_json_response_is_coded_as_the_client_accepts(accepted: str, coding: str | None) -> None:
    plain = json.dumps(list(range(2000))).encode()
    async with serving(lambda request: request.respond(200, [("Content-Type", "application/json")], plain)) as site:
        peer = await site.peer()
        await peer.send(post(b"{}", f"Accept-Encoding: {accepted}"))
        reply = await peer.reply()
        assert reply.headers.get("content-encoding") == coding
        if coding is None:
            assert reply.body == plain
        else:
            assert len(reply.body) < len(plain)
            if coding == "gzip":
                assert gzip.decompress(reply.body) == plain


@pytest.mark.parametrize(
    ("size", "content_type"), [(100, "application/json"), (5000, "image/png"), (1_000_000, "application/json")]
)
async def test_small_huge_and_binary_responses_are_sent_as_they_are(size: int, content_type: str) -> None:
    async with serving(lambda request: request.respond(200, [("Content-Type", content_type)], b" " * size)) as site:
        peer = await site.peer()
        await peer.send(post(b"{}", "Accept-Encoding: gzip, zstd"))
        reply = await peer.reply()
        assert "content-encoding" not in reply.headers
        assert len(reply.body) == size


# -- deadlines --------------------------------------------------------------------------------------------


async def test_a_slow_head_gets_408() -> None:
    clock = ManualClock()
    async with serving(echo, clock=clock) as site:
        peer = await site.peer()
        await peer.send(b"POST / HT")
        await until(lambda: bool(site.protocols) and site.protocols[0]._pending == b"POST / HT")
        clock.advance(9)
        await peer.send(b"TP/1.1\r\n")
        await until(lambda: site.protocols[0]._pending.endswith(b"\n"))
        site.registry.deadlines.expire()
        assert len(site.registry) == 1
        clock.advance(1)
        site.registry.deadlines.expire()
        await refused(peer, 408)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_slow_body_gets_408(chunked: bool) -> None:
    clock = ManualClock()
    async with serving(echo, clock=clock) as site:
        peer = await site.peer()
        whole = chunked_post([b"abc"]) if chunked else post(b"abc")
        await peer.send(whole[:-1])
        await until(lambda: awaits_body(site))
        clock.advance(29)
        site.fronts[0].data_received(b"")
        site.registry.deadlines.expire()
        assert len(site.registry) == 1
        clock.advance(1)
        site.registry.deadlines.expire()
        await refused(peer, 408)


async def test_a_body_that_comes_drop_by_drop_has_no_more_time() -> None:
    clock = ManualClock()
    async with serving(echo, clock=clock) as site:
        peer = await site.peer()
        await peer.send(post(b"first"))
        await peer.reply()
        clock.advance(100)
        head = post(b"", length=5)
        for drop in (head, b"a", b"b"):
            site.fronts[0].data_received(drop)
            clock.advance(10)
            site.registry.deadlines.expire()
        assert (await peer.reply()).status == 408
        assert await peer.rest() == b""


async def test_a_body_that_comes_late_but_in_time_is_served_and_the_connection_is_idle_from_then_on() -> None:
    clock = ManualClock()
    async with serving(echo, clock=clock) as site:
        peer = await site.peer()
        await until(lambda: bool(site.protocols))
        for _ in range(3):
            site.fronts[0].data_received(post(b"", length=5))
            clock.advance(29)
            site.registry.deadlines.expire()
            site.fronts[0].data_received(b"12345")
            assert (await peer.reply()).body == b"12345"
            clock.advance(119)
            site.registry.deadlines.expire()
        clock.advance(1)
        site.registry.deadlines.expire()
        assert await peer.rest() == b""


async def test_the_deadlines_come_by_themselves() -> None:
    async with serving(echo, limits=Limits(head_timeout_s=0.02)) as site:
        peer = await site.peer()
        await peer.send(b"POST")
        await refused(peer, 408)


async def test_silent_and_idle_connections_are_closed_without_a_word() -> None:
    clock = ManualClock()
    async with serving(echo, clock=clock) as site:
        silent, idle = await site.peer(), await site.peer()
        await idle.send(post(b"a"))
        await idle.reply()
        clock.advance(10)
        site.registry.deadlines.expire()
        assert await silent.rest() == b""
        clock.advance(109)
        site.registry.deadlines.expire()
        assert len(site.registry) == 1
        clock.advance(1)
        site.registry.deadlines.expire()
        assert await idle.rest() == b""


async def test_a_request_in_service_has_no_deadline() -> None:
    clock = ManualClock()
    kept = Kept()
    async with serving(kept, clock=clock) as site:
        peer = await site.peer()
        await peer.send(post())
        await until(lambda: bool(kept.requests))
        clock.advance(10_000)
        site.registry.deadlines.expire()
        kept.requests[0].respond(200, (), b"late")
        assert (await peer.reply()).body == b"late"


async def test_a_response_that_is_never_read_is_given_up() -> None:
    clock = ManualClock()
    async with serving(lambda request: request.respond(200, (), b"x" * 20_000_000), clock=clock) as site:
        peer = await site.peer(receive_buffer=8192)
        await peer.send(post())
        await until(lambda: bool(site.protocols) and not site.protocols[0]._writable)
        for _ in range(3):
            clock.advance(121)
            site.registry.deadlines.expire()
        await until(lambda: len(site.registry) == 0)


async def test_without_connections_there_is_no_timer() -> None:
    async with serving(echo) as site:
        peer = await site.peer()
        await peer.send(post())
        await peer.reply()
        assert site.registry.deadlines.armed
        await peer.close()
        await until(lambda: len(site.registry) == 0)
        assert not site.registry.deadlines.armed


# -- clients that leave -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["eof", "close", "reset"])
@pytest.mark.parametrize("streaming", [False, True])
async def test_a_client_that_leaves_is_noticed_once(how: str, streaming: bool) -> None:
    kept = Kept()
    async with serving(kept) as site:
        peer = await site.peer()
        await peer.send(post() + post())
        await until(lambda: bool(kept.requests))
        request = kept.requests[0]
        stream: HttpStream | None = None
        if streaming:
            stream = request.start_stream(200)
            stream.write(b"x")
            await peer.interim()
        if how == "eof":
            peer.writer.write_eof()
        elif how == "close":
            peer.writer.close()
        else:
            peer.reset()
        await until(lambda: len(site.registry) == 0)
        assert kept.disconnects == [request]
        assert kept.requests == [request]
        assert request.gone
        if stream is not None:
            assert stream.closed
            stream.write(b"nobody reads this")
            stream.close()
        else:
            request.respond(200, (), b"nobody reads this")


async def test_a_client_that_leaves_after_its_answer_is_no_disconnect() -> None:
    kept = Kept()
    async with serving(kept) as site:
        peer = await site.peer()
        await peer.send(post())
        await until(lambda: bool(kept.requests))
        kept.requests[0].respond(200)
        await peer.reply()
        await peer.close()
        await until(lambda: len(site.registry) == 0)
        assert not kept.disconnects


async def test_a_client_that_leaves_within_its_body_is_forgotten() -> None:
    kept = Kept()
    async with serving(kept, clock=ManualClock()) as site:
        peer = await site.peer()
        await peer.send(post(b"ab", length=5))
        await until(lambda: awaits_body(site))
        await peer.close()
        await until(lambda: len(site.registry) == 0)
        assert not kept.requests


async def test_the_answer_to_a_request_with_an_end_behind_it_still_arrives() -> None:
    async with serving(echo) as site:
        peer = await site.peer()
        peer.writer.write(post(b"last words"))
        peer.writer.write_eof()
        assert (await peer.reply()).body == b"last words"
        assert await peer.rest() == b""


# -- streams ------------------------------------------------------------------------------------------------


async def test_a_stream_arrives_piece_by_piece_and_the_connection_lives() -> None:
    kept = Kept()
    async with serving(kept) as site:
        peer = await site.peer()
        for _ in range(2):
            await peer.send(post())
            await until(lambda: bool(kept.requests))
            stream = kept.requests.pop().start_stream(200, [("content-type", "text/event-stream")])
            assert (await peer.interim()).lower().endswith(b"transfer-encoding: chunked\r\n\r\n")
            for piece in (b"one", b"", b"two"):
                stream.write(piece)
            stream.close()
            assert stream.closed
            async with asyncio.timeout(10):
                assert await peer.reader.readuntil(b"0\r\n\r\n") == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


async def test_a_stream_to_http_1_0_ends_with_the_connection() -> None:
    def serve(request: HttpRequest) -> None:
        stream = request.start_stream(200)
        stream.write(b"one")
        stream.write(b"two")
        stream.close()

    async with serving(serve) as site:
        peer = await site.peer()
        await peer.send(post(b"", "Connection: keep-alive", version="HTTP/1.0"))
        head, _, body = (await peer.rest()).partition(b"\r\n\r\n")
        assert body == b"onetwo"
        assert b"connection: close" in head
        assert b"chunked" not in head


async def test_a_slow_reader_is_cut_at_the_write_buffer_bound() -> None:
    kept = Kept()
    limits = Limits(write_buffer_bytes=256 * 1024)
    async with serving(kept, limits=limits) as site:
        peer = await site.peer(receive_buffer=8192)
        await peer.send(post())
        await until(lambda: bool(kept.requests))
        stream = kept.requests[0].start_stream(200)
        most = 0
        for _ in range(2000):
            if stream.closed:
                break
            stream.write(b"x" * 65536)
            most = max(most, stream.buffered_bytes)
            await asyncio.sleep(0)
        assert stream.closed
        assert most <= limits.write_buffer_bytes + 65536 + 100
        assert kept.disconnects == kept.requests
        await until(lambda: len(site.registry) == 0)


async def test_one_event_larger_than_the_bound_passes() -> None:
    def serve(request: HttpRequest) -> None:
        stream = request.start_stream(200)
        stream.write(b"x" * 1_000_000)
        stream.close()

    async with serving(serve, limits=Limits(write_buffer_bytes=1000)) as site:
        peer = await site.peer()
        await peer.send(post())
        assert len((await peer.reply()).body) == 1_000_000


# -- smuggling ------------------------------------------------------------------------------------------------

HOST = b"Host: x\r\n"
VECTORS = {
    "length and chunked": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "signed length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +3\r\n\r\nabc",
    "negative length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
    "hexadecimal length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0x3\r\n\r\nabc",
    "unknown transfer coding": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "space before colon": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length : 3\r\n\r\nabc",
    "folded line": b"POST / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n",
    "bare CR": b"POST / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n",
    "NUL": b"POST / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
    "no host": b"POST / HTTP/1.1\r\n\r\n",
    "two hosts": b"POST / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "bad name": b"POST / HTTP/1.1\r\n" + HOST + b"X(y): a\r\n\r\n",
    "bad method": b"PO ST / HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "signed chunk size": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
    "spaced chunk size": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n",
    "chunk without end": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n",
    "huge chunk size": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
}


@pytest.mark.parametrize("vector", VECTORS)
async def test_an_ambiguous_request_is_refused_and_what_follows_is_not_read(vector: str) -> None:
    kept = Kept()
    async with serving(kept) as site:
        peer = await site.peer()
        await peer.send(VECTORS[vector] + post(b"smuggled"))
        reply = await peer.reply()
        assert reply.status in ((400, 413) if vector == "huge chunk size" else (400,))
        assert code_of(reply.body) == -32600
        assert await peer.rest() == b""
        assert not kept.requests


# -- sockets of other kinds, shutdown -------------------------------------------------------------------------


async def test_a_unix_socket_works_and_has_its_path_for_a_name(tmp_path: Path) -> None:
    path = str(tmp_path / "tidegate.sock")
    kept = Kept()
    async with serving(kept, unix=path) as site:
        peer = await site.peer()
        await peer.send(post(b"a"))
        await until(lambda: bool(kept.requests))
        assert kept.requests[0].peername == path
        assert kept.requests[0].local_address == path
        kept.requests[0].respond(200, (), b"b")
        assert (await peer.reply()).body == b"b"


async def test_tls_works_refusals_and_leaving_included(tls_pair: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server_tls, client_tls = tls_pair
    kept = Kept()
    async with serving(kept, tls=server_tls) as site:
        peer = await site.peer(tls=client_tls, local="localhost")
        await peer.send(post(b"a" * 100_000))
        await until(lambda: bool(kept.requests))
        assert kept.requests[0].peername == peer.writer.get_extra_info("sockname")[:2]
        kept.requests.pop().respond(200, (), b"b" * 100_000)
        assert (await peer.reply()).body == b"b" * 100_000
        await peer.send(post(b"c"))
        await until(lambda: bool(kept.requests))
        await peer.close()
        await until(lambda: bool(kept.disconnects))
        garbage = await site.peer(tls=client_tls, local="localhost")
        await garbage.send(b"nonsense\r\n\r\n")
        assert (await garbage.reply()).status == 400
        await garbage.close()
        await until(lambda: len(site.registry) == 0)


async def test_draining_closes_idle_connections_at_once_and_busy_ones_after_their_answer() -> None:
    kept = Kept()
    async with serving(kept) as site:
        idle, busy = await site.peer(), await site.peer()
        await busy.send(post(b"a"))
        await until(lambda: bool(kept.requests) and len(site.registry) == 2)
        site.registry.drain()
        assert await idle.rest() == b""
        kept.requests[0].respond(200, (), b"b")
        reply = await busy.reply()
        assert (reply.body, reply.headers["connection"]) == (b"b", "close")
        assert await busy.rest() == b""
        await refused(await site.peer(), 503)


async def test_draining_waits_for_a_body_that_has_begun_or_not() -> None:
    async with serving(echo, clock=ManualClock()) as site:
        whole = post(b"12345")
        for missing in (5, 1):
            peer = await site.peer()
            await peer.send(whole[:-missing])
        await until(lambda: awaits_body(site, 2))
        site.registry.drain()
        for peer, missing in zip(site.peers, (5, 1), strict=True):
            await peer.send(whole[-missing:])
            reply = await peer.reply()
            assert (reply.body, reply.headers["connection"]) == (b"12345", "close")
            assert await peer.rest() == b""
