"""Both sides of a gateway see the same, whether it relays, relays even first calls, or does neither.

python -m pytest tests/relay/test_same_traffic.py
TIDEGATE_FUZZ_SECONDS=1200 python -m pytest -s tests/relay/test_same_traffic.py -k long
TIDEGATE_FUZZ_SEED=4711 python -m pytest tests/relay/test_same_traffic.py -k one
"""

from __future__ import annotations

import os
import time

import pytest
from playing import Account, difference, play
from traffic import Traffic, traffic

pytestmark = pytest.mark.anyio

SCENARIOS = 60
PART = 6
LONG_S = float(os.environ.get("TIDEGATE_FUZZ_SECONDS", "0"))
FROM = int(os.environ.get("TIDEGATE_FUZZ_SEED", "-1"))


async def compare(made: Traffic) -> tuple[str, Account, Account]:
    """A difference, or nothing; and the accounts of the relay as it is shipped, and eager."""
    for patience in (30, 300):
        # On a busy machine a step may begin before all of the one before has arrived; not twice, with patience.
        off, on, eager = [await play(made, mode, patience) for mode in ("off", "on", "eager")]
        found = [
            f"{mode}\n{different}"
            for mode, account in (("on", on), ("eager", eager))
            if (different := difference(off, account, made))
        ]
        if not found:
            break
    return "\n".join(found), on, eager


@pytest.mark.parametrize("part", range(SCENARIOS // PART))
async def test_nothing_but_the_cost_differs(part: int) -> None:
    for seed in range(part * PART, part * PART + PART):
        found, _, _ = await compare(traffic(seed))
        assert not found, f"seed {seed}: {found}"


async def test_the_traffic_is_worth_it() -> None:
    """Much of it is relayed, and some is given up in the middle."""
    made = [traffic(seed) for seed in range(8)]
    accounts = [await play(each, "eager") for each in made]
    assert sum(account.relayed for account in accounts) > 10
    assert sum(account.promoted for account in accounts) > 5


@pytest.mark.skipif(FROM < 0, reason="set TIDEGATE_FUZZ_SEED")
async def test_one_seed() -> None:
    found, on, eager = await compare(traffic(FROM))
    assert not found, f"seed {FROM}: {found}"
    print(f"relayed {on.relayed} and {eager.relayed}, given up {on.promoted} and {eager.promoted}")


@pytest.mark.skipif(not LONG_S, reason="set TIDEGATE_FUZZ_SECONDS")
async def test_for_long() -> None:
    seed = begin = max(FROM, 100_000)
    until_s = time.monotonic() + LONG_S
    relayed = promoted = 0
    wrong = []
    while time.monotonic() < until_s:
        try:
            found, on, eager = await compare(traffic(seed))
        except Exception as error:
            found = f"raised {error!r}"
        else:
            relayed += on.relayed + eager.relayed
            promoted += on.promoted + eager.promoted
        if found:
            wrong.append(seed)
            print(f"seed {seed}: {found}", flush=True)
        seed += 1
    print(f"{seed - begin} scenarios, {relayed} calls relayed, {promoted} given up; wrong: {wrong}", flush=True)
    assert not wrong
