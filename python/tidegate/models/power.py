"""How hard the box may work for its models: a pure decision from heat, battery and mains, with a memory against
flapping.

The worker asks for threads and patience, the gateway for the choice between box and cloud; each keeps a `PowerWatch` of
its own. What is read stands in `power_readings.py`.

| profile       | threads of one computation | wait of a batch | box or cloud                |
| ------------- | -------------------------- | --------------- | --------------------------- |
| `performance` | all cores                  | half            | as the capability orders it |
| `balanced`    | all cores but one          | as configured   | as the capability orders it |
| `saver`       | one                        | four times      | the cloud first             |

`auto` is `saver` while the box is too hot or its battery low, `performance` while it is cool and on mains, otherwise
`balanced`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from tidegate.clock import Clock
from tidegate.config import snapshot
from tidegate.host.tree import Tree
from tidegate.models.power_readings import PowerReadings, PowerSources

Profile = Literal["performance", "balanced", "saver"]
Prefer = Literal["order", "local", "cloud"]

BATCH_WAIT: Final[dict[Profile, float]] = {"performance": 0.5, "balanced": 1.0, "saver": 4.0}
"""Times `batch_wait_ms`. Larger batches cost less energy a call; someone waits longer for it."""

RECHARGED_PERCENT: Final = 5.0
"""A battery that was low no longer is when it holds so much more than the bound."""

REREAD_S: Final = 5.0
"""Heat and charge change in tens of seconds; a reading costs some tens of microseconds."""


@dataclass(frozen=True, slots=True)
class Power:
    """What is allowed now."""

    profile: Profile
    threads: int
    """For one computation, at least 1."""
    batch_wait_factor: float
    prefer: Prefer
    """What a capability asks first: its own order, or the cloud."""
    hot: bool
    """Whether the box is too hot for models, whatever the profile."""
    low_battery: bool
    """Whether the box runs on its battery, and that is low, whatever the profile."""
    why: str
    """In words, for people."""


def decide(readings: PowerReadings, settings: snapshot.Power, before: Power | None) -> Power:
    """`before`: the decision of the last readings. It holds while readings are between two bounds:

    - too hot from `hot_c` on, until `cool_c`;
    - `performance` up to `cool_c`, and once there until halfway to `hot_c`;
    - battery low at `low_battery_percent`, until `RECHARGED_PERCENT` above it or on mains.
    """
    heat, charge = readings.hottest_c, readings.battery_percent
    hot = heat is not None and (
        heat >= settings.hot_c or (before is not None and before.hot and heat > settings.cool_c)
    )
    enough = settings.low_battery_percent
    if before is not None and before.low_battery:
        enough += RECHARGED_PERCENT
    low = readings.discharging and charge is not None and charge <= enough
    profile: Profile
    if settings.profile != "auto":
        profile, why = settings.profile, f"`profile` is `{settings.profile}`"
    elif hot:
        profile, why = "saver", f"{heat:.0f} °C, too hot from {settings.hot_c:.0f} °C until {settings.cool_c:.0f} °C"
    elif low:
        profile, why = "saver", f"battery at {charge:.0f} %"
    elif readings.discharging:
        profile, why = "balanced", "on battery" if charge is None else f"on battery, at {charge:.0f} %"
    elif readings.wants_little:
        profile, why = "balanced", "the box is set to a frugal platform profile"
    elif heat is None:
        profile, why = "performance", "on mains, no temperature known"
    else:
        fast = before is not None and before.profile == "performance"
        bound = (settings.cool_c + settings.hot_c) / 2 if fast else settings.cool_c
        profile = "performance" if heat <= bound else "balanced"
        why = f"on mains, {heat:.0f} °C"
    return Power(
        profile=profile,
        threads=_threads(profile, readings.cores),
        batch_wait_factor=BATCH_WAIT[profile],
        prefer="cloud" if profile == "saver" else "order",
        hot=hot,
        low_battery=low,
        why=why,
    )


class PowerWatch:
    """The decision as it is now, read again at most every `REREAD_S` seconds."""

    def __init__(self, settings: snapshot.Power, clock: Clock, cores: int | None = None) -> None:
        """`cores`: for tests; otherwise those that this process may use."""
        self._settings = settings
        self._clock = clock
        self._sources = PowerSources(Tree(Path(settings.sysfs)), cores)
        self._read_at_s = clock.now_s()
        self._now = decide(self._sources.read(), settings, None)

    def now(self) -> Power:
        at_s = self._clock.now_s()
        if at_s - self._read_at_s >= REREAD_S:
            self._read_at_s = at_s
            self._now = decide(self._sources.read(), self._settings, self._now)
        return self._now

    @property
    def hot(self) -> bool:
        return self.now().hot

    @property
    def preference(self) -> Prefer:
        return self.now().prefer

    def statistics(self) -> dict[str, object]:
        return {
            "profile": self._now.profile,
            "threads": self._now.threads,
            "hot": self._now.hot,
            "low_battery": self._now.low_battery,
            "why": self._now.why,
        }


def power_settings(told: Mapping[str, Any]) -> snapshot.Power:
    """As the gateway tells its workers. What is missing is as in the configuration's defaults."""
    return snapshot.Power(**{key: told[key] for key in snapshot.Power.__slots__ if key in told})


def _threads(profile: Profile, cores: int) -> int:
    if profile == "saver":
        return 1
    return max(1, cores if profile == "performance" else cores - 1)
