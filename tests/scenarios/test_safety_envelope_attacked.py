"""Ways around the safety envelope: states used twice, batches, tasks, many clients at once, restarts, reloads.

As in `test_safety_envelope.py` it is the machine's own log that tells.
"""

from __future__ import annotations

import json
import os
import random
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from cells import Cell, arrived, raw
from clients import Reply, StreamClient
from driven import SdkClient, driven
from envelope import configuration_text, guarded, machine_table
from gateway_process import Gateway, GatewayFailed, gateway
from machine_log import MachineLog

pytestmark = pytest.mark.anyio

ABLE = {"elicitation": {"form": {}}}
TASKS = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
YES = {"action": "accept", "content": {}}
CROWD: dict[str, tuple[SdkClient, ...]] = {
    "session": (
        SdkClient("python", "legacy", "stdio"),
        SdkClient("typescript-1", "legacy", "http"),
        SdkClient("python", "legacy", "http"),
    ),
    "modern": (
        SdkClient("python", "auto", "http"),
        SdkClient("typescript-2", "auto", "stdio"),
        SdkClient("python", "auto", "stdio"),
    ),
}
ERAS = ("session", "modern")


def call(joint: str, to: Any, **more: Any) -> dict[str, Any]:
    return {"name": "arm__move", "arguments": {"joint": joint, "to": to}, **more}


def not_done(reply: Reply) -> bool:
    return "error" in reply.message or reply.result.get("isError") is True or "inputRequests" in reply.result


async def up_to_40(client: StreamClient, joint: str) -> None:
    for value in (20, 40):
        assert not not_done(await client.call("tools/call", call(joint, value)))


# -- approvals ------------------------------------------------------------------------------------------------------


async def test_a_state_is_good_for_one_command_of_the_same_kind(cell: Cell, joint: str) -> None:
    async with raw(cell.gateway, "modern", capabilities=ABLE) as client:
        await up_to_40(client, joint)
        asked = (await client.call("tools/call", call(joint, 60))).result
        assert asked["resultType"] == "input_required"
        cell.agrees(asked["inputRequests"]["approval"]["params"]["message"])
        yes: dict[str, Any] = {"inputResponses": {"approval": YES}, "requestState": asked["requestState"]}
        for other in (call(joint, 59, **yes), call(joint + "x", 60, **yes), call(joint, 60.0, **yes)):
            assert not_done(await client.call("tools/call", other)), other
        nudge = {**call(joint, 60, **yes), "name": "nudge"}
        assert not_done(await client.call("tools/call", nudge))
        for state in ("", "x", yes["requestState"][:-1], yes["requestState"].swapcase()):
            assert not_done(await client.call("tools/call", call(joint, 60, **{**yes, "requestState": state}))), state
        # Nobody was asked, so nobody agreed.
        assert not_done(await client.call("tools/call", call(joint, 60, inputResponses={"approval": YES})))
        assert cell.log.values(joint) == [20, 40]
        # Many at once: it is one command.
        pending = [client.begin("tools/call", call(joint, 60, **yes)) for _ in range(8)]
        replies = [await one.reply() for one in pending]
        assert [not_done(reply) for reply in replies].count(False) == 1
        assert not_done(await client.call("tools/call", call(joint, 60, **yes)))
    assert cell.log.values(joint) == [20, 40, 60]
    assert cell.log.unsafe(cell.approvals) == []


async def test_an_approval_does_not_outlive_what_it_was_about(cell: Cell, joint: str) -> None:
    """While the person thinks, somebody moves the joint so far away that the command is now too large a step."""
    async with raw(cell.gateway, "modern", capabilities=ABLE) as slow, raw(cell.gateway, "session") as quick:
        await up_to_40(slow, joint)
        asked = (await slow.call("tools/call", call(joint, 60))).result
        assert not not_done(await quick.call("tools/call", call(joint, 30)))
        cell.agrees(asked["inputRequests"]["approval"]["params"]["message"])
        yes: dict[str, Any] = {"inputResponses": {"approval": YES}, "requestState": asked["requestState"]}
        late = await slow.call("tools/call", call(joint, 60, **yes))
        assert "at once" in late.text
    assert cell.log.values(joint) == [20, 40, 30]
    assert cell.log.unsafe(cell.approvals) == []


async def test_answers_to_other_questions_approve_nothing(cell: Cell, joint: str) -> None:
    async with raw(cell.gateway, "session", capabilities=ABLE) as client:
        await up_to_40(client, joint)
        for answer in ({"action": "decline"}, {"action": "cancel"}, {}, {"action": "yes"}, {"action": ["accept"]}):
            known = len(client.questions)
            pending = client.begin("tools/call", call(joint, 60))
            question = await client.questions.wait(lambda one: True, skip=known)
            for other in (question["id"] + 1 if isinstance(question["id"], int) else "x", 0, "approval"):
                client.answer({"id": other}, YES)
            client.answer(question, answer)
            assert not_done(await pending.reply()), answer
            client.answer(question, YES)
        assert cell.log.values(joint) == [20, 40]
        # One question, one command: of two that look the same, the one that was agreed to.
        known = len(client.questions)
        both = [client.begin("tools/call", call(joint, 60)) for _ in range(2)]
        first = await client.questions.wait(lambda one: True, skip=known)
        second = await client.questions.wait(lambda one: True, skip=known + 1)
        client.answer(first, {"action": "decline"})
        cell.agrees(second["params"]["message"])
        client.answer(second, YES)
        assert [not_done(await one.reply()) for one in both].count(False) == 1
    assert cell.log.values(joint) == [20, 40, 60]
    assert cell.log.unsafe(cell.approvals) == []


# -- other ways to make a call -----------------------------------------------------------------------------------


async def test_a_batch_is_looked_at_command_by_command(cell: Cell, joint: str) -> None:
    async with raw(cell.gateway, "session", revision="2025-03-26") as client:
        values = [20, 99, 41, 40, -1, "45", 60, 21]
        batch = [
            {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": call(joint, value)}
            for number, value in enumerate(values, 100)
        ]
        known = len(client.stray)
        client.send_raw(json.dumps(batch).encode() + b"\n")
        answers = json.loads((await client.stray.wait(lambda one: True, skip=known)).raw)
        done = {one["id"] for one in answers if "result" in one and not one["result"].get("isError")}
        # Nobody says in which order a batch is served.
        assert 100 in done
        assert done <= {100, 103, 107}
    assert sorted(cell.log.values(joint)) == sorted(values[number - 100] for number in done)
    assert cell.log.unsafe(cell.approvals) == []


@pytest.mark.parametrize("era", ERAS)
async def test_a_task_is_looked_at_before_it_begins(cell: Cell, era: str, joint: str) -> None:
    async with raw(cell.gateway, era, capabilities=TASKS) as client:
        for value in (20, 101, "5", 41, 60):
            reply = await client.call("tools/call", call(joint, value, task={"ttl": 60000}))
            if value != 20:
                assert not_done(reply), reply.raw
        before = cell.log.values(joint)
        assert not not_done(await client.call("tools/call", call(joint, 15)))
    assert cell.log.values(joint) == [*before, 15]
    assert cell.log.unsafe(cell.approvals) == []


async def test_a_notification_moves_nothing(cell: Cell, joint: str) -> None:
    async with raw(cell.gateway, "session") as client:
        client.notify("tools/call", call(joint, 99))
        client.notify("tools/call", call(joint, 5))
        assert not not_done(await client.call("tools/call", call(joint, 10)))
    assert cell.log.values(joint) == [10]


# -- many at once ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["stdio"], indirect=True)
@pytest.mark.parametrize("era", ERAS)
async def test_no_two_commands_are_judged_by_the_same_last_value(cell: Cell, era: str, joint: str) -> None:
    """Clients that know nothing of each other, each with several commands under way, on one line to the machine."""
    dice = random.Random(joint)
    done: list[float] = []

    async def hurry(kind: SdkClient) -> None:
        async with driven(kind, cell.gateway, asks=False) as client:

            async def one(value: int) -> None:
                if not (await client.call("arm__move", {"joint": joint, "to": value})).failed:
                    done.append(value)

            for _ in range(4):
                async with anyio.create_task_group() as group:
                    for _ in range(6):
                        group.start_soon(one, dice.randrange(0, 51))

    async with anyio.create_task_group() as group:
        for kind in CROWD[era]:
            group.start_soon(hurry, kind)
    assert len(done) > 10
    assert sorted(cell.log.values(joint)) == sorted(done)
    assert cell.log.unsafe(cell.approvals) == []


# -- a gateway that ends, a gateway that learns ------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What outlives a gateway is here."""
    monkeypatch.setenv("TIDEGATE_STATE", str(tmp_path / "state"))
    return tmp_path


async def move(daemon: Gateway, joint: str, to: float) -> Reply:
    async with raw(daemon, "modern") as client:
        return await client.call("tools/call", call(joint, to))


async def use(daemon: Gateway, tool: str, **arguments: Any) -> Reply:
    async with raw(daemon, "modern") as client:
        return await client.call("tools/call", {"name": f"arm__{tool}", "arguments": arguments})


async def test_the_last_value_outlives_a_gateway(state: Path) -> None:
    log = MachineLog(state / "log")
    with machine_table("stdio", log.path) as table:
        with guarded(table) as daemon:
            assert not not_done(await move(daemon, "elbow", 20))
            assert not not_done(await use(daemon, "drive", speed=30))
        # Whoever could have renewed it is gone with the gateway, which stopped the machine before it ended.
        assert [one.tool for one in log.commands()] == ["move", "drive", "stop"]
        with guarded(table) as daemon:
            assert not_done(await move(daemon, "elbow", 41))
            assert not not_done(await move(daemon, "elbow", 40))
    assert log.values("elbow") == [20, 40]
    assert log.unsafe() == []


@contextmanager
def killed_in_the_end(table: str) -> Iterator[Gateway]:
    with pytest.raises(GatewayFailed, match="ended with -9"), guarded(table) as daemon:  # noqa: PT012 - it is a context
        yield daemon
        os.kill(daemon.pid, signal.SIGKILL)
        os.waitid(os.P_PID, daemon.pid, os.WEXITED | os.WNOWAIT)


async def test_a_killed_gateway_remembers_that_a_command_was_not_renewed(state: Path) -> None:
    log = MachineLog(state / "log")
    with machine_table("http", log.path) as table:
        with killed_in_the_end(table) as daemon:
            assert not not_done(await move(daemon, "elbow", 20))
            assert not not_done(await use(daemon, "drive", speed=30))
        with guarded(table) as daemon:
            assert not_done(await move(daemon, "elbow", 41))
            assert "rearm" in (await use(daemon, "drive", speed=1)).text
            assert not not_done(await use(daemon, "rearm"))
            assert not not_done(await use(daemon, "drive", speed=1))
    tools = [one.tool for one in log.commands()]
    assert tools[:4] == ["move", "drive", "rearm", "drive"]
    assert log.values("elbow") == [20]
    assert log.unsafe() == []


def reload(daemon: Gateway, text: str) -> None:
    daemon.config.write_text(text, encoding="utf-8")
    with urllib.request.urlopen(urllib.request.Request(f"{daemon.admin}/reload", data=b"")) as answer:
        assert answer.status == 200, answer.read()


async def test_rules_that_change_meanwhile_leave_no_gap(state: Path) -> None:
    log = MachineLog(state / "log")
    with machine_table("http", log.path) as table:
        text = configuration_text(table)
        stricter = text.replace("max_step = 20", "max_step = 4")
        with gateway(text) as daemon:
            over = anyio.Event()
            done: list[int] = []

            async def change() -> None:
                """Names, rules that do not matter here, and back."""
                number = 0
                while not over.is_set():
                    number += 1
                    # The same filter with another rule of its own: a filter that is loaded anew.
                    more = text.replace('pointer = "/speed"\nmin = 0', f'pointer = "/speed"\nmin = {number % 3}')
                    await anyio.to_thread.run_sync(reload, daemon, more)
                    await anyio.sleep(0.2)  # Else a call may never see the end of it.

            async with anyio.create_task_group() as group:
                group.start_soon(change)
                dice = random.Random(6)
                async with raw(daemon, "session") as one, raw(daemon, "modern") as other:
                    for _ in range(25):
                        value = dice.randrange(0, 51)
                        client = dice.choice([one, other])
                        if not not_done(await client.call("tools/call", call("knee", value))):
                            done.append(value)
                over.set()
            assert log.values("knee") == done
            assert len(done) > 10
            # While a person thinks about it, the step gets smaller: that holds for what was asked before, too.
            reload(daemon, text)
            async with raw(daemon, "modern", capabilities=ABLE) as client:
                await up_to_40(client, "wrist")
                asked = (await client.call("tools/call", call("wrist", 60))).result
                reload(daemon, stricter)
                yes: dict[str, Any] = {"inputResponses": {"approval": YES}, "requestState": asked["requestState"]}
                assert not_done(await client.call("tools/call", call("wrist", 60, **yes)))
                assert not_done(await client.call("tools/call", call("wrist", 45)))
                assert not not_done(await client.call("tools/call", call("wrist", 44)))
            assert log.values("wrist") == [20, 40, 44]
            # A reload does not stop the clock of who fell silent.
            assert not not_done(await use(daemon, "drive", speed=2))
            reload(daemon, text)
            await arrived(log, "stop", 1)
    assert log.unsafe() == []
