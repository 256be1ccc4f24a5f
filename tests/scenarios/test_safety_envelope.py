"""The safety envelope before a machine that does whatever it is told, with the clients of others and with raw ones.

After each test the machine's own log is read: nothing unsafe is in it, and all that was safe is.
"""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
from cells import BOTH, LIMIT_S, Cell, arrived, cancels, declines, raw
from driven import KINDS, Driven, SdkClient, driven

NOBODY = "approval"
OVER_HTTP = [kind for kind in KINDS if kind.front == "http"]
EVERYBODY = [
    *(pytest.param("stdio", kind, id=f"{kind}-stdio") for kind in KINDS),
    *(pytest.param("http", kind, id=f"{kind}-http") for kind in OVER_HTTP if kind.mode == "auto"),
]
SOME = [pytest.param(BOTH[place % 2], kind, id=f"{kind}-{BOTH[place % 2]}") for place, kind in enumerate(OVER_HTTP)]

# -- one client, one command after the other ----------------------------------------------------------------------


async def refused(client: Driven, arguments: dict[str, Any], why: str, tool: str = "arm__move") -> None:
    reply = await client.call(tool, arguments)
    assert reply.failed, (arguments, reply)
    assert why in reply.text, (arguments, reply)


@pytest.mark.anyio
@pytest.mark.parametrize(("cell", "kind"), EVERYBODY, indirect=["cell"])
async def test_only_what_is_safe_gets_through(cell: Cell, kind: SdkClient, joint: str) -> None:
    async with driven(kind, cell.gateway) as client:
        assert client.revision == kind.revision
        for arguments, why in (
            ({"joint": joint, "to": 101}, "above the most allowed"),
            ({"joint": joint, "to": -0.5}, "below the least allowed"),
            ({"joint": joint, "to": 1e300}, "above the most allowed"),
            ({"joint": joint, "to": "5"}, "must be a number"),
            ({"joint": joint, "to": None}, "must be a number"),
            ({"joint": joint, "to": [5]}, "must be a number"),
            ({"joint": joint, "to": True}, "must be a number"),
            ({"joint": joint}, "is missing"),
            ({"to": 5}, "is missing"),
            ({}, "is missing"),
            ({"joint": joint, "to": 5, "force": 9}, "no rule says"),
            ({"joint": joint, "to": 5, "To": 99}, "no rule says"),
            ({"joint": joint, "to": 21}, "at once"),
        ):
            await refused(client, arguments, why)
        for value in (20, 40):
            assert (await client.call("arm__move", {"joint": joint, "to": value})).text == f"{joint} is at {value}"
        await refused(client, {"joint": joint, "to": 19}, "at once")
        # Two names of the same joint have one last value, and the server's own names lead nowhere.
        await refused(client, {"joint": joint, "to": 15}, "at once", tool="nudge")
        for name in ("move", "wave", "arm__wave", "ARM__MOVE", "arm__move ", "arm__nudge"):
            assert (await client.call(name, {"joint": joint, "to": 41})).failed, name
        assert cell.log.values(joint) == [20, 40]
        assert client.asked == []
        for unwilling in (declines, cancels):
            client.person = unwilling
            await refused(client, {"joint": joint, "to": 60}, NOBODY)
        assert len(client.asked) == 2
        assert cell.log.values(joint) == [20, 40]
        client.person = cell.agrees
        reply = await client.call("arm__move", {"joint": joint, "to": 60})
        assert reply.text == f"{joint} is at 60"
        assert len(client.asked) == 3
        # An approval is for one command.
        client.person = declines
        await refused(client, {"joint": joint, "to": 60}, NOBODY)
        assert (await client.call("nudge", {"joint": joint, "to": 45})).text == f"{joint} is at 45"
        # A person cannot agree to what is out of range or too fast.
        client.person = cell.agrees
        await refused(client, {"joint": joint, "to": 70}, "at once")
        assert len(client.asked) == 4
    assert cell.log.values(joint) == [20, 40, 60, 45]
    assert cell.log.unsafe(cell.approvals) == []


@pytest.mark.anyio
@pytest.mark.parametrize(("cell", "kind"), SOME, indirect=["cell"])
async def test_who_cannot_be_asked_cannot_do_what_needs_approval(cell: Cell, kind: SdkClient, joint: str) -> None:
    async with driven(kind, cell.gateway, asks=False) as client:
        for value in (20, 40):
            assert not (await client.call("arm__move", {"joint": joint, "to": value})).failed
        await refused(client, {"joint": joint, "to": 51}, "approve")
        assert not (await client.call("arm__move", {"joint": joint, "to": 50})).failed
    assert cell.log.values(joint) == [20, 40, 50]
    assert cell.log.unsafe(cell.approvals) == []


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_valve_is_turned_no_faster_than_it_may(cell: Cell, mode: Any, joint: str) -> None:
    async with driven(SdkClient("python", mode, "http"), cell.gateway) as client:
        assert not (await client.call("arm__pour", {"valve": joint, "to": 10})).failed
        for value in (50, 100, 0, 40):
            await refused(client, {"valve": joint, "to": value}, "faster than", tool="arm__pour")
        # The longer ago the last one was, the more is allowed.
        with anyio.fail_after(LIMIT_S):
            while (await client.call("arm__pour", {"valve": joint, "to": 10.3})).failed:  # noqa: ASYNC110
                await anyio.sleep(0.05)
        first, second = (one for one in cell.log.commands() if joint in one.arguments.values())
        assert second.value == 10.3
        assert (second.at_ns - first.at_ns) / 1e9 > 0.2
    assert cell.log.unsafe(cell.approvals) == []


# -- the dead man's switch ----------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(("cell", "kind"), SOME, indirect=["cell"])
async def test_who_falls_silent_is_stopped(cell: Cell, kind: SdkClient) -> None:
    stops = len([one for one in cell.log.commands() if one.tool == "stop"])
    async with driven(kind, cell.gateway) as client:
        assert not (await client.call("arm__rearm", {})).failed
        assert not (await client.call("arm__drive", {"speed": 30})).failed
        await arrived(cell.log, "stop", stops + 1)
        await refused(client, {"speed": 1}, "call `arm__rearm`", tool="arm__drive")
        await refused(client, {"speed": 0}, "call `arm__rearm`", tool="arm__drive")
        # What was stopped can be stopped again.
        assert not (await client.call("arm__stop", {})).failed
        await refused(client, {"speed": 1}, "call `arm__rearm`", tool="arm__drive")
        assert not (await client.call("arm__rearm", {})).failed
        assert not (await client.call("arm__drive", {"speed": 31})).failed
    # It is gone now, and the machine is stopped all the same.
    await arrived(cell.log, "stop", stops + 3)
    drives = [one.value for one in cell.log.commands() if one.tool in ("drive", "rearm", "stop")]
    assert drives[-8:] == [None, 30, None, None, None, 31, None] or drives[-7:] == [
        None,
        30,
        None,
        None,
        None,
        31,
        None,
    ]
    assert cell.log.unsafe(cell.approvals) == []


# -- raw clients: what no SDK would send ----------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("era", ["session", "modern"])
async def test_odd_spellings_move_nothing(cell: Cell, era: str, joint: str) -> None:
    def params(arguments: str) -> bytes:
        return ('{"name":"arm__move","arguments":' + arguments.replace("J", json.dumps(joint)) + "}").encode()

    async with raw(cell.gateway, era, capabilities={"elicitation": {"form": {}}}) as client:
        for arguments in (
            '{"joint":J,"to":5,"to":99}',
            '{"joint":J,"to":99,"to":5}',
            '{"joint":J,"joint":"other","to":5}',
            '{"joint":J,"to":5,"t\\u006f":99}',
            '{"joint":J,"to":1e999}',
            '{"joint":J,"to":-1e999}',
            '{"joint":J,"to":1000000000000000000000000000000}',
            '{"joint":J,"to":1.00000000000000000000000001}',
            '{"joint":J,"to":100.00000000000000000000001}',
            '{"joint":J,"to":1e2}',
            '{"joint":J,"to":-1e-400,"speed":1}',
            '{"joint":J,"to":{"value":5}}',
            '{"joint":J,"to":[5]}',
            '{"joint":[J],"to":5}',
            '{"joint":J,"to":"NaN"}',
            '[{"joint":J,"to":5}]',
            '"text"',
            "null",
        ):
            reply = await client.call("tools/call", params(arguments))
            assert "error" in reply.message or reply.result.get("isError"), (arguments, reply.raw)
        for spelling in ("NaN", "Infinity", "-Infinity", "0x10", "+5", "05", "5.", ".5", "1_0"):
            known = len(client.stray)
            pending = client.begin("tools/call", params('{"joint":J,"to":' + spelling + "}"))
            reply = await client.stray.wait(lambda one: True, skip=known)
            assert reply.message["error"]["code"] == -32700, (spelling, reply.raw)
            assert not pending.answer.done()
        # A second `arguments`, or a second name, is none of the two.
        for text in (
            '{"name":"arm__move","arguments":{"joint":J,"to":5},"arguments":{"joint":J,"to":99}}',
            '{"name":"arm__stop","name":"arm__move","arguments":{"joint":J,"to":99}}',
        ):
            reply = await client.call("tools/call", text.replace("J", json.dumps(joint)).encode())
            assert "error" in reply.message, reply.raw
        assert cell.log.values(joint) == []
        # What is only spelt strangely is the number that it is.
        reply = await client.call("tools/call", params('{"to":0.2e2 ,  "joi\\u006et":J}'))
        assert reply.result.get("isError") is not True
    assert cell.log.values(joint) == [20]
    assert cell.log.unsafe(cell.approvals) == []
