"""Whatever happens meanwhile, data that must stay are never heard of in the cloud: chance plays the world."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest
from heard import Json, until, within
from served import DATA_CLASS, capability, reading, reply_with, stage

pytestmark = pytest.mark.anyio

SECRET = "4711-SECRET"
CHANGED = "notifications/tools/list_changed"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("server_era", ["modern", "session"])
async def test_no_order_of_events_takes_what_must_stay_into_the_cloud(seed: int, server_era: str) -> None:
    chance = random.Random(seed)
    rules = capability(
        order=("here__read", "cloud__read", "read", "gone__read"),
        busy_ms=5,
        attempt_timeout_s=0.2,
        min_confidence=0.5,
        stay=("patient",),
    )
    fields: Json = ({"max_in_flight": 2, "max_queued": 3}, {"max_in_flight": 2})
    async with stage(rules, eras=(server_era, "modern"), fields=fields) as now:
        daemon, gateway = now.house.daemon, now.house.daemon.gateway
        first, cloud, served = gateway.snapshot.backends

        async def reload() -> None:
            """The names change hands; the server on the box is taken for one that is not, and the other way round."""
            here_alias = chance.choice([(), (("read", "read"),), (("read", "cloud__read"),)])
            cloud_alias = chance.choice([(), (("read", "here__read"),), (("read", "read"),)])
            backends = [
                replace(first, aliases=here_alias, remote=chance.choice([None, None, True])),
                replace(cloud, aliases=cloud_alias),
            ]
            if chance.random() < 0.5:
                backends.reverse()
            await within(daemon.take_up(replace(daemon.gateway.snapshot, backends=(*backends, served))))

        async def play(server: Json) -> None:
            seen = 0
            while True:
                asked = await server.calls.wait(lambda item: True, skip=seen)
                seen = server.calls.items.index(asked) + 1
                end = chance.randrange(6)
                if end == 0:
                    asked.fail(-32603, "no")
                elif end == 1:
                    asked.channel.hang_up()
                elif end > 2:
                    reply_with(asked, "yes", confidence=chance.random())

        async def endlessly(server: Json) -> None:
            while True:
                try:
                    await play(server)
                except TimeoutError:
                    continue

        players = [asyncio.ensure_future(endlessly(server)) for server in (now.here, now.cloud)]
        client = await now.house.client("tcp", chance.choice(["modern", "session"]))
        pending: list[Json] = []
        stayed = 0
        for _ in range(300):
            what = chance.randrange(12)
            if what == 0:
                await reload()
            elif what == 1:
                now.here.offers["tools"] = chance.choice([[], [reading("here")]])
                now.here.announce(CHANGED)
            elif what == 2 and pending:
                client.cancel(chance.choice(pending))
            elif what < 9:
                stayed += 1
                pending.append(now.begin(client, {DATA_CLASS: "patient"}, {"text": SECRET}))
            else:
                pending.append(now.begin(client, None, {"text": "anybody's"}))
            if chance.random() < 0.5:
                await asyncio.sleep(chance.choice([0, 0, 0.005]))
        await until(lambda: gateway.admission.in_flight == 0)
        for player in players:
            player.cancel()
        await asyncio.gather(*players, return_exceptions=True)
        assert now.leaked(SECRET) == []
        assert stayed > 40
        assert any("anybody's" in item.raw.decode() for item in now.cloud.heard), "the cloud was never asked at all"
        assert any(SECRET in item.raw.decode() for item in now.here.heard), "nothing was ever asked of the box"
