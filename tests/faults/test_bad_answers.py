"""One HTTP backend answers calls badly, in every way there is; its callers hear why, everybody else notices nothing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from faulty_http import FaultyHttp
from http_faults import EVERY, FAULTS, HttpFault
from two_backends import TwoBackends, two_backends

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=EVERY)
async def house(request: pytest.FixtureRequest) -> AsyncIterator[tuple[FaultyHttp, TwoBackends]]:
    server = FaultyHttp(request.param)
    await server.start()
    transport = 'transport = "sse"\n' if request.param == "sse" else ""
    async with two_backends(f'url = "{server.url}"\n{transport}', limits="result_bytes = 2_000_000") as home:
        await home.start_clients()
        await home.until_listed()
        yield server, home
    server.stop()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_a_bad_answer_is_told_to_its_caller_alone(
    house: tuple[FaultyHttp, TwoBackends], fault: HttpFault
) -> None:
    server, home = house
    await home.until_works()
    server.break_down(fault.act, only=("tools/call",))
    before = server.asked["tools/call"]
    try:
        async with home.others_answered():
            reply = await home.call_bad()
            error = str(reply.error["message"])
            assert "`bad`" in error
            assert re.search(fault.says, error), error
            assert "secret" not in error
            # What may have been done is not done again.
            assert server.asked["tools/call"] - before == fault.asked
            server.heal()
            await home.until_works()
            await home.until_listed()
    finally:
        server.heal()
