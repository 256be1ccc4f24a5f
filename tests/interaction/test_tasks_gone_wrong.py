"""Tasks between the eras when somebody goes astray: too deep, too late, of no task that is known."""

from __future__ import annotations

import pytest
from gateway import house
from heard import Json
from test_tasks_across_eras import (
    ALL,
    CONTENT,
    SAMPLE,
    SAMPLED,
    about,
    flat,
    made,
    polled,
    stateless_server,
)

from tidegate.config.snapshot import Limits

pytestmark = pytest.mark.anyio


# -- a session's client, a stateless server --------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "depth"), [(64, 59), (400, 390)])
async def test_answers_may_be_as_deep_as_the_gateway_lets_them(limit: int, depth: int) -> None:
    limits = Limits(rate_per_s=0, drain_s=0.0, depth=limit)
    async with house(stateless_server(), transport="stdio", limits=limits) as home:
        client = await home.client("tcp", "session", capabilities=ALL)
        await made(home, client)
        pending = about(client, "result")
        requests = {"a": {"method": "sampling/createMessage", "params": SAMPLE}}
        await polled(home, "input_required", inputRequests=requests)
        deep: Json = []
        for _ in range(depth):
            deep = [deep]
        client.answer(await client.questions.wait(lambda item: True), {**SAMPLED, "_meta": {"deep": deep}})
        call = await home.server.next_call()
        while call.method == "tasks/get":
            call.reply({"resultType": "complete", **flat("input_required", inputRequests=requests)})
            call = await home.server.next_call()
        assert call.params["inputResponses"]["a"]["_meta"] == {"deep": deep}
        call.reply({"resultType": "complete"})
        await polled(home, "completed", result={**CONTENT, "_meta": {"deep": deep}})
        assert (await pending.reply()).text == "done"
