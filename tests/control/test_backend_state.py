"""One rule for health, metrics, `top`, `status` and the service manager's line."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.control.telemetry.backend_state import STATES, backend_state, backend_up, slot_state


def backend(*states: str) -> dict[str, Any]:
    return {"slots": [{"state": state} for state in states]}


@pytest.mark.parametrize(
    ("states", "state", "up"),
    [
        ((), "idle", True),
        (("idle",), "idle", True),
        (("down", "ready"), "ready", True),
        (("down", "starting"), "starting", True),
        (("down", "idle"), "down", False),
        (("down", "parked"), "parked", False),
    ],
)
def test_a_backend_is_what_its_best_connection_is(states: tuple[str, ...], state: str, up: bool) -> None:
    assert (backend_state(backend(*states)), backend_up(backend(*states))) == (state, up)


def test_one_that_is_tried_again_is_down_until_it_is_back() -> None:
    assert slot_state({"state": "starting", "error": "it ended"}) == "down"
    assert not backend_up({"slots": [{"state": "starting", "error": "it ended"}]})


@pytest.mark.parametrize("odd", [None, 3, "ready", [None, 3, "ready"], [{}], [{"state": "unheard of"}]])
def test_what_is_odd_counts_as_nothing(odd: object) -> None:
    assert backend_state({"slots": odd}) == "idle"


def test_no_state_has_two_places() -> None:
    assert len(set(STATES)) == len(STATES)
