"""`memory_bytes` and `cpu_percent` of a backend, on the real daemon."""

from __future__ import annotations

import asyncio
import re
import time

import pytest
from children_house import carriers, cpu_s, hostile, link_of, mark_of, misbehave, until_answers, until_gone

pytestmark = pytest.mark.anyio


async def test_a_child_that_uses_too_much_memory_is_ended_with_all_it_started_and_its_caller_hears_why() -> None:
    async with hostile("grows", "shows", more="memory_bytes = 134217728\n") as home:
        await until_answers(home, "grows")
        await until_answers(home, "shows")
        link = await link_of(home, "grows")
        assert 1 << 20 < link["memory_bytes"] < 128 << 20
        mark = mark_of(link["pid"])
        other = (await link_of(home, "shows"))["pid"]
        async with home.others_answered():
            error = (await home.listener.tool("grows__misbehave").reply()).error["message"]
            while "did not answer" in error:
                # On a busy box it takes its time to grow.
                error = (await home.listener.tool("grows__misbehave").reply()).error["message"]
            assert re.search(r"`grows` used \d+ MiB of the 128 MiB it may \(`memory_bytes`\) and was ended", error), (
                error
            )
            await until_gone(mark)
            await until_answers(home, "grows")
        assert (await link_of(home, "shows"))["pid"] == other


async def test_a_child_that_uses_too_much_cpu_time_gets_its_share_and_goes_on_serving() -> None:
    async with hostile("burns", timeout_s=20, more="cpu_percent = 5\n") as home:
        await until_answers(home, "burns")
        link = await link_of(home, "burns")
        mark = mark_of(link["pid"])
        assert (await misbehave(home, "burns")).text == "burning"
        while not (await link_of(home, "burns"))["stopped_s"]:  # noqa: ASYNC110  nothing tells
            await asyncio.sleep(0.05)
        members = carriers(mark)
        assert len(members) == 2
        before, since_s = sum(map(cpu_s, members)), time.monotonic()
        while time.monotonic() - since_s < 2:
            await until_answers(home, "burns")
        # It is a share on average, of what could be a whole core.
        assert (sum(map(cpu_s, members)) - before) / (time.monotonic() - since_s) < 0.2
        home.process.terminate()
        await asyncio.wait_for(home.process.wait(), 25)
        assert carriers(mark) == []
