"""Some minutes of the day of `soak_day.py`, in seconds: what is held comes back to what it was. Memory is judged by
`make soak` alone, which has the time for it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

from soak_day import Day
from soak_house import SoakHouse
from soak_watch import grown

HASTY = (str(Path(__file__).with_name("soak_hasty.py")),)


def test_after_clients_that_come_and_go_and_servers_that_fail_nothing_is_held(tmp_path: Path) -> None:
    async def play(house: SoakHouse) -> tuple[Day, list[str]]:
        day = Day(house, random.Random(7), clients=10)
        await day.touch_everything()
        base = await day.settled(None, 20)
        await day.stretch(1500, 250, faults_every_s=0.5, reloads=False)
        # On a busy machine a server that failed, or hung, last may be a while from its next start.
        last = await day.settled(base, 60)
        return day, grown(base, last)

    with SoakHouse(tmp_path, HASTY) as house:
        day, held = asyncio.run(play(house))
    assert held == []
    assert day.broken == []
    assert house.orphans == []
    assert "Traceback" not in house.log()
    # What the day is for did happen.
    assert day.done == 1500
    assert day.outcomes["steady: answered"] > 700
    assert sum(house.faults.values()) > 3
    kinds = Counter(outcome.partition(":")[0] for outcome in day.outcomes)
    assert {"list", "read", "slow", "cancel", "wild", "hang"} <= set(kinds)
