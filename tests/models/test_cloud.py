"""A cloud behind the gateway, end to end: chats and embeds as local models do, and whatever goes wrong has a name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import fake_cloud
import pytest
from clients import Client, Reply
from fake_cloud import KEY, FakeCloud, Fault, embedding, pieces_of
from gateway import House, house
from heard import Json, within
from jsonschema import Draft202012Validator
from scripted_server import ScriptedServer

from tidegate.config.model_workers import capabilities_backend
from tidegate.config.snapshot import Backend, Capability, Limits, Sampling, Secret
from tidegate.events import ExchangeDone
from tidegate.pipeline.upstream import openai_link
from tidegate.protocol.meta_keys import DATA_CLASS

pytestmark = pytest.mark.anyio

HELLO: Json = {"messages": [{"role": "user", "content": "hello you"}]}
HEARD = "The cloud heard: hello you"
ANSWER = {
    "role": "assistant",
    "content": HEARD,
    "model": "big",
    "stop_reason": "end",
    "usage": {"input_tokens": 2, "output_tokens": 5},
}


def reached(cloud: FakeCloud, **more: Json) -> Backend:
    fields = {
        "transport": "openai",
        "prefix": "cloud__",
        "url": cloud.url,
        "headers": (("Authorization", Secret(f"Bearer {KEY}")),),
        "chat_model": "big",
        "embedding_model": "wide",
        **more,
    }
    return Backend("cloud", **fields)


@asynccontextmanager
async def sky(limits: Limits | None = None, **more: Json) -> AsyncIterator[tuple[FakeCloud, House]]:
    """A cloud, and a gateway before it."""
    async with fake_cloud.fake_cloud() as cloud, house(backends=[reached(cloud, **more)], limits=limits) as home:
        yield cloud, home


def ended(home: House) -> list[str]:
    """How each request of a client from now on ends, by the slug of its error."""
    found: list[str] = []

    def note(event: object) -> None:
        if isinstance(event, ExchangeDone):
            found.append(event.outcome)

    home.daemon.gateway.events.subscribe(note)
    return found


async def chat(client: Client, arguments: Json = HELLO, *, meta: Json = None) -> Reply:
    return await client.tool("cloud__chat", arguments, meta=meta).reply()


@pytest.mark.parametrize(("era", "transport"), [("modern", "http"), ("session", "http"), ("modern", "tcp")])
async def test_it_is_two_tools_that_answer(era: str, transport: str) -> None:
    async with sky() as (cloud, home):
        client = await home.client(transport, era)
        tools = {tool["name"]: tool for tool in (await client.call("tools/list")).result["tools"]}
        assert set(tools) == {"cloud__chat", "cloud__embed"}
        assert cloud.asked == []
        said = (await chat(client)).result
        assert said["structuredContent"] == ANSWER
        assert said["content"] == [{"type": "text", "text": HEARD}]
        Draft202012Validator(tools["cloud__chat"]["outputSchema"]).validate(said["structuredContent"])
        Draft202012Validator(tools["cloud__chat"]["inputSchema"]).validate(HELLO)
        vectors = (await client.tool("cloud__embed", {"texts": ["one", "two words"]}).reply()).result
        assert vectors["structuredContent"] == {
            "model": "wide",
            "dimensions": 8,
            "embeddings": [embedding("one"), embedding("two words")],
            "usage": {"input_tokens": 3},
        }
        Draft202012Validator(tools["cloud__embed"]["outputSchema"]).validate(vectors["structuredContent"])


async def test_what_is_asked_for_is_passed_on() -> None:
    async with sky() as (cloud, home):
        client = await home.http_client("modern")
        await chat(client, {**HELLO, "system": "be kind", "max_tokens": 9, "stop": ["x"], "seed": 3, "top_p": 0.5})
        await chat(client)
        first, second = cloud.asked
        assert (first.target, first.headers["content-type"]) == ("/v1/chat/completions", "application/json")
        assert first.headers["authorization"] == f"Bearer {KEY}"
        assert first.body == {
            "model": "big",
            "messages": [{"role": "system", "content": "be kind"}, HELLO["messages"][0]],
            "max_tokens": 9,
            "temperature": 0.0,
            "top_p": 0.5,
            "stop": ["x"],
            "seed": 3,
        }
        assert second.body == {"model": "big", "messages": HELLO["messages"], "max_tokens": 256, "temperature": 0.0}


async def test_only_what_is_configured_is_offered() -> None:
    async with sky(embedding_model="") as (_, home):
        client = await home.http_client("modern")
        assert await client.names() == ["cloud__chat"]
        refused = (await client.tool("cloud__embed", {"texts": ["x"]}).reply()).error
        assert refused["code"] == -32602


@pytest.mark.parametrize("era", ["modern", "session"])
async def test_a_stream_is_heard_while_it_comes(era: str) -> None:
    async with sky() as (cloud, home):
        client = await home.http_client(era)
        cloud.fault = fake_cloud.stalled_stream(2)
        pending = client.tool("cloud__chat", HELLO, meta={"progressToken": "t"})
        await pending.notices.wait(lambda item: item["params"]["progress"] == 2)
        assert not pending.answer.done()
        cloud.release()
        assert (await pending.reply()).result["structuredContent"] == ANSWER
        told = [item["params"] for item in pending.notices if item["method"] == "notifications/progress"]
        assert [item["message"] for item in told] == pieces_of(HEARD)
        assert [item["progress"] for item in told] == [1, 2, 3, 4, 5]
        assert {item["progressToken"] for item in told} == {"t"}


async def test_a_service_that_does_not_stream_is_heard_at_once() -> None:
    async with sky() as (cloud, home):
        client = await home.http_client("modern")
        cloud.fault = lambda asked: asked.respond("200 OK", fake_cloud.dump(asked.whole()))
        pending = client.tool("cloud__chat", HELLO, meta={"progressToken": 1})
        assert (await pending.reply()).text == HEARD
        assert [item["params"]["message"] for item in pending.notices] == [HEARD]


@pytest.mark.parametrize(
    ("reason", "told"), [("stop", "end"), ("length", "length"), ("content_filter", ""), ("tool_calls", "")]
)
async def test_why_it_ended_is_told(reason: str, told: str) -> None:
    async with sky() as (cloud, home):
        client = await home.http_client("modern")
        cloud.finish_reason = reason
        for meta in ({}, {"progressToken": 1}):
            reply = await chat(client, meta=meta)
            if told:
                assert reply.result["structuredContent"]["stop_reason"] == told
            elif reason == "content_filter":
                assert reply.result["isError"]
                assert "withholds" in reply.text
                assert "structuredContent" not in reply.result
            else:
                assert "answered, but its answer ended for a reason" in reply.error["message"]


WRONG: list[tuple[str, Fault, str, str]] = [
    ("500", fake_cloud.broken, "upstream_protocol", "HTTP status 500"),
    ("429", fake_cloud.busy("7"), "upstream_busy", "asks to be left alone for 7 s"),
    ("503", fake_cloud.status("503 Service Unavailable"), "upstream_busy", "cannot serve now"),
    ("401", fake_cloud.status("401 Unauthorized"), "upstream_refused", "does not take the token"),
    ("403", fake_cloud.status("403 Forbidden"), "upstream_refused", "does not allow this"),
    ("404", fake_cloud.status("404 Not Found"), "upstream_protocol", "has no model `big`"),
    ("moved", fake_cloud.elsewhere("http://127.0.0.1:1/"), "upstream_protocol", "has moved"),
    ("garbage", fake_cloud.garbage, "upstream_protocol", "its answer is no JSON"),
    ("shape", fake_cloud.wrong_shape, "upstream_protocol", "answered, but"),
    ("cut body", fake_cloud.cut_body, "upstream_closed", "closed the connection within the response"),
    ("dropped", fake_cloud.dropped, "upstream_closed", "without an answer"),
    ("huge", fake_cloud.huge(200_000), "upstream_protocol", "100000"),
]
WRONG_STREAMS: list[tuple[str, Fault, str, str]] = [
    *(fault for fault in WRONG if fault[0] != "cut body"),
    ("cut early", fake_cloud.cut_stream(0), "upstream_closed", "broke the stream off"),
    ("cut late", fake_cloud.cut_stream(5), "upstream_closed", "broke the stream off"),
    ("short", fake_cloud.short_stream(3), "upstream_closed", "ended the stream before the answer was whole"),
]


async def _fails(fault: Fault, slug: str, why: str, meta: Json) -> None:
    async with sky(Limits(rate_per_s=0, drain_s=0.0, result_bytes=100_000)) as (cloud, home):
        client = await home.http_client("modern")
        cloud.fault = fault
        outcomes = ended(home)
        reply = await chat(client, meta=meta)
        assert outcomes == [slug]
        assert reply.error["data"] == {"reason": slug}
        assert reply.error["message"].startswith("backend `cloud`")
        assert why in reply.error["message"]
        # It is as ready as before.
        cloud.fault = None
        assert (await chat(client, meta=meta)).text == HEARD


@pytest.mark.parametrize(("fault", "slug", "why"), [one[1:] for one in WRONG], ids=[one[0] for one in WRONG])
async def test_what_goes_wrong_has_a_name(fault: Fault, slug: str, why: str) -> None:
    await _fails(fault, slug, why, {})


@pytest.mark.parametrize(
    ("fault", "slug", "why"), [one[1:] for one in WRONG_STREAMS], ids=[one[0] for one in WRONG_STREAMS]
)
async def test_what_goes_wrong_with_a_stream_has_a_name(fault: Fault, slug: str, why: str) -> None:
    await _fails(fault, slug, why, {"progressToken": "t"})


@pytest.mark.parametrize("remote", [None, True, False])
async def test_data_of_a_class_go_there_by_a_capability_alone(remote: bool | None) -> None:
    ask = Capability("ask", ("cloud__chat",), stay=("private",))
    async with fake_cloud.fake_cloud() as cloud:
        services = [reached(cloud, remote=remote), capabilities_backend([ask])]
        async with house(backends=services) as home:
            for era in ("modern", "session"):
                client = await home.client("tcp", era)
                await chat(client)  # what is not asked for now may be relayed later
                before = len(cloud.asked)
                for said in ("public", ["private"], 7):
                    reply = await chat(client, meta={DATA_CLASS: said})
                    if remote is not True:
                        # It is on loopback.
                        assert reply.text == HEARD
                    elif said == 7:
                        assert reply.error["code"] == -32602
                    else:
                        assert reply.error["data"] == {"reason": "must_stay"}
                assert len(cloud.asked) == before + (0 if remote is True else 3)
                served = await client.tool("ask", HELLO, meta={DATA_CLASS: "public"}).reply()
                assert served.text == HEARD


@pytest.mark.parametrize("era", ["modern", "session"])
async def test_a_server_has_the_cloud_asked_where_a_capability_let_the_data_go_and_nowhere_else(era: str) -> None:
    look = Capability("look", ("echo",), stay=("private",), data_class="camera")
    question = {"messages": [{"role": "user", "content": {"type": "text", "text": "hello you"}}], "maxTokens": 9}
    async with (
        fake_cloud.fake_cloud() as cloud,
        house(
            ScriptedServer("session"),
            fields=[{"prefix": ""}],
            backends=[reached(cloud, remote=True), capabilities_backend([look])],
            sampling=Sampling("cloud__chat"),
        ) as home,
    ):
        client = await home.client("tcp", era)
        for name, said, answered in (
            ("look", {}, True),
            ("echo", {}, True),
            ("echo", {DATA_CLASS: "camera"}, False),
        ):
            pending, before = client.tool(name, meta=said), len(cloud.asked)
            call = await home.server.next_call()
            answer = await within(call.ask("sampling/createMessage", question))
            assert ("result" in answer) is answered
            assert len(cloud.asked) == before + answered
            call.text("done")
            assert (await pending.reply()).text == "done"


async def test_a_stream_is_whole_when_it_says_why_it_ends() -> None:
    """Some services leave `[DONE]` out, and some the reason."""

    def undone(asked: fake_cloud.Asked) -> None:
        asked.stream()
        for part in asked.chunks():
            asked.event(part)
        asked.close()

    def unreasoned(asked: fake_cloud.Asked) -> None:
        asked.stream()
        for part in asked.chunks()[:6]:
            asked.event(part)
        asked.event(b"[DONE]")

    async with sky() as (cloud, home):
        client = await home.http_client("modern")
        for fault in (undone, unreasoned):
            cloud.fault = fault
            reply = await chat(client, meta={"progressToken": 1})
            assert reply.result["structuredContent"]["content"] == HEARD


async def test_bad_arguments_are_told_and_never_sent() -> None:
    async with sky() as (cloud, home):
        client = await home.http_client("modern")
        for tool, arguments, why in [
            ("chat", {}, "`messages` must be a list"),
            ("chat", {**HELLO, "temperature": 9}, "`temperature`"),
            ("embed", {"texts": []}, "`texts` must be a list"),
            ("embed", {"texts": ["x"], "kind": "query"}, "`kind` is no argument"),
        ]:
            reply = await client.tool(f"cloud__{tool}", arguments).reply()
            assert reply.result["isError"]
            assert why in reply.text
        assert cloud.asked == []


async def test_what_the_service_says_of_a_call_is_told_without_the_key() -> None:
    async with sky() as (cloud, home):
        client = await home.http_client("modern")
        error = {"error": {"message": f"context is 8192 tokens;\n you sent 9000 with {KEY}"}}
        cloud.fault = lambda asked: asked.respond("400 Bad Request", fake_cloud.dump(error))
        reply = await chat(client)
        assert reply.result["isError"]
        assert reply.text.endswith("context is 8192 tokens; you sent 9000 with ***")


WRONG_VECTORS = [
    {"data": []},
    {"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]},
    {"data": [{"index": 0, "embedding": [1.0]}, {"index": 2, "embedding": [1.0]}]},
    {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}]},
    {"data": [{"index": 0, "embedding": []}, {"index": 1, "embedding": []}]},
    {"data": [{"index": 0, "embedding": "AAAA"}, {"index": 1, "embedding": "AAAA"}]},
    {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [None]}]},
    {"data": [1, 2]},
    {"data": {"0": 1}},
    [],
]


async def test_vectors_that_are_none_are_not_believed() -> None:
    async with sky() as (cloud, home):
        client = await home.http_client("modern")
        for wrong in WRONG_VECTORS:
            cloud.fault = lambda asked, wrong=wrong: asked.respond("200 OK", fake_cloud.dump(wrong))
            reply = await client.tool("cloud__embed", {"texts": ["a", "b"]}).reply()
            assert reply.error["message"].startswith("backend `cloud` answered, but "), wrong
        backwards = {"data": [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1.5]}]}
        cloud.fault = lambda asked: asked.respond("200 OK", fake_cloud.dump(backwards))
        reply = await client.tool("cloud__embed", {"texts": ["a", "b"]}).reply()
        assert reply.result["structuredContent"]["embeddings"] == [[1.5], [2]]


async def test_a_link_that_is_down_is_told_and_comes_back() -> None:
    async with sky() as (cloud, home):
        client = await home.http_client("modern")
        assert (await chat(client)).text == HEARD
        await cloud.go()
        outcomes = ended(home)
        for _ in range(4):
            reply = await chat(client)
            assert reply.error["message"].startswith("backend `cloud`")
        assert outcomes == ["upstream_unreachable"] * 4
        assert set(await client.names()) == {"cloud__chat", "cloud__embed"}
        await cloud.come()
        assert (await chat(client)).text == HEARD


async def test_a_slow_service_meets_the_deadline_and_is_left() -> None:
    async with sky(call_timeout_s=0.2) as (cloud, home):
        client = await home.http_client("modern")
        outcomes = ended(home)
        cloud.fault = fake_cloud.held
        assert "within 0.2 s" in (await chat(client)).error["message"]
        await within((await cloud.request(0)).gone.wait())
        cloud.fault = fake_cloud.trickle(0.05)
        assert "within 0.2 s" in (await chat(client)).error["message"]
        await within((await cloud.request(1)).gone.wait())
        assert outcomes == ["upstream_timeout"] * 2


@pytest.mark.parametrize("fault", [fake_cloud.held, fake_cloud.stalled_stream(1)], ids=["held", "stalled"])
async def test_a_call_that_is_given_up_closes_its_request(fault: Fault) -> None:
    async with sky() as (cloud, home):
        client = await home.http_client("modern")
        cloud.fault = fault
        pending = client.tool("cloud__chat", HELLO, meta={"progressToken": 1})
        asked = await cloud.request(0)
        assert not asked.gone.is_set()
        client.cancel(pending)
        await within(asked.gone.wait())
        assert len(cloud.asked) == 1


async def test_what_is_in_flight_ends_with_the_gateway() -> None:
    async with fake_cloud.fake_cloud() as cloud:
        cloud.fault = fake_cloud.held
        async with house(backends=[reached(cloud)]) as home:
            client = await home.http_client("modern")
            client.tool("cloud__chat", HELLO)
            asked = await cloud.request(0)
        await within(asked.gone.wait())


async def test_connections_are_used_again_after_a_stream() -> None:
    async with sky() as (cloud, home):
        client = await home.http_client("modern")
        for _ in range(5):
            assert (await chat(client, meta={"progressToken": 1})).text == HEARD
        # The end of a stream may come a little after its last event.
        assert len({id(asked.road) for asked in cloud.asked}) <= 2


async def test_a_stream_that_has_said_all_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_link, "_ENDING_S", 0.05)

    def endless(asked: fake_cloud.Asked) -> None:
        asked.stream()
        for part in (*asked.chunks(), b"[DONE]"):
            asked.event(part)

    async with sky() as (cloud, home):
        client = await home.http_client("modern")
        cloud.fault = endless
        assert (await chat(client, meta={"progressToken": 1})).text == HEARD
        await within((await cloud.request(0)).gone.wait())


async def test_calls_do_not_wait_for_each_other() -> None:
    async with sky() as (cloud, home):
        client = await home.http_client("modern")
        cloud.fault = fake_cloud.held
        held = client.tool("cloud__chat", HELLO)
        await cloud.request(0)
        cloud.fault = None
        assert (await chat(client)).text == HEARD
        cloud.release()
        assert (await held.reply()).text == HEARD


async def test_the_key_is_nowhere_but_in_requests(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    async with sky() as (cloud, home):
        client = await home.http_client("modern")
        for fault in (None, *(one[1] for one in WRONG if one[0] != "huge")):
            cloud.fault = fault
            seen.append((await chat(client)).raw.decode())
        cloud.fault = lambda asked: asked.respond("401 Unauthorized", b'{"error":{"message":"bad %s"}}' % KEY.encode())
        seen.append((await chat(client)).raw.decode())
        await cloud.go()
        seen.append((await chat(client)).raw.decode())
        seen.append(repr(home.daemon.gateway.statistics()))
        assert all(asked.headers["authorization"].endswith(KEY) for asked in cloud.asked)
    seen += [record.getMessage() for record in caplog.records]
    assert len(seen) > len(WRONG)
    assert not any(KEY in text for text in seen)


async def test_an_address_with_a_query_keeps_it() -> None:
    async with fake_cloud.fake_cloud() as cloud:
        cloud.fault = lambda asked: asked.respond("200 OK", fake_cloud.dump(asked.completion()))
        async with house(backends=[reached(cloud, url=cloud.url + "/?api-version=1")]) as home:
            client = await home.http_client("modern")
            assert (await chat(client)).text == HEARD
        assert cloud.asked[0].target == "/v1/chat/completions?api-version=1"


async def test_many_at_once_are_each_answered_with_their_own() -> None:
    async with sky() as (_, home):
        client = await home.http_client("modern")
        asked = [{"messages": [{"role": "user", "content": f"number {index}"}]} for index in range(40)]
        replies = await asyncio.gather(
            *(chat(client, one, meta={"progressToken": index} if index % 2 else {}) for index, one in enumerate(asked))
        )
        assert [reply.text for reply in replies] == [f"The cloud heard: number {index}" for index in range(40)]
