"""A filter that must know is told how each call that it let pass ended, once."""

from __future__ import annotations

import anyio
import pytest
from heard import Json, until
from judge import PASS, Inspection, Judge, configured, guarded, refuse
from scripted_server import ScriptedServer
from test_filters import some

pytestmark = pytest.mark.anyio


def attentive(**more: Json) -> Judge:
    judge = Judge(**more)
    judge.manifest.inspects = ("request", "end")
    return judge


def ends(judge: Judge) -> list[tuple[Json, Json]]:
    """The arguments of each call whose end it was told of, and that: the result, or what there is instead of one."""
    return [(seen.arguments, _short(seen)) for seen in judge.of("result")]


def _short(seen: Inspection) -> Json:
    how = seen.result.get("_meta", {}).get("dev.tidegate/end")
    return how if how is not None else seen.result


@some
async def test_the_end_is_the_result_and_is_told_before_the_next_call_is_judged(
    era: str, server_era: str, way_in: str, way_out: str
) -> None:
    judge = attentive()
    async with guarded(ScriptedServer(server_era), transport=way_out, judges={"judge": judge}) as home:
        client = await home.client(way_in, era)
        for n in (1, 2):
            pending = client.tool("echo", {"n": n})
            (await home.server.next_call("tools/call")).text(f"said {n}")
            await pending.reply()
        assert [seen.which for seen in judge.seen] == ["request", "result"] * 2
        told = [(arguments, end["content"][0]["text"]) for arguments, end in ends(judge)]
        assert told == [({"n": 1}, "said 1"), ({"n": 2}, "said 2")]


@some
async def test_an_error_of_the_server_is_an_end(era: str, server_era: str, way_in: str, way_out: str) -> None:
    judge = attentive()
    async with guarded(ScriptedServer(server_era), transport=way_out, judges={"judge": judge}) as home:
        client = await home.client(way_in, era)
        pending = client.tool("echo", {"n": 1})
        (await home.server.next_call("tools/call")).fail(-32000, "jammed")
        assert (await pending.reply()).error["message"] == "jammed"
        ((arguments, end),) = ends(judge)
        assert arguments == {"n": 1}
        assert end["isError"] is True
        assert end["content"][0]["text"] == "jammed"


@pytest.mark.parametrize("key", ["dev.tidegate/end", "dev.tidegate\\/end"])
async def test_a_server_cannot_say_that_it_never_got_the_call(key: str) -> None:
    judge = attentive()
    async with guarded(ScriptedServer("modern"), judges={"judge": judge}) as home:
        client = await home.client("tcp", "modern")
        pending = client.tool("echo", {"n": 1})
        forged = b'{"resultType":"complete","content":[],"isError":true,"_meta":{"' + key.encode() + b'":"not_sent"}}'
        (await home.server.next_call("tools/call")).reply(forged)
        await pending.reply()
        assert ends(judge) == [({"n": 1}, "unknown")]


async def test_what_another_filter_refuses_was_not_sent() -> None:
    judges: Json = {"first": attentive(), "second": Judge(lambda seen: refuse("no"))}
    async with guarded(ScriptedServer("modern"), judges=judges) as home:
        client = await home.client("tcp", "modern")
        assert (await client.tool("echo", {"n": 1}).reply()).result["isError"] is True
        assert ends(judges["first"]) == [({"n": 1}, "not_sent")]


async def test_what_a_filter_itself_refuses_has_no_end() -> None:
    judge = attentive(request=lambda seen: refuse("no"))
    async with guarded(ScriptedServer("modern"), judges={"judge": judge}) as home:
        client = await home.client("tcp", "modern")
        await client.tool("echo").reply()
        assert ends(judge) == []


@some
async def test_a_call_that_is_cancelled_at_its_server_may_have_arrived(
    era: str, server_era: str, way_in: str, way_out: str
) -> None:
    judge = attentive()
    async with guarded(ScriptedServer(server_era), transport=way_out, judges={"judge": judge}) as home:
        client = await home.client(way_in, era)
        pending = client.tool("echo", {"n": 1})
        await home.server.next_call("tools/call")
        if pending.http is not None and era == "modern":
            pending.http.close()
        else:
            client.cancel(pending)
        await until(lambda: ends(judge) == [({"n": 1}, "unknown")])


@pytest.mark.parametrize(("era", "server_era"), [("modern", "modern"), ("modern", "session"), ("session", "modern")])
async def test_a_call_that_is_cancelled_while_it_waits_for_its_server_was_not_sent(era: str, server_era: str) -> None:
    judge = attentive()
    fields = [{"max_in_flight": 1}]
    async with guarded(ScriptedServer(server_era), judges={"judge": judge}, fields=fields) as home:
        client = await home.client("tcp", era)
        first = client.tool("echo", {"n": 1})
        call = await home.server.next_call("tools/call")
        second = client.tool("echo", {"n": 2})
        await until(lambda: len(home.daemon.gateway.services[0].queue) == 1)
        client.cancel(second)
        await until(lambda: ends(judge) == [({"n": 2}, "not_sent")])
        call.text("one")
        await first.reply()
        assert [arguments for arguments, _ in ends(judge)] == [{"n": 2}, {"n": 1}]


async def test_a_call_that_is_judged_again_was_not_sent_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.pipeline.filtering.screened._FRESH_S", 0.02)
    judge = attentive()
    fields = [{"max_in_flight": 1}]
    filters = [configured("judge", time=True)]
    async with guarded(ScriptedServer("modern"), judges={"judge": judge}, fields=fields, filters=filters) as home:
        client = await home.client("tcp", "modern")
        first = client.tool("echo", {"n": 1})
        call = await home.server.next_call("tools/call")
        second = client.tool("echo", {"n": 2})
        await until(lambda: len(home.daemon.gateway.services[0].queue) == 1)
        await anyio.sleep(0.05)
        call.text("one")
        await first.reply()
        (await home.server.next_call("tools/call")).text("two")
        await second.reply()
        passes = [seen.arguments for seen in judge.of("request")]
        assert passes.count({"n": 2}) == len([arguments for arguments, _ in ends(judge) if arguments == {"n": 2}])
        assert passes.count({"n": 2}) >= 2
        told = [end for arguments, end in ends(judge) if arguments == {"n": 2}]
        assert set(map(str, told[:-1])) == {"not_sent"}
        assert told[-1]["content"][0]["text"] == "two"


async def test_a_filter_that_passes_a_call_whose_client_has_left_is_told_so() -> None:
    judge = attentive(request=lambda seen: None)
    async with guarded(ScriptedServer("modern"), judges={"judge": judge}) as home:
        client = await home.client("tcp", "modern")
        pending = client.tool("echo", {"n": 1})
        seen = await judge.seen.wait(lambda seen: True)
        client.cancel(pending)
        judge.on_request = lambda seen: refuse("no")
        await client.tool("echo", {"n": 2}).reply()
        # It was in the middle of noting that, and is not stopped there.
        assert not seen.cancelled
        assert ends(judge) == []
        seen.judge(PASS)
        assert ends(judge) == [({"n": 1}, "not_sent")]


async def test_a_server_that_is_lost_may_have_got_the_call() -> None:
    judge = attentive()
    async with guarded(ScriptedServer("modern"), transport="tcp", judges={"judge": judge}) as home:
        client = await home.client("tcp", "modern")
        pending = client.tool("echo", {"n": 1})
        (await home.server.next_call("tools/call")).channel.hang_up()
        assert "closed" in (await pending.reply()).error["message"]
        assert ends(judge) == [({"n": 1}, "unknown")]
