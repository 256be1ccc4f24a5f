"""What the box may do for its models: recorded boxes, and what holds for every reading."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_power import LAPTOP, PI, SERVER, write_sysfs

from tidegate.clock import ManualClock
from tidegate.config.snapshot import Power as Settings
from tidegate.host.tree import Tree
from tidegate.models.power import REREAD_S, PowerWatch, decide, power_settings
from tidegate.models.power_readings import SURVEY_EVERY, PowerReadings, PowerSources

AUTO = Settings()
CALM = PowerReadings(hottest_c=40.0, cores=4)


def readings(root: Path, cores: int = 4) -> PowerReadings:
    return PowerSources(Tree(root), cores).read()


def test_a_raspberry_pi_is_as_warm_as_its_processor(tmp_path: Path) -> None:
    found = readings(write_sysfs(tmp_path, PI))
    assert found == PowerReadings(hottest_c=54.53, cores=4)
    power = decide(found, AUTO, None)
    assert (power.profile, power.threads, power.batch_wait_factor, power.prefer) == ("performance", 4, 0.5, "order")


def test_a_laptop_lives_on_its_own_battery_not_on_its_mouses(tmp_path: Path) -> None:
    found = readings(write_sysfs(tmp_path, LAPTOP))
    assert found == PowerReadings(hottest_c=51.0, discharging=True, battery_percent=63.0, cores=4)
    power = decide(found, AUTO, None)
    assert (power.profile, power.threads, power.batch_wait_factor, power.prefer) == ("balanced", 3, 1.0, "order")
    assert power.why == "on battery, at 63 %"


def test_a_server_is_as_hot_as_the_hotter_of_its_processors(tmp_path: Path) -> None:
    assert readings(write_sysfs(tmp_path, SERVER), 32) == PowerReadings(hottest_c=66.0, cores=32)


def test_a_box_that_says_nothing_does_as_it_likes(tmp_path: Path) -> None:
    found = readings(tmp_path)
    assert found == PowerReadings(cores=4)
    assert decide(found, AUTO, None).profile == "performance"


@pytest.mark.parametrize(
    ("files", "discharging", "percent"),
    [
        ({"BAT0/type": "Battery", "BAT0/status": "Charging", "BAT0/capacity": "12"}, False, 12.0),
        ({"BAT0/type": "Battery", "BAT0/status": "Not charging", "BAT0/capacity": "80"}, False, 80.0),
        (
            {"BAT0/type": "Battery", "BAT0/present": "0", "BAT0/status": "Discharging", "BAT0/capacity": "0"},
            False,
            None,
        ),
        ({"BAT0/type": "Battery", "BAT0/status": "Discharging", "BAT0/capacity": "garbage"}, True, None),
        (
            {"BAT0/type": "Battery", "BAT0/status": "Discharging", "BAT0/energy_now": "10", "BAT0/energy_full": "40"},
            True,
            25.0,
        ),
        (
            {
                "BAT0/type": "Battery",
                "BAT0/status": "Unknown",
                "BAT0/capacity": "0",
                "BAT1/type": "Battery",
                "BAT1/status": "Discharging",
                "BAT1/capacity": "90",
            },
            True,
            45.0,
        ),
        ({"u/type": "UPS", "u/status": "Unknown", "u/capacity": "70", "m/type": "Mains", "m/online": "0"}, True, 70.0),
        ({"u/type": "UPS", "u/status": "Unknown", "u/capacity": "70", "m/type": "USB", "m/online": "1"}, False, 70.0),
        ({"u/type": "UPS", "u/status": "Unknown", "u/capacity": "70"}, False, 70.0),
        ({"m/type": "Mains", "m/online": "0"}, False, None),
    ],
)
def test_supplies_are_understood(
    tmp_path: Path, files: dict[str, str], discharging: bool, percent: float | None
) -> None:
    found = readings(write_sysfs(tmp_path / "class" / "power_supply", files).parents[1])
    assert (found.discharging, found.battery_percent) == (discharging, percent)


@pytest.mark.parametrize(("quota", "cores"), [("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1), ("x", 8)])
def test_a_container_has_the_cores_of_its_quota(tmp_path: Path, quota: str, cores: int) -> None:
    assert readings(write_sysfs(tmp_path, {"fs/cgroup/cpu.max": quota}), 8).cores == cores


def test_a_frugal_platform_profile_keeps_a_core_free(tmp_path: Path) -> None:
    found = readings(write_sysfs(tmp_path, {**SERVER, "firmware/acpi/platform_profile": "low-power"}))
    assert decide(found, AUTO, None).profile == "balanced"


def follow(*degrees: float, settings: Settings = AUTO) -> list[str]:
    """The profiles, one reading after the other."""
    power, profiles = None, []
    for heat in degrees:
        power = decide(PowerReadings(hottest_c=heat, cores=4), settings, power)
        profiles.append(power.profile)
    return profiles


def test_a_hot_box_saves_until_it_is_cool() -> None:
    assert follow(60, 79.9, 80, 79, 70.1, 70, 74.9, 75.1, 72) == [
        "performance",
        "balanced",
        "saver",
        "saver",
        "saver",
        "performance",
        "performance",
        "balanced",
        "balanced",
    ]


def test_a_low_battery_saves_until_it_is_charged_or_on_mains() -> None:
    power, seen = None, []
    for discharging, charge in ((True, 21), (True, 20), (True, 24), (True, 26), (True, 20), (False, 20), (True, 21)):
        power = decide(replace(CALM, discharging=discharging, battery_percent=float(charge)), AUTO, power)
        seen.append((power.profile, power.prefer, power.low_battery))
    saves, rests = ("saver", "cloud", True), ("balanced", "order", False)
    assert seen == [rests, saves, saves, rests, saves, ("performance", "order", False), rests]


@pytest.mark.parametrize(
    ("profile", "threads", "factor", "prefer"),
    [("performance", 4, 0.5, "order"), ("balanced", 3, 1.0, "order"), ("saver", 1, 4.0, "cloud")],
)
def test_a_profile_that_is_set_stays_whatever_is_read(profile: Any, threads: int, factor: float, prefer: str) -> None:
    for found in (CALM, replace(CALM, hottest_c=99.0), replace(CALM, discharging=True, battery_percent=1.0)):
        power = decide(found, Settings(profile=profile), None)
        assert (power.profile, power.threads, power.batch_wait_factor, power.prefer) == (
            profile,
            threads,
            factor,
            prefer,
        )
        assert power.hot == (found.hottest_c == 99.0)
        assert power.low_battery == found.discharging


heats = st.none() | st.floats(-40, 150)
boxes = st.builds(
    PowerReadings,
    hottest_c=heats,
    discharging=st.booleans(),
    battery_percent=st.none() | st.floats(0, 100),
    wants_little=st.booleans(),
    cores=st.integers(1, 256),
)
configured = st.builds(
    lambda profile, cool, more, low: Settings(profile, cool + more, cool, low),
    st.sampled_from(["auto", "performance", "balanced", "saver"]),
    st.floats(0, 100),
    st.floats(0.1, 40),
    st.floats(0, 100),
)


@settings(deadline=None)
@given(st.lists(boxes, min_size=1, max_size=20), configured)
def test_what_holds_for_every_box(seen: list[PowerReadings], settings: Settings) -> None:
    power = None
    for found in seen:
        power = decide(found, settings, power)
        assert 1 <= power.threads <= found.cores
        assert power.why
        assert (power.prefer == "cloud") == (power.profile == "saver")
        assert power.profile == settings.profile or settings.profile == "auto"
        if found.hottest_c is not None:
            assert power.hot or found.hottest_c < settings.hot_c
            assert not power.hot or found.hottest_c > settings.cool_c
        else:
            assert not power.hot
        assert found.discharging or not power.low_battery
        if settings.profile == "auto":
            assert (power.profile == "saver") == (power.hot or power.low_battery)
            assert power.profile != "performance" or not (found.discharging or found.wants_little)
        # The same reading again changes nothing: there is no flapping on one value.
        assert decide(found, settings, power) == power


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=60), st.floats(40, 90), st.floats(5, 20))
def test_heat_that_stays_within_a_quarter_of_the_bounds_changes_the_profile_at_most_twice(
    wobble: list[float], base: float, span: float
) -> None:
    """On the way in it may settle; then it stays."""
    settings = Settings(hot_c=80.0, cool_c=80.0 - span)
    profiles = follow(*(base + part * span / 4 for part in wobble), settings=settings)
    assert sum(one != other for one, other in pairwise(profiles)) <= 2


def test_a_watch_reads_again_after_a_while_and_not_before(tmp_path: Path) -> None:
    write_sysfs(tmp_path, PI)
    clock = ManualClock()
    watch = PowerWatch(Settings(sysfs=str(tmp_path)), clock, cores=4)
    assert (watch.now().profile, watch.hot, watch.preference) == ("performance", False, "order")
    write_sysfs(tmp_path, {"class/thermal/thermal_zone0/temp": "84000"})
    clock.advance(REREAD_S - 0.001)
    assert watch.now().profile == "performance"
    clock.advance(0.001)
    assert (watch.now().profile, watch.hot, watch.preference) == ("saver", True, "cloud")
    assert watch.statistics()["why"] == "84 °C, too hot from 80 °C until 70 °C"
    assert watch.now() is watch.now()


def test_a_battery_that_is_put_in_is_found(tmp_path: Path) -> None:
    sources = PowerSources(Tree(tmp_path), 4)
    assert sources.read().battery_percent is None
    write_sysfs(tmp_path, LAPTOP)
    for _ in range(SURVEY_EVERY - 1):
        assert sources.read().battery_percent is None
    assert sources.read().battery_percent == 63.0


def test_a_worker_is_told_its_settings_in_words() -> None:
    assert power_settings({}) == Settings()
    told = {"profile": "saver", "hot_c": 75, "cool_c": 60.5, "low_battery_percent": 10, "sysfs": "/recorded", "new": 1}
    assert power_settings(told) == Settings("saver", 75, 60.5, 10, "/recorded")


def test_the_machine_that_runs_this_has_a_decision() -> None:
    power = PowerWatch(Settings(), ManualClock()).now()
    assert power.threads >= 1
    assert power.profile in ("performance", "balanced", "saver")
